"""Which generated sound belongs to which reference.

Three rules are known: the same id, the same file name without its ending, the same prompt. The one
that finds partners for the most generated sounds holds for all of them; of equals, the first one.
A prompt is one whatever its case, its spaces and a full stop at its end, and a reference belongs to
each of its captions. Several references of one generated sound all count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from soundwright.core.errors import UserError
from soundwright.evaluation.collection import Item

Rule = Literal["id", "stem", "prompt"]
NO_RULE = "none"


def fold_prompt(prompt: str) -> str:
    """A prompt as it is compared."""
    return " ".join(prompt.casefold().split()).rstrip(".")


KEYS: Mapping[Rule, Callable[[Item], tuple[str, ...]]] = {
    "id": lambda item: () if item.clip is None else (item.clip.id,),
    "stem": lambda item: (item.stem,),
    "prompt": lambda item: tuple(dict.fromkeys(map(fold_prompt, item.prompts))),
}


@dataclass(frozen=True)
class Pairing:
    """The keys of both sides' sounds, by name."""

    rule: Rule | Literal["none"]
    generated: Mapping[str, str]
    """One key each; a generated sound without a partner has one too."""
    reference: Mapping[str, tuple[str, ...]]
    partners: Mapping[str, tuple[str, ...]]
    """Names of references by the name of a generated sound; those without are not here."""

    @property
    def missing(self) -> list[str]:
        """Names of references for which nothing was generated."""
        asked = {name for names in self.partners.values() for name in names}
        return [name for name in self.reference if name not in asked]


def pair(generated: Sequence[Item], reference: Sequence[Item], rule: Rule | None = None) -> Pairing:
    """Pair two sides.

    Args:
        generated: The sounds in question.
        reference: The real ones.
        rule: None takes the rule that finds the most.

    Raises:
        UserError: No sound has a partner.
    """
    rules = tuple(KEYS) if rule is None else (rule,)
    found = [_pair_by(one, generated, reference) for one in rules]
    best = max(found, key=lambda pairing: len(pairing.partners))
    if not best.partners:
        raise UserError(
            "No generated sound shares " + " or ".join(rules) + " with a reference "
            f"({len(generated)} and {len(reference)} sounds).",
            expected="the prompts of the reference's captions, or files with the same names",
            change="Compare " + _example(generated) + " with " + _example(reference) + ".",
        )
    return best


def leave_unpaired(generated: Sequence[Item], reference: Sequence[Item]) -> Pairing:
    """No sound has a partner; for metrics that compare whole sets."""
    return Pairing(
        rule=NO_RULE,
        generated={item.name: _own_key(item, "prompt") for item in generated},
        reference={item.name: () for item in reference},
        partners={},
    )


def _pair_by(rule: Rule, generated: Sequence[Item], reference: Sequence[Item]) -> Pairing:
    keys_of = KEYS[rule]
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for item in reference:
        for key in keys_of(item):
            by_key[key].append(item.name)
    partners = {
        item.name: tuple(names)
        for item in generated
        if (names := [name for key in keys_of(item) for name in by_key.get(key, ())])
    }
    return Pairing(
        rule=rule,
        generated={item.name: _own_key(item, rule) for item in generated},
        reference={item.name: keys_of(item) for item in reference},
        partners=partners,
    )


def _own_key(item: Item, rule: Rule) -> str:
    """The key of a generated sound; where it has none by the rule, the next best."""
    keys = KEYS[rule](item) or KEYS["prompt"](item) or KEYS["stem"](item)
    return keys[0]


def _example(items: Sequence[Item]) -> str:
    first = items[0]
    return f"{first.name!r}" + (f" ({first.prompts[0]!r})" if first.prompts else "")
