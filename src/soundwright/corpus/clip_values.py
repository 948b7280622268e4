"""What expressions can say of a clip: the names and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from soundwright.core.records import Clip
from soundwright.corpus.expression_terms import Value


def best_caption(clip: Clip) -> str | None:
    """The caption that stands for a clip: the newest of a model, else the first; None without."""
    models = [caption.text for caption in clip.captions if caption.kind == "model"]
    if models:
        return models[-1]
    return clip.captions[0].text if clip.captions else None


_FIELDS: Mapping[str, Callable[[Clip], Value]] = MappingProxyType(
    {
        "id": lambda clip: clip.id,
        "duration": lambda clip: clip.duration,
        "dur": lambda clip: clip.duration,
        "sample_rate": lambda clip: clip.sample_rate,
        "channels": lambda clip: clip.channels,
        "caption": best_caption,
        "captions": lambda clip: len(clip.captions),
        "tags": lambda clip: clip.tags,
        "split": lambda clip: clip.split,
        "dataset": lambda clip: clip.source.dataset,
        "source.dataset": lambda clip: clip.source.dataset,
        "source.item": lambda clip: clip.source.item,
        "source.url": lambda clip: clip.source.url,
        "source.start": lambda clip: clip.source.start,
        "source.end": lambda clip: clip.source.end,
        "licence": lambda clip: clip.licence.name,
        "licence.name": lambda clip: clip.licence.name,
        "licence.url": lambda clip: clip.licence.url,
        "licence.author": lambda clip: clip.licence.author,
        "licence.title": lambda clip: clip.licence.title,
        "licence.evidence": lambda clip: clip.licence.evidence,
        "dropped": lambda clip: tuple(drop.stage for drop in clip.drops),
        "reasons": lambda clip: tuple(drop.reason for drop in clip.drops),
    }
)

CLIP_NAMES = (*_FIELDS, "scores.*", "metadata.*")
"""The names that every clip knows, for `parse_expression`; scores have their own besides."""


def clip_values(clip: Clip) -> Mapping[str, Value]:
    """The values of a clip by name, found when they are asked for.

    A score is found under its own name and as `scores.<name>`, a fact of the metadata as
    `metadata.<key>`. What the record itself knows goes before scores of the same name.
    """
    return _ClipValues(clip)


class _ClipValues(Mapping[str, Value]):
    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def __getitem__(self, name: str) -> Value:
        field = _FIELDS.get(name)
        if field is not None:
            return field(self._clip)
        if name in self._clip.scores:
            return self._clip.scores[name]
        family, _, key = name.partition(".")
        return {"scores": self._clip.scores, "metadata": self._clip.metadata}[family][key]

    def __iter__(self) -> Iterator[str]:
        yield from _FIELDS
        yield from (name for name in self._clip.scores if name not in _FIELDS)
        yield from (f"scores.{name}" for name in self._clip.scores)
        yield from (f"metadata.{key}" for key in self._clip.metadata)

    def __len__(self) -> int:
        return sum(1 for _ in self)
