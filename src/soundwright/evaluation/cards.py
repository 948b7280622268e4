"""Metric cards: what has to be the same for two numbers to be comparable, beside every number.

A metric's name is no identity. The same test set has a CLAP score of 0.30 in one paper and 0.55 in
another, because the encoders differ. A card therefore says all that moves the number, and results
whose cards differ are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import soundwright
from soundwright.core.errors import UserError
from soundwright.core.records import Record
from soundwright.evaluation.cache import CHANNEL_RULE, RESAMPLER

Better = Literal["higher", "lower"]

FREE = ("code",)
"""Keys that may differ. A release must not unsettle every locked baseline: what a metric computes
has a `revision` of its own, which is raised whenever the same sounds would get another number."""
OF_THE_SET = (
    "generated_clips",
    "generated_rows",
    "reference_clips",
    "reference_rows",
    "estimator",
)
"""Keys that depend on which prompts a system has sounds of, and so may differ where both systems'
numbers are computed anew over the prompts that they share (the hash of the whole reference may
not). Of numbers as they were reported they may not: a Fréchet distance of 100 clips is larger than
that of 1000."""


class MetricCard(Record):
    """Everything that moves a number."""

    metric: str
    kind: str
    """What is computed: fd, kad, kl ..."""
    revision: int
    """Of the computation; see `FREE`."""
    encoder: str
    encoder_identity: str
    """Hash of weights and front end."""
    encoder_facts: Mapping[str, str]
    """Gain rule, window, hop, precision ..., as the encoder tells them."""
    channels: str = CHANNEL_RULE
    resampler: str = RESAMPLER
    sample_rate: int
    estimator: str
    direction: str = ""
    """Of a divergence: which side is on the left."""
    epsilon: float = 0.0
    rows: str
    """What is one row: a window, a sound, a pair of sounds."""
    pairing: str
    """By which rule sounds have partners."""
    generated_clips: int
    generated_rows: int
    reference_clips: int
    reference_rows: int
    reference_hash: str
    """Of the hashes of all reference sounds."""
    code: str = f"soundwright {soundwright.__version__}"


def differing(first: MetricCard, second: MetricCard, *, same_prompts: bool = False) -> list[str]:
    """The keys in which two cards differ so that their numbers cannot be compared.

    Args:
        first: A card.
        second: Another one.
        same_prompts: Both numbers are computed anew over shared prompts.
    """
    free = {*FREE, *(OF_THE_SET if same_prompts else ())}
    ours, theirs = first.model_dump(), second.model_dump()
    keys = [key for key in ours if key not in free and ours[key] != theirs[key]]
    return [
        inner
        for key in keys
        for inner in (_facts(ours[key], theirs[key]) if key == "encoder_facts" else [key])
    ]


def refuse_differing(
    cards: Mapping[str, tuple[MetricCard, MetricCard]], *, same_prompts: bool
) -> None:
    """Refuse to compare results whose cards differ.

    Args:
        cards: The cards of two results by metric.
        same_prompts: As in `differing`.

    Raises:
        UserError: Some differ; all keys are named with both values.
    """
    faults = [
        f"{name}: {key} is {_value(ours, key)!r} here and {_value(theirs, key)!r} there"
        for name, (ours, theirs) in cards.items()
        for key in differing(ours, theirs, same_prompts=same_prompts)
    ]
    if faults:
        raise UserError(
            "The results cannot be compared, since their metric cards differ:\n  "
            + "\n  ".join(faults),
            expected="the same encoders, conventions and reference sounds",
            change="Evaluate the other system again with this command's settings.",
        )


def _facts(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    names = sorted(ours.keys() | theirs.keys())
    return [f"encoder_facts.{name}" for name in names if ours.get(name) != theirs.get(name)]


def _value(card: MetricCard, key: str) -> object:
    name, _, fact = key.partition(".")
    value = getattr(card, name)
    return value.get(fact, "") if fact else value
