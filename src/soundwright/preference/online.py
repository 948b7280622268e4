"""The online loop: sounds of the model, pairs of them, training on them, and again with the result.

Each round has a folder, `round-1`, `round-2` ..., with `rollouts/`, `pairs/`, `training/` and, once
it is done, `round.json`. Every stage goes on where it was killed and does nothing twice, and so the
same command takes up a loop wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundwright.core.errors import ConfigError, UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.seeding import derive_seed, numpy_stream
from soundwright.pipelines.generation import load
from soundwright.pipelines.systems import read_recipe
from soundwright.pipelines.training import RECIPE_FILE, train_recipe
from soundwright.preference.captions import read_selected
from soundwright.preference.judges import open_judge
from soundwright.preference.pairing import pair_rollouts, read_rejected
from soundwright.preference.perturbing import read_perturbations
from soundwright.preference.recipe import LoopConfig, PreferenceRecipe
from soundwright.preference.record_files import read_pairs
from soundwright.preference.records import SelectedCaption
from soundwright.preference.rollouts import (
    RolloutChoice,
    plan_takes,
    read_rollouts,
    roll_out,
    takes_steps,
)
from soundwright.preference.statistics import describe_pairs
from soundwright.preference.system import ALL_SYSTEMS
from soundwright.preference.thresholds import read_selection
from soundwright.training.metrics import read_records
from soundwright.training.runs import RunFolder, differences

LOOP_FILE, ROUND_FILE = "loop.json", "round.json"


@dataclass(frozen=True)
class Finished:
    """A loop of which all rounds are done."""

    folder: Path
    rounds: Sequence[dict[str, Any]]
    """What `round.json` says of each: the model, the pairs as `prefer stats` has them, the steps
    and the last validation of its training."""


def run_loop(
    name: str,
    overrides: Iterable[str] = (),
    out: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Finished:
    """Do all rounds of a recipe that are not done yet.

    Args:
        name: Of a recipe of preference optimisation with the section `loop`.
        overrides: Assignments such as "loop.rounds=3".
        out: The loop's folder; `loops/<name>` by default.
        tell: Told what comes next.

    Raises:
        UserError: The recipe is for something else, or `out` holds another loop; as the commands
            `prefer rollout` and `prefer pair`, and as `train_recipe`.
        TrainingInterrupted: SIGINT or SIGTERM came; everything is saved.
    """
    overrides = tuple(overrides)
    recipe = read_recipe(name, overrides, ALL_SYSTEMS)
    config = _check(recipe)
    assert isinstance(recipe, PreferenceRecipe)
    folder = Path("loops") / recipe.name if out is None else Path(out)
    _claim(recipe, folder)
    model, rounds = str(recipe.from_model), []
    for number in range(1, config.rounds + 1):
        place = folder / f"round-{number}"
        if not (place / ROUND_FILE).is_file():
            if tell is not None:
                tell(f"Round {number} of {config.rounds}, with {model}")
            _do_round(recipe, (name, overrides), number, model, place)
        rounds.append(read_json(place / ROUND_FILE))
        model = str(_model_of(place))
    return Finished(folder, rounds)


def choose_captions(
    captions: Sequence[SelectedCaption], count: int | None, seed: int, number: int
) -> list[SelectedCaption]:
    """The captions of round `number`, in their order."""
    if count is None or count >= len(captions):
        return list(captions)
    chosen = numpy_stream(seed, "loop", number).choice(len(captions), count, replace=False)
    return [captions[place] for place in sorted(chosen.tolist())]


def _do_round(
    recipe: PreferenceRecipe,
    said: tuple[str, tuple[str, ...]],
    number: int,
    model: str,
    place: Path,
) -> None:
    pairs = place / "pairs"
    _make_pairs(recipe, number, model, place / "rollouts", pairs)
    name, overrides = said
    run = place / "training"
    given = (
        *overrides,
        f"name={recipe.name}-round-{number}",
        f"from_model={model}",
        f"pairs={pairs}",
        f"training.seed={_seed(recipe, number)}",
        "loop=null",
    )
    is_begun = (run / RECIPE_FILE).is_file()
    trained = train_recipe(name, given, out=run, resume=is_begun, systems=ALL_SYSTEMS)
    write_json(
        place / ROUND_FILE,
        {
            "model": str(trained.model),
            "pairs": describe_pairs(read_pairs(pairs).items, read_rejected(pairs).items),
            "steps": trained.result.step,
            "validation": _last_validation(RunFolder(run).metrics),
        },
    )


def _make_pairs(
    recipe: PreferenceRecipe, number: int, model: str, rollouts: Path, out: Path
) -> None:
    """The stages `prefer rollout` and `prefer pair` of a round."""
    config, device = recipe.loop, recipe.training.device
    assert config is not None
    assert config.captions is not None
    generator = load(model, device=device)
    defaults = {"duration": generator.defaults.duration, "seed": _seed(recipe, number)}
    choice = RolloutChoice.read({**defaults, **config.rollout}, origin="loop.rollout")
    every = read_selected(config.captions).items
    captions = choose_captions(every, config.prompts, recipe.training.seed, number)
    wrong = () if config.perturbed is None else read_perturbations(config.perturbed).items
    groups = plan_takes(captions, wrong, choice, has_steps=takes_steps(generator))
    roll_out(groups, generator, rollouts, choice)
    selection = read_selection(config.thresholds, config.limits)
    judges = [
        open_judge(f"{judge}={config.judges[judge]}" if judge in config.judges else judge, device)
        for judge in selection.judges
    ]
    pair_rollouts(read_rollouts(rollouts), judges, selection, out)


def _last_validation(metrics: Path) -> dict[str, float]:
    """Of a run, which an earlier process may have done."""
    validated = [one for one in read_records(metrics) if one["kind"] == "validation"]
    last = validated[-1] if validated else {}
    return {name: value for name, value in last.items() if name not in ("step", "kind")}


def _seed(recipe: PreferenceRecipe, number: int) -> int:
    """Of all that is drawn in a round."""
    return derive_seed(recipe.training.seed, "round", number) % (1 << 31)


def _model_of(place: Path) -> Path:
    return place / "training" / "model"


def _check(recipe: Any) -> LoopConfig:
    if not isinstance(recipe, PreferenceRecipe) or recipe.loop is None:
        raise ConfigError(
            f"The recipe {recipe.name} has no loop.",
            expected="a recipe of preference optimisation with the section loop, such as crpo",
        )
    missing = [
        key
        for key, value in (
            ("from_model", recipe.from_model),
            ("loop.captions", recipe.loop.captions),
        )
        if value is None
    ]
    if missing:
        raise ConfigError(
            f"The recipe {recipe.name} does not say {missing[0]}.",
            change=f"Give it: --set {missing[0]}=...; captions are what `prefer captions` wrote.",
        )
    return recipe.loop


def _claim(recipe: PreferenceRecipe, folder: Path) -> None:
    """Write the loop's settings, or see that they are those of the loop in the folder."""
    path, values = folder / LOOP_FILE, recipe.plain()
    if not path.exists():
        write_json(path, values)
        return
    changes = [line for _, line in differences(read_json(path), values)]
    # More rounds only go on.
    changes = [line for line in changes if not line.startswith("loop.rounds:")]
    if changes:
        raise UserError(
            f"{folder} holds another loop:\n  " + "\n  ".join(changes),
            change="Go on with its settings, or choose another --out.",
        )
