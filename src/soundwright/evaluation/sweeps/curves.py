"""The curves of a sweep's trainings: L_rr, the mean of T and of A, cross-entropy, over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundwright.core.errors import UserError
from soundwright.core.files import open_atomic, read_json
from soundwright.evaluation.sweeps.plan import Run
from soundwright.pipelines.training import RECIPE_FILE
from soundwright.training.metrics import read_records
from soundwright.training.runs import RunFolder

TEXT_MEAN, AUDIO_MEAN = "rr/cfg/text_mean", "rr/cfg/audio_mean"
LOSS, BEYOND = "rr/cfg/loss", "rr/cfg/beyond_means"
CURVES: Mapping[str, str] = {
    LOSS: "L_rr without text",
    BEYOND: "L_rr less (mean T - mean A)², without text",
    AUDIO_MEAN: "mean A without text",
    "rr/cfg/correlation": "correlation of T and A without text",
    "ce/conditional": "cross-entropy with text",
    "ce/cfg": "cross-entropy without text",
}
"""Records of validation, and what a plot calls them. T does not change: its mean is a line.

L_rr is the square of the difference of the means, which says of no pair that it is more alike than
another, and the rest, which does."""

SETTINGS = ("text", "pooling", "layer", "positions", "duplicates", "gather")
"""Of a recipe's regularizer: which states T and A compare, and of which pairs."""
IN_A_LINE = 8
"""Names in a line of the legend, at most."""
GAP = (np.nan, np.nan)


def is_of_states(name: str) -> bool:
    """Whether a record is about T and A, not about tokens."""
    return name.startswith("rr/")


def read_curves(out: Path, runs: Sequence[Run]) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """The validation records of every run that has such curves: by row, then by seed.

    Raises:
        UserError: A run's records are damaged.
    """
    curves: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for run in runs:
        path = RunFolder(out / "runs" / run.place).metrics
        if path.is_file():
            records = [record for record in read_records(path) if record["kind"] == "validation"]
            if any(name in record for record in records for name in CURVES):
                curves.setdefault(run.row.name, {})[run.seed] = [*map(_part, records)]
    return curves


def _part(record: dict[str, Any]) -> dict[str, Any]:
    """A record with what L_rr has beyond the difference of the means."""
    if record.get(LOSS) is None:
        return record
    return {**record, BEYOND: record[LOSS] - (record[TEXT_MEAN] - record[AUDIO_MEAN]) ** 2}


def rows_alike(out: Path, runs: Sequence[Run], baseline: str) -> set[str]:
    """The rows whose L_rr, T and A are of the same states as the baseline's, pooled the same way.

    Those of other layers or poolings are other quantities, and no difference of them says anything.
    """
    settings = {run.row.name: _read_settings(out, run) for run in runs}
    return {row for row, values in settings.items() if values == settings.get(baseline)}


def _read_settings(out: Path, run: Run) -> dict[str, Any]:
    """What decides what the representations of a run are; nothing where its recipe is not there."""
    path = out / "runs" / run.place / RECIPE_FILE
    recipe = read_json(path) if path.is_file() else {}
    regularizer = recipe.get("task", {}).get("regularizer") or {}
    return {name: regularizer.get(name) for name in SETTINGS}


def last_values(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The curves' values at the end of a run; what a run does not record is left out."""
    last = records[-1] if records else {}
    names = (*CURVES, TEXT_MEAN)
    return {name: float(last[name]) for name in names if last.get(name) is not None}


def draw_curves(
    path: Path, curves: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]], alike: set[str]
) -> None:
    """Draw a panel a curve: a row of the table in one colour, its seeds as thin lines, their mean.

    Args:
        path: An .svg or .png file.
        curves: As `read_curves` gives them.
        alike: From `rows_alike`; of other rows only the cross-entropy is drawn.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            "The curves cannot be drawn: matplotlib is not installed.",
            change='Install it with pip install "soundwright[eval]".',
        ) from error
    # Without pyplot: no window system is asked for, and nothing global is changed.
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for panel, (key, title) in zip(panels, CURVES.items(), strict=True):
        for number, (row, seeds) in enumerate(curves.items()):
            if row in alike or not is_of_states(key):
                _draw_row(panel, seeds, key, f"C{number}", row)
        if key == AUDIO_MEAN:
            _draw_row(panel, next(iter(curves.values()), {}), TEXT_MEAN, "black", "mean T")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=8)
    labelled = {
        label: handle
        for panel in reversed(panels)
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    lines = -(-len(labelled) // IN_A_LINE)
    figure.legend(
        labelled.values(),
        labelled.keys(),
        loc="outside lower center",
        ncols=-(-len(labelled) // lines),
    )
    # Neither a date nor random ids: the same curves give the same bytes.
    with rc_context({"svg.hashsalt": "curves"}), open_atomic(path) as file:
        figure.savefig(file, format=path.suffix[1:], metadata={"Date": None}, dpi=110)


def _draw_row(
    panel: Any,
    seeds: Mapping[int, Sequence[Mapping[str, Any]]],
    key: str,
    colour: str,
    label: str,
) -> None:
    lines = [
        ([record["step"] for record in records], [record[key] for record in records])
        for records in seeds.values()
        if records and all(record.get(key) is not None for record in records)
    ]
    # One path with gaps: a file of many seeds would be mostly markup.
    thin = np.array([point for line in lines for point in (*zip(*line, strict=True), GAP)])
    if lines:
        panel.plot(*thin.T, color=colour, linewidth=0.5, alpha=0.5)
    if lines and len({tuple(steps) for steps, _ in lines}) == 1:
        mean = np.mean([values for _, values in lines], axis=0)
        panel.plot(lines[0][0], mean, color=colour, linewidth=1.8, label=label)
