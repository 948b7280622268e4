"""`select`: the only stage that decides, by an expression over what the others have noted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, field_validator

from soundwright.core.config import Config
from soundwright.core.records import Clip, Drop
from soundwright.corpus.clip_values import clip_values
from soundwright.corpus.expressions import parse_expression
from soundwright.corpus.stage import Output, Stage

SUBSET_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
SUBSETS = "subsets"
"""The entry of `metadata` with the names of the subsets that a kept clip belongs to."""


class SelectConfig(Config):
    """What is kept."""

    where: str = "not dropped"
    """Clips of which this holds are kept; the language is that of docs/corpus-expressions.md."""
    subsets: dict[str, str] = Field(default_factory=dict)
    """Names and expressions: parts of what is kept, each with a manifest of its own."""

    @field_validator("subsets")
    @classmethod
    def _names_files(cls, subsets: dict[str, str]) -> dict[str, str]:
        for name in subsets:
            if not SUBSET_NAME.fullmatch(name):
                raise ValueError(
                    f"the subset {name!r} cannot name a manifest: a name has letters, digits, '.', "
                    "'_' and '-' alone, and begins with no '.'"
                )
        return subsets


class Select(Stage):
    """Adds a drop for each clause that fails, with the value and the threshold."""

    name = "select"

    def __init__(self, config: SelectConfig, root: Path) -> None:  # noqa: ARG002 (as all)
        self.config = config
        self._where = parse_expression(config.where)
        self._subsets = {name: parse_expression(text) for name, text in config.subsets.items()}

    def expressions(self) -> tuple[str, ...]:
        """That of what is kept, and those of the subsets."""
        return (self.config.where, *self.config.subsets.values())

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        for clip in rows:
            values = clip_values(clip)
            drops = tuple(
                Drop(
                    stage=self.name,
                    reason=one.clause,
                    value=one.value if one.reason == "false" else one.reason,
                    threshold=one.threshold,
                )
                for one in self._where.breaches(values)
            )
            if drops:
                out.keep(clip.model_copy(update={"drops": (*clip.drops, *drops)}))
                continue
            names = [name for name, where in self._subsets.items() if where.evaluate(values)]
            metadata = {**clip.metadata, SUBSETS: " ".join(names)} if names else clip.metadata
            out.keep(clip.model_copy(update={"metadata": metadata}))


def is_selected(clip: Clip) -> bool:
    """Whether `select` has kept a clip."""
    return all(drop.stage != Select.name for drop in clip.drops)


def subsets_of(clip: Clip) -> list[str]:
    """The subsets that a kept clip belongs to."""
    return str(clip.metadata.get(SUBSETS, "")).split()
