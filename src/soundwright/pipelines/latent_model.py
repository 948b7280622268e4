"""A diffusion model that generates."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from soundwright.core.protocols import Scorer
from soundwright.pipelines.generator import Generator, repeat
from soundwright.pipelines.latent_rendering import LatentRenderer
from soundwright.pipelines.loops import cut_loop, lengthen_for_loop
from soundwright.pipelines.making import Choice, Item, Progress, make_sounds
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.ranking import check_scorer
from soundwright.pipelines.requests import (
    Request,
    check_counts,
    check_negative,
    check_prompts,
    check_seeds,
    settle,
)
from soundwright.pipelines.settings import LatentGenerationConfig
from soundwright.pipelines.sounds import GeneratedSound
from soundwright.pipelines.waveforms import LOUDEST

BATCH_SIZE = 8


class LatentModel(Generator):
    """A diffusion model with its latent codec and text encoder, ready to generate.

    Made by `load`. Its defaults are in `defaults`, its origin in `record`.
    """

    def __init__(self, record: ModelRecord, renderer: LatentRenderer) -> None:
        super().__init__(record, renderer.sample_rate)
        self.defaults = LatentGenerationConfig.read(record.settings["generation"])
        self._renderer = renderer

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        duration: float | None = None,
        seed: int | Sequence[int] = 0,
        num_samples: int = 1,
        cfg_scale: float | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        cfg_rescale: float | None = None,
        negative: str | None = None,
        loop: bool = False,
        best_of: int = 1,
        scorer: Scorer | None = None,
        rank_by: str | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> list[GeneratedSound]:
        """Generate `num_samples` sounds for each prompt, prompt after prompt.

        Item i of the result has the seed `seed + i`; alone with that seed it comes out the same.
        With `best_of` N it is the best of the N sounds with the seeds `seed + i * N + j`, and has
        that one's seed, which makes it again without `best_of`.

        Args:
            prompts: What shall be heard.
            duration: Seconds; None, here and below, takes the model's default.
            seed: Of the first item; or one for each sound, in the place of `seed + i` (`+ i * N`).
            num_samples: Sounds a prompt.
            cfg_scale: Guidance; 1 is none, more follows the words more closely.
            steps: Of the sampler.
            sampler: ddpm, ddim, dpm++ or unipc; for a model of flow euler or midpoint.
            cfg_rescale: How far guidance's growth of deviation is taken back, 0 to 1.
            negative: What shall not be heard: guidance leads away from it instead of from no text.
            loop: Whether the end shall flow into the beginning.
            best_of: Candidates for each sound.
            scorer: Ranks candidates by what is heard; None ranks by the model's own text evidence:
                by how much the text helps it to undo noise on the sound.
            rank_by: Which of the scorer's numbers decides; more is better.
            batch_size: Items at once. Another size changes the arithmetic's rounding.
            progress: Told how much is done.

        Raises:
            UserError: A prompt, duration or setting that cannot be used.
        """
        check_counts(num_samples=num_samples, batch_size=batch_size, best_of=best_of)
        if steps is not None:
            check_counts(steps=steps)
        check_scorer(scorer, rank_by, best_of)
        wanted = repeat(prompts, num_samples)
        check_seeds(seed, wanted)
        check_prompts(wanted)
        given = {
            "duration": duration,
            "cfg_scale": cfg_scale,
            "steps": steps,
            "sampler": sampler,
            "cfg_rescale": cfg_rescale,
        }
        config = settle(self.defaults, given)
        config.sampling()
        check_negative(negative, config.cfg_scale)
        request = Request(config, negative, loop=loop)
        made = make_sounds(
            LatentMaker(self._renderer, request),
            wanted,
            seed,
            Choice(best_of, scorer, rank_by),
            batch_size=batch_size,
            progress=progress,
        )
        settings = self.describe(request.describe())
        return [self.present(one, settings) for one in made]


class LatentMaker:
    """A `making.Maker` whose rows are latents [C, T, ...].

    Args:
        renderer: Draws and decodes.
        request: How; a loop asks for more latents than are heard.
    """

    def __init__(self, renderer: LatentRenderer, request: Request[LatentGenerationConfig]) -> None:
        self._renderer, self._request = renderer, request
        self._drawn = (
            lengthen_for_loop(request.config, renderer.sample_rate)
            if request.loop
            else request.config
        )

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._renderer.sample_rate

    def draw(self, items: Sequence[Item], progress: Progress) -> Sequence[Tensor]:
        """Latents of a batch of items."""
        latents = self._renderer.draw_latents(
            items,
            self._drawn,
            negative=self._request.negative,
            progress=lambda done, total: progress(done / total),
        )
        return list(latents)

    def finish(self, row: Tensor) -> Tensor:
        """The samples [C, N] of latents [C, T, ...]."""
        samples = self._renderer.finish(row, self._drawn.duration)
        if self._request.loop:
            return cut_loop(samples, self._request.config, self.sample_rate, LOUDEST)
        return samples

    def weigh(self, prompt: str, row: Tensor) -> float:
        """As `LatentRenderer.weigh`."""
        return self._renderer.weigh(prompt, row, self._request.negative)
