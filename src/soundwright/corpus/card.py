"""The data card of an export: what is in it, from where, on which terms, what was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import yaml

from soundwright.core.records import Clip
from soundwright.corpus.config import CorpusConfig
from soundwright.corpus.layout import State
from soundwright.corpus.stages.selecting import subsets_of

SHOWN = 30


@dataclass
class Census:
    """Counts over the exported clips."""

    clips: int = 0
    seconds: float = 0.0
    licences: Counter[str] = field(default_factory=Counter)
    datasets: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    subsets: Counter[str] = field(default_factory=Counter)
    captioners: Counter[str] = field(default_factory=Counter)

    def add(self, clip: Clip) -> None:
        """Count a clip."""
        self.clips += 1
        self.seconds += clip.duration
        self.licences[clip.licence.name] += 1
        self.datasets[clip.source.dataset] += 1
        self.splits[clip.split or "none"] += 1
        self.subsets.update(subsets_of(clip))
        self.captioners.update({caption.model or caption.kind for caption in clip.captions})

    @property
    def hours(self) -> float:
        """Of sound."""
        return self.seconds / 3600


def write_card(config: CorpusConfig, states: list[State], census: Census) -> str:
    """The text of the card, in Markdown, with the head that hubs read."""
    parts = [
        f"# {config.name}",
        config.description,
        f"{census.clips} clips, {census.hours:.2f} hours of sound, made with Soundwright's corpus "
        "builder.",
        _counted("Licences", census.licences, "clips"),
        _warn(census),
        _counted("Sources", census.datasets, "clips"),
        _counted("Splits", census.splits, "clips"),
        _counted("Subsets", census.subsets, "clips"),
        _counted("Captions by", census.captioners, "clips"),
        _stages(states),
        "## How it was made",
        "```yaml\n" + yaml.safe_dump(_told(config), sort_keys=False, allow_unicode=True) + "```",
        "`credits.csv` names author, licence and address of every clip.",
    ]
    return _head(config, census) + "\n\n".join(part for part in parts if part) + "\n"


def _head(config: CorpusConfig, census: Census) -> str:
    names = sorted(census.licences)
    values = {
        "license": names[0].lower() if len(names) == 1 else "other",
        "pretty_name": config.name,
        "task_categories": ["text-to-audio"],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _warn(census: Census) -> str:
    count = census.licences.get("unknown", 0)
    if not count:
        return ""
    return (
        f"**Of {count} clips no licence is known.** Whether they may be used, and shared, is for "
        "you to find out."
    )


def _counted(title: str, counts: Counter[str], unit: str) -> str:
    if not counts or set(counts) == {"none"}:
        return ""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    lines = [f"## {title}", "", f"| | {unit} |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        lines.append(f"| {len(ordered) - SHOWN} more | {sum(n for _, n in ordered[SHOWN:])} |")
    return "\n".join(lines)


def _stages(states: list[State]) -> str:
    lines = [
        "## What became of it, stage by stage",
        "",
        "| stage | rows in | out | failed | absorbed | would be left out | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for state in states:
        counts = state.counts
        drops = ", ".join(f"{name}: {count}" for name, count in counts.drops.items())
        lines.append(
            f"| {state.place.name} | {counts.read} | {counts.written} | {counts.failed} "
            f"| {counts.absorbed} | {counts.left_out} | {drops} |"
        )
    return "\n".join(lines)


def _told(config: CorpusConfig) -> dict[str, object]:
    """The configuration without what is only true of this machine."""
    values = config.plain()
    for one in values["inputs"]:
        for key in ("folder", "table", "manifest", "intervals"):
            one.pop(key)
        one["dataset"] = one["dataset"] or "see the sources above"
    return {name: value for name, value in values.items() if value is not None}
