"""The sounds of a run, measured against the held-out clips whose captions were its prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from soundwright.core.files import cache_folder
from soundwright.data.manifest import MANIFEST_NAME, Manifest, relocated, write_manifest
from soundwright.evaluation.collection import Collection, read_collection
from soundwright.evaluation.evaluating import evaluate
from soundwright.evaluation.metrics import DEFAULT, choose_metrics
from soundwright.evaluation.results import RESULTS_FILE, write_results
from soundwright.evaluation.sweeps.plan import Measuring, Run


def measure_run(run: Run, measuring: Measuring, held_out: Manifest, out: Path) -> None:
    """Evaluate the sounds of a run, unless that is done.

    Args:
        run: Its sounds are named after the held-out clips.
        measuring: Which metrics.
        held_out: The references; they are listed in `OUT/references` for `soundwright evaluate`.
        out: The sweep's folder.

    Raises:
        UserError: An unknown metric, or nothing can be decoded.
    """
    folder = out / "results" / run.place
    if (folder / RESULTS_FILE).is_file():
        return
    found = evaluate(
        read_collection(out / "sounds" / run.place),
        _references(held_out, out / "references"),
        choose_metrics(measuring.metrics or DEFAULT),
        cache=cache_folder() / "evaluation",
        rule="stem",
    )
    write_results(folder, found.results)


def _references(held_out: Manifest, folder: Path) -> Collection:
    write_manifest(folder / MANIFEST_NAME, relocated(held_out, folder))
    there = read_collection(folder)
    # Sounds are named after clips, not after the files that the clips were cut from.
    return replace(there, items=tuple(replace(item, stem=item.name) for item in there.items))
