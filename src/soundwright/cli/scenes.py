"""`soundwright scenes`: whether sounds are what the words say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_table, emit_text, note
from soundwright.core.errors import UserError, nearest

if TYPE_CHECKING:
    from soundwright.evaluation.scenes.cases import Axis
    from soundwright.evaluation.scenes.composing import Workshop
    from soundwright.evaluation.scenes.results import SceneResults

app = typer.Typer(help="Controllability: prompts, render, score, published.", no_args_is_help=True)


class Task(StrEnum):
    """The tasks of AudioTime."""

    ORDERING = "ordering"
    DURATION = "duration"
    FREQUENCY = "frequency"
    TIMESTAMP = "timestamp"


RESULTS_NAME = "results.json"
BUNDLED, ALL = "bundled", "all"

BenchmarkArgument = Annotated[
    Path,
    typer.Argument(metavar="BENCHMARK", help="What `scenes prompts` wrote, or its folder."),
]
RecordingsOption = Annotated[
    Path | None,
    typer.Option(metavar="MANIFEST", help="Recordings that scenes are made of where they can be."),
]
SplitOption = Annotated[
    list[str] | None,
    typer.Option("--split", metavar="NAME", help="Only recordings of this split; repeatable."),
]


@app.command()
def prompts(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    labels: Annotated[
        str,
        typer.Option(
            metavar="bundled|all|NAMES",
            help="Sounds to ask for: those that the bundled model learnt from recordings, all that "
            "the judge hears, or names with commas between.",
        ),
    ] = BUNDLED,
    axes: Annotated[
        str, typer.Option(metavar="NAMES", help="What prompts are about, with commas between.")
    ] = "",
    number: Annotated[int, typer.Option(min=0, help="Prompts of each axis.")] = 20,
    pairs: Annotated[int, typer.Option(min=0, help="Minimal pairs of each axis.")] = 10,
    duration: Annotated[float, typer.Option(min=3, max=9, help="Seconds of a sound.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Same seed, same prompts.")] = 0,
    recordings: RecordingsOption = None,
    splits: SplitOption = None,
    json: JsonOption = False,
) -> None:
    """Make a benchmark: prompts from typed scenes, which say what a sound must have.

    Writes benchmark.jsonl, and prompts.txt for `soundwright generate --prompts`.

    Example: soundwright scenes prompts --out bench --number 20 --seed 7
    """
    from soundwright.evaluation.scenes.cases import PROMPTS_NAME, write_benchmark
    from soundwright.evaluation.scenes.prompts import make_benchmark

    workshop = _open_workshop(_read_labels(labels), duration, recordings, splits)
    made = make_benchmark(workshop, axes=_read_axes(axes), number=number, pairs=pairs, seed=seed)
    write_benchmark(out, made)
    for left in made.header.left_out:
        note(f"These labels make no {left}.")
    if json:
        emit_json(
            {
                "benchmark": made.identity,
                "folder": str(out),
                "cases": len(made.cases),
                "prompts": len(made.prompts),
                "left_out": list(made.header.left_out),
            }
        )
    else:
        emit_text(f"{out}: {len(made.cases)} cases, {len(made.prompts)} prompts")
        emit_text(f"Next: soundwright generate --prompts {out / PROMPTS_NAME} --out sounds")


@app.command()
def render(
    benchmark: BenchmarkArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    faults: Annotated[
        bool, typer.Option("--faults", help="Also write scenes with a single fault.")
    ] = False,
    recordings: RecordingsOption = None,
    splits: SplitOption = None,
    json: JsonOption = False,
) -> None:
    """Render the true scenes of a benchmark: what a system that obeys every word would give.

    They go to DIR/truth; each kind of faulty scenes to a folder beside it: DIR/drop, DIR/swap ...

    Example: soundwright scenes render bench --out renders
    """
    from soundwright.evaluation.scenes.cases import read_benchmark
    from soundwright.evaluation.scenes.running import render_benchmark

    known = read_benchmark(benchmark)
    workshop = _open_workshop(known.header.labels, known.header.duration, recordings, splits)
    count = render_benchmark(known, workshop, out, faults=faults)
    if json:
        emit_json({"folder": str(out), "sounds": count})
    else:
        emit_text(f"{out}: {count} sounds")


@app.command()
def score(
    benchmark: BenchmarkArgument,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Sounds of any system: named <id>.wav or <id>-<sample>.wav."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where results.json and the page go.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Sounds of another system to compare with.")
    ] = None,
    judge: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another detector than the bundled one.")
    ] = None,
    recordings: RecordingsOption = None,
    splits: SplitOption = None,
    json: JsonOption = False,
) -> None:
    """Score sounds against the scenes that their prompts come from; works offline.

    Beside every number stand the judge's own on true and faulty scenes, silence, noise, a constant
    sound and shuffled prompts. An axis for which the judge is not good enough is withheld.

    Example: soundwright scenes score bench sounds --out scores
    """
    from soundwright.core.files import write_json, write_text
    from soundwright.evaluation.scenes.cases import read_benchmark
    from soundwright.evaluation.scenes.judging import identify
    from soundwright.evaluation.scenes.page import PAGE_NAME, write_page
    from soundwright.evaluation.scenes.running import score_folder
    from soundwright.scorers.detector import Detector, detector_folder

    known = read_benchmark(benchmark)
    workshop = _open_workshop(known.header.labels, known.header.duration, recordings, splits)
    place = judge or detector_folder()
    results = score_folder(
        known,
        folder,
        Detector.load(place),
        workshop,
        identity=identify(place),
        against=against,
    )
    _say_problems(results)
    values = results.model_dump(mode="json")
    if out is not None:
        write_json(out / RESULTS_NAME, values)
        write_text(out / PAGE_NAME, write_page(results))
    if json:
        emit_json(values)
        return
    _say_tables(results)
    if out is not None:
        emit_text(f"\n{out / RESULTS_NAME}\n{out / PAGE_NAME}")


@app.command()
def published(
    requests: Annotated[
        Path, typer.Argument(metavar="PROMPTS", help="AudioTime's <task>_caption.json.")
    ],
    system: Annotated[
        Path,
        typer.Argument(
            metavar="SOUNDS",
            help="A folder of <id>.wav, or what another detector found in them: JSON, {id: {label: "
            "[[onset, offset], ...]}}.",
        ),
    ],
    task: Annotated[Task, typer.Option(help="What the prompts are about.")],
    truth: Annotated[
        Path | None,
        typer.Option(metavar="SOUNDS", help="The same of the true sounds: the detector's ceiling."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compute a published test: STEAM's OER, DUR, FREQ or TIME on AudioTime prompts.

    Silence and the best constant stand beside. With a folder of sounds the bundled detector looks
    for the events, and prompts with labels that it does not know are left out.

    Example: soundwright scenes published ordering_caption.json sounds --task ordering
    """
    from soundwright.evaluation.scenes.grounding import ground, known_requests
    from soundwright.evaluation.scenes.results import say_figure
    from soundwright.evaluation.scenes.steam import read_detections, read_requests, steam_row
    from soundwright.scorers.detector import Detector, detector_folder

    asked = read_requests(requests, task.value)
    places = [system] if truth is None else [system, truth]
    detector, used = None, asked
    if any(place.is_dir() for place in places):
        detector = Detector.load(detector_folder())
        used = known_requests(asked, detector)
    found = []
    for place in places:
        if detector is None or not place.is_dir():
            found.append(read_detections(place))
            continue
        grounded = ground(used, place, detector)
        found.append(grounded.detections)
        for problem in grounded.problems:
            note(f"{place.name}: {problem.name}: {problem.reason}")
    row = steam_row(used, task.value, *found)
    if json:
        left_out = len(asked) - len(used)
        emit_json(
            {
                **row.model_dump(mode="json"),
                "left_out": left_out,
                "detections": "given" if detector is None else detector.name,
            }
        )
        return
    emit_text(f"{len(used)} of {len(asked)} prompts; constant: {row.constant_rule}")
    figures = (row.system, row.silence, row.constant, row.ceiling)
    emit_table(
        ("measure", "system [95 %]", "silence", "constant", "ceiling"),
        [(row.measure, *(say_figure(one, interval=True) for one in figures))],
    )


