"""The table of a sweep: every row's numbers, and its difference from the baseline with intervals.

Runs of one seed are pairs: they began from the same weights and saw the same batches. A number of
single sounds is compared over seeds and prompts at once; a number of a whole set, such as a
distance, and a number of the training itself, over seeds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from soundwright.core.files import write_json, write_text
from soundwright.core.records import Record
from soundwright.evaluation.results import RESULTS_FILE, Results, Span, read_results
from soundwright.evaluation.statistics.intervals import LEVEL, Interval
from soundwright.evaluation.statistics.seeds import seed_interval, seeded_difference
from soundwright.evaluation.sweeps.curves import (
    CURVES,
    is_of_states,
    last_values,
    read_curves,
    rows_alike,
)
from soundwright.evaluation.sweeps.plan import Condition, Run, Sweep, plan_runs
from soundwright.pipelines.models import RECORD_FILE

TABLE_FILE = "table.json"
TEXT_FILE = "table.md"


class Difference(Record):
    """A row less the baseline."""

    value: float
    interval: Span | None = None
    """None with a single seed: one run says nothing about others."""
    stands: bool = False
    """Whether it excludes zero at a level divided among all differences of the table
    (Bonferroni)."""


class Cell(Record):
    """One metric of one row."""

    mean: float
    """Over seeds."""
    seeds: dict[int, float]
    difference: Difference | None = None
    """None for the baseline itself, and where the number is of other states than the baseline's."""


class Row(Record):
    """One condition."""

    name: str
    columns: dict[str, str | float]
    published: dict[str, float]
    cells: dict[str, Cell]


class SweepTable(Record):
    """Everything that a sweep found."""

    name: str
    description: str
    recipe: str
    baseline: str
    prompts: int
    metrics: dict[str, str]
    """Which way is better, by name; empty for a number that is neither."""
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    """Runs that are not measured yet."""


Values = dict[int, dict[str, float]]
"""By seed, then by sound; a number of a whole set has one sound, named ""."""


def tabulate(sweep: Sweep, out: Path) -> SweepTable:
    """Gather what a sweep's runs have measured; of a run that is only trained, its training.

    Raises:
        UserError: A result is damaged.
    """
    runs = list(plan_runs(sweep))
    found = {
        run.place: read_results(path)
        for run in runs
        if (path := out / "results" / run.place / RESULTS_FILE).is_file()
    }
    done = [run for run in runs if run.place in found or _is_trained(run, out)]
    curves, alike = read_curves(out, done), rows_alike(out, done, sweep.baseline)
    metrics: dict[str, str] = {}
    values: dict[str, dict[str, Values]] = {row.name: {} for row in sweep.rows}
    for run in done:
        measured = _read(found[run.place], metrics) if run.place in found else {}
        ends = last_values(curves.get(run.row.name, {}).get(run.seed, ()))
        measured |= {name: {"": value} for name, value in ends.items()}
        for name, by_sound in measured.items():
            values[run.row.name].setdefault(name, {})[run.seed] = by_sound
    metrics |= {name: "lower" if name.startswith("ce/") else "" for name in CURVES}
    bases = {
        row.name: {
            name: value
            for name, value in values[sweep.baseline].items()
            if row.name in alike or not is_of_states(name)
        }
        for row in sweep.rows
        if row.name != sweep.baseline
    }
    family = sum(len(values[name].keys() & base.keys()) for name, base in bases.items())
    return SweepTable(
        name=sweep.name,
        description=sweep.description,
        recipe=sweep.recipe,
        baseline=sweep.baseline,
        prompts=max((len(results.clips) for results in found.values()), default=0),
        metrics=metrics,
        rows=tuple(
            _row(row, values[row.name], bases.get(row.name, {}), family) for row in sweep.rows
        ),
        missing=tuple(sorted(str(run.place) for run in runs if run.place not in found)),
    )


def write_table(table: SweepTable, out: Path) -> Path:
    """Write table.json and table.md.

    Returns:
        The path of table.md.
    """
    write_json(out / TABLE_FILE, table.model_dump(mode="json", exclude_none=True))
    write_text(out / TEXT_FILE, describe(table))
    return out / TEXT_FILE


