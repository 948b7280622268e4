"""Sounds of a language model: tokens drawn, weighed, looped, and spans filled in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from soundwright.core.seeding import derive_seed
from soundwright.pipelines.gaps import Gap
from soundwright.pipelines.loops import cut_loop, lengthen_for_loop
from soundwright.pipelines.making import Item, Made, Progress
from soundwright.pipelines.ranking import describe_fillings
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.requests import Request
from soundwright.pipelines.settings import GenerationConfig
from soundwright.pipelines.waveforms import LOUDEST


class TokenMaker:
    """A `making.Maker` whose rows are tokens [K, T].

    Args:
        renderer: Draws and decodes.
        request: How; a loop asks for more tokens than are heard.
    """

    def __init__(self, renderer: Renderer, request: Request[GenerationConfig]) -> None:
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
        """Tokens of a batch of items, on the CPU."""
        tokens = self._renderer.draw_tokens(
            items,
            self._drawn,
            negative=self._request.negative,
            beginning=self._request.beginning,
            progress=lambda done, total: progress(done / total),
        )
        return list(tokens.cpu())

    def finish(self, row: Tensor) -> Tensor:
        """The samples [C, N] of tokens [K, T]."""
        request = self._request
        samples = self._renderer.finish(row, self._drawn, beginning=request.beginning)
        if request.loop:
            return cut_loop(samples, request.config, self.sample_rate, LOUDEST)
        return samples

    def weigh(self, prompt: str, row: Tensor) -> float:
        """As `Renderer.weigh`."""
        return self._renderer.weigh(
            prompt,
            row,
            self._drawn,
            negative=self._request.negative,
            beginning=self._request.beginning,
        )


def fill_spans(
    renderer: Renderer,
    items: Sequence[Item],
    gap: Gap,
    request: Request[GenerationConfig],
    candidates: int,
    progress: Progress | None = None,
) -> Iterator[Made]:
    """One sound for each item, its span anew; the fillings' seeds are derived from the item's.

    Args:
        renderer: Draws and decodes.
        items: Prompts and seeds.
        gap: The sound and the span.
        request: How.
        candidates: Fillings for each sound.
        progress: Told how much is done.
    """
    tokens = renderer.waveforms.encode(gap.read)
    left, right = tokens[:, : gap.left], tokens[:, gap.left + gap.frames :]
    for number, (prompt, seed) in enumerate(items):

        def report(done: int, total: int, before: int = number) -> None:
            if progress is not None:
                progress((before + done / total) / len(items))

        seeds = [derive_seed(seed, "filling", candidate) for candidate in range(candidates)]
        filling = renderer.fill(
            prompt,
            left,
            right,
            gap.frames,
            seeds,
            request.config,
            negative=request.negative,
            progress=report,
        )
        whole = torch.cat([left, filling.tokens.to(left.device), right], dim=-1)
        samples = gap.close(renderer.decode(whole[None])[0], renderer.sample_rate)
        ranking = describe_fillings(filling.scores, filling.kept)
        yield Made((prompt, seed), samples, ranking)
