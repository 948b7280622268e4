"""When training is best: judged by the sounds that it makes for prompts that it does not see.

The loss of pairs falls long after sounds have stopped getting better, and a denoising loss may rise
while they still do. So sounds are made every so often, for held-out prompts and always the same
seeds, and a judge that had no part in choosing the pairs says how well they fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from soundwright.core.errors import UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.protocols import TrainingTask
from soundwright.pipelines.making import Choice, Maker, make_sounds
from soundwright.pipelines.storage import read_weights, write_weights
from soundwright.preference.judges import Judge
from soundwright.preference.recipe import StoppingConfig
from soundwright.preference.records import Pair

REWARDS_FILE = "rewards.json"


class HeldOutReward:
    """A `training.loop.SampleHook` that measures, keeps the best weights, and says when to end.

    Args:
        config: How much, and for how long.
        judge: Of sounds; from `choose_judge`.
        maker: Makes sounds with the network in training.
        prompts: Held-out ones.
        module: The network, whose state is kept where the reward is highest.
        folder: Where rewards and weights are kept.
    """

    def __init__(
        self,
        config: StoppingConfig,
        judge: Judge,
        maker: Maker,
        prompts: Sequence[str],
        module: nn.Module,
        folder: Path,
    ) -> None:
        self._config, self._judge, self._maker = config, judge, maker
        self._module, self._folder = module, folder
        self._prompts = [text for text in prompts[: config.prompts] for _ in range(config.samples)]
        path = folder / REWARDS_FILE
        there = read_json(path) if path.is_file() else {}
        self.rewards: dict[int, float] = {int(step): value for step, value in there.items()}
        """By number of steps done."""

    def begin(self) -> None:
        """Measure the model before the first step, unless that is done."""
        if 0 not in self.rewards:
            self.measure(0)

    def __call__(
        self,
        step: int,
        task: TrainingTask[Any],  # noqa: ARG002
        folder: Path,  # noqa: ARG002
    ) -> Mapping[str, float]:
        """Measure the weights of a step."""
        return {f"reward/{self._judge.name}": self.measure(step)}

    def measure(self, step: int) -> float:
        """The mean reward of the network as it is now; its weights are kept if it is the highest.

        A resumed run may come to a step again; what was said of later ones then counts no more.
        The best weights from before the step stay until the next measurement, by when a checkpoint
        has been written behind which no run goes back.
        """
        before = {past: value for past, value in self.rewards.items() if past < step}
        reward = self._listen()
        self.rewards = {**before, step: reward}
        best = best_of(self.rewards)
        kept = {best, *((best_of(before),) if before else ())}
        if best == step:
            write_weights(self._weights(step), self._module.state_dict(), "fp32")
        write_json(self._folder / REWARDS_FILE, self.rewards)
        for path in self._folder.glob("*.safetensors"):
            if path not in {self._weights(one) for one in kept}:
                path.unlink()
        return reward

    def ends(self, done: int) -> bool:
        """Whether there were enough measurements without gain, up to so many steps."""
        if self._config.patience is None:
            return False
        so_far = {step: value for step, value in self.rewards.items() if step <= done}
        best = best_of(so_far)
        return sum(step > best for step in so_far) >= self._config.patience

    def best_weights(self) -> dict[str, Tensor]:
        """The network's state at the best step."""
        return read_weights(self._weights(best_of(self.rewards)))

    def describe(self) -> str:
        """For people: the rewards of the beginning and of the best step."""
        best = best_of(self.rewards)
        return (
            f"{self._judge.name}: {self.rewards[0]:.4f} before training, "
            f"{self.rewards[best]:.4f} after {best} steps, which the model keeps"
        )

    def _listen(self) -> float:
        scores: list[float] = []
        made = make_sounds(
            self._maker,
            self._prompts,
            self._config.seed,
            Choice(),
            batch_size=self._config.batch,
        )
        for one in made:
            said = self._judge.score([one.samples], self._maker.sample_rate, [one.item[0]])
            scores += [value for value in said if value is not None]
        if not scores or not all(map(math.isfinite, scores)):
            raise UserError(
                f"The judge {self._judge.name} has no number for the held-out prompts.",
                change="Choose another one: stopping.judge.",
            )
        return sum(scores) / len(scores)

    def _weights(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}.safetensors"


def best_of(rewards: Mapping[int, float]) -> int:
    """The step with the highest reward; the earliest of several."""
    return min(rewards, key=lambda step: (-rewards[step], step))


def check_independent(judge: Judge, facts: Mapping[str, Any], pairs: Sequence[Pair]) -> None:
    """Refuse a judge that had a part in choosing the pairs: its reward would flatter the model.

    Args:
        judge: Of the held-out sounds.
        facts: Of the file of pairs.
        pairs: The pairs.

    Raises:
        UserError: It chose.
    """
    asked = facts.get("judges")
    names = {name for pair in pairs for name in pair.scores}
    identities = set(asked.values()) if isinstance(asked, Mapping) else set()
    if judge.name in names or judge.identity in identities:
        raise UserError(
            f"The judge {judge.name} chose these pairs, and would praise what it chose.",
            expected="another one as stopping.judge: clap-630k-audioset-best, clap-630k-best, "
            "matcher, or events=DIR",
        )
