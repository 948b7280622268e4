"""What is wrong with the sounds of a side: counted and listed by name, never replaced.

Left out of every metric is only what has no numbers: sounds that are missing, cannot be decoded, or
hold samples that are not finite. Silent, clipped and duplicate sounds and those of another length
are what the system made, or what the reference holds: they are measured, and listed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from soundwright.core.errors import AudioError
from soundwright.core.records import Record
from soundwright.evaluation.collection import Collection, Item
from soundwright.evaluation.encoding import Hearing
from soundwright.evaluation.hearing import Heard
from soundwright.evaluation.pairing import Pairing

Side = Literal["generated", "reference"]
Kind = Literal[
    "missing",
    "undecodable",
    "not-finite",
    "duplicate",
    "silent",
    "clipped",
    "wrong-length",
    "unpaired",
    "not-generated",
    "in-both",
]
LENGTH_TOLERANCE_S = 0.05


class Problem(Record):
    """One thing about one sound."""

    side: Side
    item: str
    kind: Kind
    detail: str
    left_out: bool = False
    """Whether no metric counts it."""


def find_problems(side: Side, collection: Collection, hearing: Hearing) -> list[Problem]:
    """What one side's sounds show by themselves, in the order of names."""
    problems = [
        Problem(
            side=side, item=name, kind="missing", detail="only its JSON is there", left_out=True
        )
        for name in collection.absent
    ]
    usual = _usual_length(hearing.heard.values())
    first: dict[str, str] = {}
    for item in collection.items:
        fault, heard = hearing.faults.get(item.name), hearing.heard.get(item.name)
        if fault is not None:
            problems.append(_fault(side, item, fault))
        if heard is not None:
            twin = first.setdefault(heard.pcm_hash, item.shown)
            problems += [
                Problem(side=side, item=item.shown, kind=kind, detail=detail)
                for kind, detail in _describe(item, heard, twin, usual)
            ]
    return problems


def find_partnerless(
    generated: tuple[Collection, Hearing], reference: tuple[Collection, Hearing], pairing: Pairing
) -> list[Problem]:
    """What shows only when both sides are seen together."""
    shown = {item.name: item.shown for item in reference[0].items}
    missing = set(pairing.missing) if pairing.partners else set()
    there: defaultdict[str, list[str]] = defaultdict(list)
    for name, heard in reference[1].heard.items():
        there[heard.pcm_hash].append(shown[name])
    problems: list[Problem] = []
    for item in generated[0].items:
        heard = generated[1].heard.get(item.name)
        notes: dict[Kind, str] = {}
        if pairing.partners and item.name not in pairing.partners:
            notes["unpaired"] = f"no reference of {pairing.generated[item.name]!r}"
        if heard is not None and heard.pcm_hash in there:
            notes["in-both"] = "the same samples as " + ", ".join(there[heard.pcm_hash])
        problems += [
            Problem(side="generated", item=item.shown, kind=kind, detail=detail)
            for kind, detail in notes.items()
        ]
    problems += [
        Problem(
            side="reference",
            item=item.shown,
            kind="not-generated",
            detail="nothing was made for it",
        )
        for item in reference[0].items
        if item.name in missing
    ]
    return problems


def count_problems(problems: Sequence[Problem]) -> dict[str, dict[str, int]]:
    """How many of each kind, by side."""
    counts: dict[str, Counter[str]] = {"generated": Counter(), "reference": Counter()}
    for problem in problems:
        counts[problem.side][problem.kind] += 1
    return {side: dict(sorted(found.items())) for side, found in counts.items()}


def _fault(side: Side, item: Item, fault: AudioError) -> Problem:
    kinds: Mapping[str, Kind] = {"missing": "missing", "not-finite": "not-finite"}
    kind: Kind = kinds.get(fault.reason, "undecodable")
    detail = fault.problem if kind != "undecodable" else f"{fault.reason}: {fault.problem}"
    return Problem(side=side, item=item.shown, kind=kind, detail=detail, left_out=True)


def _describe(
    item: Item, heard: Heard, twin: str, usual: float | None
) -> Iterator[tuple[Kind, str]]:
    if twin != item.shown:
        yield "duplicate", f"the same samples as {twin}"
    if heard.silent:
        yield "silent", f"peak {heard.peak_db:.0f} dB"
    if heard.clipped:
        yield "clipped", f"{heard.clipped} samples at full scale in runs of 3 or more"
    promised = usual if item.duration is None else item.duration
    if promised is not None and abs(heard.duration - promised) > LENGTH_TOLERANCE_S:
        who = "most sounds have" if item.duration is None else "its record says"
        yield "wrong-length", f"{heard.duration:.2f} s, {who} {promised:.2f} s"


def _usual_length(heard: Iterable[Heard]) -> float | None:
    """The length, to a twentieth of a second, of more than half of the sounds."""
    steps = Counter(round(one.duration / LENGTH_TOLERANCE_S) for one in heard)
    if not steps:
        return None
    step, count = steps.most_common(1)[0]
    return step * LENGTH_TOLERANCE_S if 2 * count > steps.total() else None
