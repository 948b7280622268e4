"""Parts of the prompts that are measured by themselves, as Tango 2 splits AudioCaps' test set.

By the number of concepts (its Table 4) and by words of time (its Table 5). The reference of a
subset are the references of its sounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from soundwright.core.errors import UserError
from soundwright.data.concepts import COUNT_KEY
from soundwright.evaluation.collection import Item
from soundwright.evaluation.pairing import Pairing
from soundwright.evaluation.sides import Sample, Sides
from soundwright.text.concepts import count_concepts, is_temporal

Split = Literal["concepts", "temporal"]
SPLITS: Mapping[Split, tuple[str, str]] = MappingProxyType(
    {
        "concepts": ("single concept", "multiple concepts"),
        "temporal": ("temporal", "non-temporal"),
    }
)
"""The names of the two subsets of each split; every prompt is in one of them."""
TITLES: Mapping[Split, str] = MappingProxyType(
    {"concepts": "by number of concepts", "temporal": "by words of time"}
)


def read_counts(
    generated: Sequence[Item], reference: Sequence[Item], pairing: Pairing
) -> dict[str, int]:
    """Concepts by generated sound, where its clip, or that of a reference, has `COUNT_KEY`.

    Raises:
        UserError: One is not a whole number from 1 on.
    """
    real = {item.name: item for item in reference}
    counts: dict[str, int] = {}
    for item in generated:
        for one in (item, *(real[name] for name in pairing.partners.get(item.name, ()))):
            count = None if one.clip is None else one.clip.metadata.get(COUNT_KEY)
            if count is None:
                continue
            if not isinstance(count, int) or count < 1:
                raise UserError(
                    f"The clip {one.name} has the {COUNT_KEY} {count!r}.",
                    expected="a whole number from 1 on",
                    change="Correct it in the manifest, or leave it out to count by rule.",
                )
            counts[item.name] = count
            break
    return counts


def take_subsets(
    sides: Sides, splits: Sequence[Split], counts: Mapping[str, int]
) -> dict[str, Sides]:
    """The sounds of each subset, with their references; sounds without a prompt are in none.

    Args:
        sides: All sounds.
        splits: Which ones are asked for.
        counts: From `read_counts`; the others are counted by `count_concepts`.
    """
    parts: dict[str, list[Sample]] = {name: [] for split in splits for name in SPLITS[split]}
    for sample in sides.generated:
        for split in splits if sample.prompt else ():
            parts[_subset_of(sample, split, counts)].append(sample)
    return {name: _restrict(sides, samples) for name, samples in parts.items()}


def warn_of_promptless(sides: Sides) -> list[str]:
    """How many sounds are in no subset."""
    count = sum(not sample.prompt for sample in sides.generated)
    return [f"{count} generated sounds have no prompt, and are in no subset."] if count else []


def _subset_of(sample: Sample, split: Split, counts: Mapping[str, int]) -> str:
    first, second = SPLITS[split]
    if split == "temporal":
        return first if is_temporal(sample.prompt) else second
    concepts = counts.get(sample.name) or count_concepts(sample.prompt)
    return first if concepts == 1 else second


def _restrict(sides: Sides, samples: Sequence[Sample]) -> Sides:
    wanted = {partner for sample in samples for partner in sample.partners}
    return Sides.of(samples, [key for key in sides.reference if key in wanted])
