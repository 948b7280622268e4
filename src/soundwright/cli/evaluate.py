"""`soundwright evaluate`: generated sounds measured against real ones."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_table, emit_text, note
from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from soundwright.evaluation.gate import Verdict
    from soundwright.evaluation.results import Results, Score

WORSE = 1
SHOWN = 10


class PairBy(StrEnum):
    """How a generated sound finds its reference."""

    ID = "id"
    STEM = "stem"
    PROMPT = "prompt"


class SplitBy(StrEnum):
    """Which sounds are measured by themselves, too."""

    CONCEPTS = "concepts"
    TEMPORAL = "temporal"


def evaluate(
    generated: Annotated[
        Path | None,
        typer.Option(metavar="DIR|MANIFEST", help="The sounds in question."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="DIR|MANIFEST", help="Real sounds.")
    ] = None,
    reference_split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this split of the reference manifest."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Metrics, or groups of them; see --list. Default: what works offline.",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the metrics that can be asked for.")
    ] = False,
    pair_by: Annotated[
        PairBy | None,
        typer.Option(help="How sounds find their reference; by default what finds the most."),
    ] = None,
    split_by: Annotated[
        list[SplitBy] | None,
        typer.Option(
            help="Also measure prompts of one concept and of several apart, or those with and "
            "without words of time; may be given twice."
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Another system's results.json; status 1 where this one is worse."
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METRIC=]VALUE",
            help="How much worse than the baseline is still right, in the metric's own units; 0.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where results.json and report.html go.")
    ] = Path("evaluation"),
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of embeddings, instead of the one for all."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Threads that decode.")] = 2,
    json: JsonOption = False,
) -> None:
    """Measure generated sounds against real ones: every number with its card, controls beside it.

    Writes results.json and report.html, a page that needs no network. Nothing is written into the
    folders that are measured. What was computed is kept: a second run takes seconds, and one that
    was interrupted goes on.

    Example: soundwright evaluate --generated sounds --reference data/mine --out evaluation

    Gate: soundwright evaluate --generated new --reference data/mine --baseline old/results.json
    """
    if list_:
        _list_metrics(json)
        return
    if generated is None or reference is None:
        raise UserError(
            "Nothing to compare.",
            expected="--generated and --reference, each a folder of sounds or a manifest",
        )
    from soundwright.core.devices import choose_device
    from soundwright.core.files import cache_folder
    from soundwright.evaluation.baseline import keep_embeddings
    from soundwright.evaluation.collection import read_collection
    from soundwright.evaluation.evaluating import evaluate as evaluate_collections
    from soundwright.evaluation.gate import compare_with_baseline, is_worse, read_tolerances
    from soundwright.evaluation.metrics import DEFAULT, choose_metrics
    from soundwright.evaluation.report.building import write_report
    from soundwright.evaluation.results import read_results, write_results

    names = [name.strip() for given in metrics or DEFAULT for name in given.split(",")]
    chosen = choose_metrics([name for name in names if name])
    allowed = read_tolerances(tolerance or (), chosen)
    old = None if baseline is None else read_results(baseline)
    made, real = read_collection(generated), read_collection(reference, split=reference_split)
    evaluation = evaluate_collections(
        made,
        real,
        chosen,
        cache=(cache or cache_folder()) / "evaluation",
        rule=None if pair_by is None else pair_by.value,
        split_by=[split.value for split in dict.fromkeys(split_by or ())],
        device=choose_device(device),
        workers=workers,
    )
    results = evaluation.results
    write_results(out, results)
    verdicts: list[Verdict] = []
    if old is not None and baseline is not None:
        folder = baseline if baseline.is_dir() else baseline.parent
        verdicts = compare_with_baseline(evaluation, old, folder, allowed)
    keep_embeddings(out, evaluation)
    path = write_report(out, results, made, real, baseline=old, verdicts=verdicts)
    if json:
        emit_json(_as_json(results, verdicts, out))
    else:
        _show(results, verdicts, path)
    if is_worse(verdicts):
        raise typer.Exit(WORSE)


def _list_metrics(json: bool) -> None:
    from soundwright.evaluation.metrics import GROUPS, METRICS

    if json:
        rows = [
            {
                "metric": metric.name,
                "better": metric.facts.better,
                "about": metric.about,
                "offline": metric.is_offline,
            }
            for metric in METRICS.values()
        ]
        emit_json({"metrics": rows, "groups": {name: list(GROUPS[name]) for name in GROUPS}})
        return
    emit_table(
        ("metric", "better", "weights", "what it is"),
        (
            (
                metric.name,
                metric.facts.better,
                "here" if metric.is_offline else "to be fetched",
                metric.about,
            )
            for metric in METRICS.values()
        ),
    )
    emit_text("")
    emit_table(("group", "metrics"), ((name, ", ".join(row)) for name, row in GROUPS.items()))


def _as_json(results: Results, verdicts: list[Verdict], out: Path) -> dict[str, Any]:
    values = results.model_dump(mode="json", exclude_none=True)
    told = [verdict.model_dump(mode="json", exclude_none=True) for verdict in verdicts]
    return {"out": str(out), **values, "baseline": told}


def _show(results: Results, verdicts: list[Verdict], path: Path) -> None:
    made, real = results.generated, results.reference
    emit_text(
        f"{made.measured} of {made.clips} generated sounds measured, {results.paired} of them with "
        f"a reference by {results.pairing}; {real.measured} of {real.clips} references"
    )
    controls = list(results.controls)
    emit_table(
        ("metric", "better", "generated", "95 %", *controls),
        (
            (
                score.metric,
                score.better,
                _number(score),
                _interval(score),
                *(_number(results.controls[name][place]) for name in controls),
            )
            for place, score in enumerate(results.scores)
        ),
    )
    _note_scores(results.scores)
    _show_subsets(results)
    for warning in results.warnings:
        note(f"warning: {warning}")
    _show_problems(results)
    _show_verdicts(verdicts)
    emit_text(str(path))


def _show_subsets(results: Results) -> None:
    from soundwright.evaluation.subsets import TITLES

    for split, parts in results.by_split().items():
        sizes = ", ".join(f"{part.generated} {part.name}" for part in parts)
        emit_text(f"\n{TITLES[split]}: {sizes}")
        emit_table(
            ("metric", "better", *(head for part in parts for head in (part.name, "95 %"))),
            (
                (
                    score.metric,
                    score.better,
                    *(
                        cell
                        for part in parts
                        for cell in (_number(part.scores[place]), _interval(part.scores[place]))
                    ),
                )
                for place, score in enumerate(results.scores)
            ),
        )
        for part in parts:
            _note_scores(part.scores, f"{part.name}, ")


def _show_problems(results: Results) -> None:
    for side, kinds in results.problem_counts.items():
        if kinds:
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            note(f"{side}: {counts}")
    for problem in results.problems[:SHOWN]:
        left_out = " (left out)" if problem.left_out else ""
        note(f"  {problem.side} {problem.item}: {problem.kind}{left_out}, {problem.detail}")
    if len(results.problems) > SHOWN:
        note(f"  ... and {len(results.problems) - SHOWN} more in results.json")


def _show_verdicts(verdicts: list[Verdict]) -> None:
    if not verdicts:
        return
    lacking = max(verdict.lacking for verdict in verdicts)
    if lacking:
        note(f"warning: of {lacking} prompts of the baseline this system has no sound")
    emit_text("")
    emit_table(
        ("metric", "better", "against the baseline", "95 %", "p (Holm)", "verdict"),
        (
            (
                verdict.metric,
                verdict.better,
                "-" if verdict.difference is None else f"{verdict.difference:+.4g}",
                "-"
                if verdict.interval is None
                else f"{verdict.interval.low:+.4g} to {verdict.interval.high:+.4g}",
                "-" if verdict.p_holm is None else f"{verdict.p_holm:.3g}",
                verdict.verdict,
            )
            for verdict in verdicts
        ),
    )


def _note_scores(scores: Sequence[Score], where: str = "") -> None:
    for score in scores:
        if score.unavailable is not None:
            note(f"{where}{score.metric} is unavailable: {score.unavailable.reason}")
        elif score.remark:
            note(f"{where}{score.metric}: {score.remark}")


def _number(score: Score) -> str:
    return "-" if score.value is None else f"{score.value:.4g}"


def _interval(score: Score) -> str:
    interval = score.interval
    return "-" if interval is None else f"{interval.low:.4g} to {interval.high:.4g}"
