"""Sounds as they were asked for: made in batches, chosen among candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from soundwright.core.protocols import Scorer
from soundwright.pipelines.ranking import Ranking, rank_by_evidence, rank_by_scorer

Progress = Callable[[float], None]
"""Told, now and then, which part of all the work is done, from 0 to 1."""
Item = tuple[str, int]
"""A prompt and its seed."""


class Maker(Protocol):
    """A model with one request: draws rows, such as tokens or latents, and makes sounds of them."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        ...

    def draw(self, items: Sequence[Item], progress: Progress) -> Sequence[Tensor]:
        """One row for each item, of a batch; progress goes from 0 to 1."""
        ...

    def finish(self, row: Tensor) -> Tensor:
        """The samples [C, N] of a row."""
        ...

    def weigh(self, prompt: str, row: Tensor) -> float:
        """How much of a row its text explains."""
        ...


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
    maker: Maker,
    prompts: Sequence[str],
    seed: int | Sequence[int],
    choice: Choice,
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> Iterator[Made]:
    """One sound for each prompt, in their order.

    Args:
        maker: Draws and decodes.
        prompts: What shall be heard.
        seed: Of the first candidate of the first sound, the candidates of sound i having the seeds
            `seed + i * best_of + j`; or of the first candidate of each sound.
        choice: Of how many.
        batch_size: Candidates at once.
        progress: Told how much is done.
    """
    count = choice.best_of
    if isinstance(seed, int):
        seed = [seed + number * count for number in range(len(prompts))]
    items = [
        (prompt, first + candidate)
        for prompt, first in zip(prompts, seed, strict=True)
        for candidate in range(count)
    ]
    # All candidates of a sound are there before the next one's are begun.
    stride = max(1, batch_size // count) * count
    for first in range(0, len(items), stride):
        group = items[first : first + stride]

        def report(done: float, first: int = first) -> None:
            if progress is not None:
                progress((first + done) / len(items))

        rows = list(_draw(maker, group, batch_size, report))
        for begin in range(0, len(group), count):
            part = slice(begin, begin + count)
            yield _keep(maker, group[part], rows[part], choice)


def _draw(
    maker: Maker, items: Sequence[Item], batch_size: int, progress: Progress
) -> Iterator[Tensor]:
    """The rows of items; progress counts items."""
    for first in range(0, len(items), batch_size):
        batch = items[first : first + batch_size]

        def report(done: float, first: int = first, size: int = len(batch)) -> None:
            progress(first + size * done)

        yield from maker.draw(batch, report)


def _keep(maker: Maker, items: Sequence[Item], rows: Sequence[Tensor], choice: Choice) -> Made:
    """The best of the candidates of one sound."""
    if choice.best_of == 1:
        return Made(items[0], maker.finish(rows[0]), None)
    prompt, seeds = items[0][0], [seed for _, seed in items]
    ranking: Ranking
    if choice.scorer is None:
        ranking = rank_by_evidence(seeds, [maker.weigh(prompt, row) for row in rows])
        samples = maker.finish(rows[ranking.kept])
    else:
        waveforms = [maker.finish(row) for row in rows]
        ranking = rank_by_scorer(
            choice.scorer, choice.rank_by, seeds, waveforms, maker.sample_rate, prompt
        )
        samples = waveforms[ranking.kept]
    return Made(items[ranking.kept], samples, ranking.described)
