"""Sounds as they were asked for: drawn in batches, chosen among candidates, looped, filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from soundwright.core.protocols import Scorer
from soundwright.core.seeding import derive_seed
from soundwright.pipelines.gaps import Gap
from soundwright.pipelines.loops import cut_loop, lengthen_for_loop
from soundwright.pipelines.ranking import (
    Ranking,
    describe_fillings,
    rank_by_evidence,
    rank_by_scorer,
)
from soundwright.pipelines.rendering import Item, Renderer
from soundwright.pipelines.requests import Request
from soundwright.pipelines.settings import GenerationConfig
from soundwright.pipelines.waveforms import LOUDEST

Progress = Callable[[float], None]
"""Told, now and then, which part of all the work is done, from 0 to 1."""


class Choice(NamedTuple):
    """How candidates are made and one of them is kept."""

    best_of: int = 1
    """Candidates for each sound."""
    scorer: Scorer | None = None
    """None is the model's own text evidence."""
    rank_by: str | None = None
    """Which of the scorer's numbers decides."""


class Made(NamedTuple):
    """One sound that is done."""

    item: Item
    """Its prompt and the seed that makes it alone."""
    samples: Tensor
    """[C, N]."""
    ranking: dict[str, Any] | None
    """The candidates, as JSON values."""


def make_sounds(
    renderer: Renderer,
    prompts: Sequence[str],
    seed: int,
    request: Request,
    choice: Choice,
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> Iterator[Made]:
    """One sound for each prompt, in their order.

    The candidates of sound i have the seeds `seed + i * best_of + j`.

    Args:
        renderer: Draws and decodes.
        prompts: What shall be heard.
        seed: Of the first candidate of the first sound.
        request: How.
        choice: Of how many.
        batch_size: Candidates at once.
        progress: Told how much is done.
    """
    count = choice.best_of
    items = [
        (prompt, seed + number * count + candidate)
        for number, prompt in enumerate(prompts)
        for candidate in range(count)
    ]
    # All candidates of a sound are there before the next one's are begun.
    stride = max(1, batch_size // count) * count
    for first in range(0, len(items), stride):
        group = items[first : first + stride]

        def report(done: float, first: int = first) -> None:
            if progress is not None:
                progress((first + done) / len(items))

        rows = list(_draw(renderer, group, request, batch_size, report))
        for begin in range(0, len(group), count):
            part = slice(begin, begin + count)
            yield _keep(renderer, group[part], rows[part], request, choice)


def fill_spans(
    renderer: Renderer,
    items: Sequence[Item],
    gap: Gap,
    request: Request,
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


def _draw(
    renderer: Renderer,
    items: Sequence[Item],
    request: Request,
    batch_size: int,
    progress: Callable[[float], None],
) -> Iterator[Tensor]:
    """The tokens [K, T] of items; progress counts items."""
    config = _drawn(renderer, request)
    for first in range(0, len(items), batch_size):
        batch = items[first : first + batch_size]

        def report(done: int, total: int, first: int = first, size: int = len(batch)) -> None:
            progress(first + size * done / total)

        yield from renderer.draw_tokens(
            batch,
            config,
            negative=request.negative,
            beginning=request.beginning,
            progress=report,
        ).cpu()


def _keep(
    renderer: Renderer,
    items: Sequence[Item],
    rows: Sequence[Tensor],
    request: Request,
    choice: Choice,
) -> Made:
    """The best of the candidates of one sound."""
    if choice.best_of == 1:
        return Made(items[0], _finish(renderer, rows[0], request), None)
    prompt, seeds = items[0][0], [seed for _, seed in items]
    ranking: Ranking
    if choice.scorer is None:
        config = _drawn(renderer, request)
        evidence = [
            renderer.weigh(
                prompt, row, config, negative=request.negative, beginning=request.beginning
            )
            for row in rows
        ]
        ranking = rank_by_evidence(seeds, evidence)
        samples = _finish(renderer, rows[ranking.kept], request)
    else:
        waveforms = [_finish(renderer, row, request) for row in rows]
        ranking = rank_by_scorer(
            choice.scorer, choice.rank_by, seeds, waveforms, renderer.sample_rate, prompt
        )
        samples = waveforms[ranking.kept]
    return Made(items[ranking.kept], samples, ranking.described)


def _drawn(renderer: Renderer, request: Request) -> GenerationConfig:
    """The settings with which tokens are drawn: those of a loop ask for more than is wanted."""
    if request.loop:
        return lengthen_for_loop(request.config, renderer.sample_rate)
    return request.config


def _finish(renderer: Renderer, tokens: Tensor, request: Request) -> Tensor:
    samples = renderer.finish(tokens, _drawn(renderer, request), beginning=request.beginning)
    if request.loop:
        return cut_loop(samples, request.config, renderer.sample_rate, LOUDEST)
    return samples