def _read_labels(text: str) -> tuple[str, ...]:
    """A preset, or names with commas between; an unknown name is refused where it is used."""
    from soundwright.scorers.detector import Detector, detector_folder
    from soundwright.scorers.tagger import Tagger, judge_folder

    if text == BUNDLED:
        return Tagger.load(judge_folder()).labels
    if text == ALL:
        return Detector.load(detector_folder()).labels
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError("There is no label.", expected=f"{BUNDLED}, {ALL}, or names with commas")
    return names


def _read_axes(text: str) -> tuple[Axis, ...]:
    from soundwright.evaluation.scenes.cases import AXES

    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in AXES:
            raise UserError(f"There is no axis {name!r}.", expected=nearest(name, AXES))
    return tuple(axis for axis in AXES if not names or axis in names)


def _open_workshop(
    labels: tuple[str, ...], duration: float, recordings: Path | None, splits: list[str] | None
) -> Workshop:
    from soundwright.data.selection import Selection
    from soundwright.evaluation.scenes.composing import SAMPLE_RATE, Workshop
    from soundwright.pipelines.scenes import RecordingSource, open_bank

    if splits and recordings is None:
        raise UserError(
            "--split is given without --recordings.",
            expected="the manifest that has the split",
            change="Add --recordings MANIFEST, or leave --split out.",
        )
    source = None
    if recordings is not None:
        selection = Selection(splits=tuple(splits or ()))
        source = RecordingSource(manifest=recordings, selection=selection)
    bank, _ = open_bank(source, SAMPLE_RATE)
    return Workshop(labels, duration, bank)


def _say_problems(results: SceneResults) -> None:
    for name, problems in (
        (results.system, results.problems),
        (results.against, results.against_problems),
    ):
        for problem in problems:
            note(f"{name}: {problem.name}: {problem.reason}")
    for axis in results.not_measured:
        note(f"{results.system}: no sound for {axis}; not measured")


def _say_tables(results: SceneResults) -> None:
    from soundwright.evaluation.scenes.results import say_quality, tabulate

    emit_text(
        f"{results.system}: {results.prompts} prompts, {results.sounds} sounds; judge "
        f"{results.judge}; constant: {results.constant}"
    )
    for rows in (results.rows, results.pairs):
        if rows:
            names, cells = tabulate(rows, against=bool(results.against))
            emit_text("")
            emit_table(names, cells)
    emit_text(f"\nJudge on true scenes: {say_quality(results.quality)}. {results.rule}")