def describe(table: SweepTable) -> str:
    """The table in Markdown: a part a metric, since intervals need room."""
    lines = [f"# {table.name}", "", f"{table.description}. Recipe {table.recipe}, "]
    lines[-1] += f"{table.prompts} prompts; differences are from {table.baseline}."
    for metric, better in table.metrics.items():
        rows = [row for row in table.rows if metric in row.cells]
        if not rows:
            continue
        columns = list(dict.fromkeys(column for row in table.rows for column in row.columns))
        head = ["", *columns, "mean", "seeds", "difference", "95 %"]
        lines += ["", f"## {metric}" + (f" ({better} is better)" if better else ""), ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in rows:
            cell = row.cells[metric]
            shown = [row.name, *(str(row.columns.get(column, "")) for column in columns)]
            seeds = " ".join(f"{value:.4g}" for value in cell.seeds.values())
            lines.append("| " + " | ".join([*shown, f"{cell.mean:.4g}", seeds, *_say(cell)]) + " |")
    if any(row.published for row in table.rows):
        lines += ["", "## Published, with other scorers on other data", ""]
        lines += [f"- {row.name}: {_pairs(row.published)}" for row in table.rows if row.published]
    if table.missing:
        lines += ["", f"Not measured yet: {', '.join(table.missing)}."]
    lines += ["", "\\* stands when the level is divided among all differences of the table.", ""]
    return "\n".join(lines)


def _is_trained(run: Run, out: Path) -> bool:
    return (out / "runs" / run.place / "model" / RECORD_FILE).is_file()


def _read(results: Results, metrics: dict[str, str]) -> dict[str, dict[str, float]]:
    """The numbers of one run, by metric and sound."""
    read: dict[str, dict[str, float]] = {}
    for score in results.scores:
        if score.value is None:
            continue
        metrics[score.metric] = score.better
        by_sound = {
            clip.name: clip.values[score.metric]
            for clip in results.clips
            if score.metric in clip.values
        }
        read[score.metric] = by_sound or {"": score.value}
    return read


def _row(
    row: Condition, values: Mapping[str, Values], base: Mapping[str, Values], family: int
) -> Row:
    return Row(
        name=row.name,
        columns=row.columns,
        published=row.published,
        cells={
            name: _cell(by_seed, base.get(name, {}), family) for name, by_seed in values.items()
        },
    )


def _cell(new: Values, old: Values, family: int) -> Cell:
    seeds = {seed: float(np.mean(list(sounds.values()))) for seed, sounds in new.items()}
    return Cell(
        mean=float(np.mean(list(seeds.values()))),
        seeds=seeds,
        difference=_compare(new, old, family),
    )


def _compare(new: Values, old: Values, family: int) -> Difference | None:
    """The difference over the seeds, and the sounds, that both have."""
    seeds = sorted(new.keys() & old.keys())
    if not seeds:
        return None
    shared = set.intersection(*(set(side[seed]) for side in (new, old) for seed in seeds))
    if not shared:
        return None
    sounds = sorted(shared)
    ours, theirs = (
        np.array([[side[seed][sound] for sound in sounds] for seed in seeds]) for side in (new, old)
    )
    if len(seeds) < 2:
        return Difference(value=float((ours - theirs).mean()))
    interval = _judge(ours, theirs)
    found = interval(LEVEL)
    return Difference(
        value=found.estimate,
        interval=Span.of(found),
        stands=interval(1 - (1 - LEVEL) / family).excludes(),
    )


def _judge(ours: np.ndarray, theirs: np.ndarray) -> Callable[[float], Interval]:
    """The interval of a paired difference [S, N] at a level."""

    def judge(level: float) -> Interval:
        if ours.shape[1] == 1:
            return seed_interval(ours[:, 0], theirs[:, 0], paired_seeds=True, level=level)
        return seeded_difference(ours, theirs, paired_seeds=True, level=level).crossed

    return judge


def _say(cell: Cell) -> Sequence[str]:
    difference = cell.difference
    if difference is None:
        return ("", "")
    star = "\\*" if difference.stands else ""
    span = difference.interval
    return (
        f"{difference.value:+.4g}{star}",
        f"{span.low:+.4g} to {span.high:+.4g}" if span else "one seed",
    )


def _pairs(published: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in published.items())
