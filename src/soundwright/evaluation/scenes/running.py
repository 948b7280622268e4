"""A whole benchmark: a system's folder of sounds in, tables with all controls out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from soundwright.audio.files import write
from soundwright.core.errors import UserError
from soundwright.core.progress import Meter
from soundwright.evaluation.scenes.cases import Benchmark, Case
from soundwright.evaluation.scenes.composing import SAMPLE_RATE, Workshop
from soundwright.evaluation.scenes.controls import Controls, hear_controls
from soundwright.evaluation.scenes.events import match_events
from soundwright.evaluation.scenes.faults import make_faults
from soundwright.evaluation.scenes.figures import ratio_figure
from soundwright.evaluation.scenes.judging import (
    Judge,
    Problem,
    Takes,
    check_labels,
    hear_all,
    match_sounds,
)
from soundwright.evaluation.scenes.pair_tables import make_pair_table
from soundwright.evaluation.scenes.psds import Graded, psds, why_unavailable
from soundwright.evaluation.scenes.results import (
    CaseResult,
    JudgeQuality,
    Sample,
    SceneResults,
)
from soundwright.evaluation.scenes.scoring import score_events
from soundwright.evaluation.scenes.tables import answer, make_table
from soundwright.synthesis.rendering import render_scene


def score_folder(
    benchmark: Benchmark,
    folder: Path,
    judge: Judge,
    workshop: Workshop,
    *,
    identity: str = "",
    against: Path | None = None,
) -> SceneResults:
    """Score the sounds of any system.

    Args:
        benchmark: Whose prompts the sounds answer.
        folder: Of sounds, or a manifest; see `match_sounds` for how they are told apart.
        judge: Who listens.
        workshop: What the benchmark was made of, for the true and the faulty scenes.
        identity: Of the judge; with one, the controls are kept in the cache.
        against: Another system's folder, which is compared prompt by prompt.

    Raises:
        UserError: No sound, none that answers a prompt, or labels that the judge cannot hear.
    """
    check_labels(judge, benchmark.header.labels)
    matched = match_sounds(benchmark, folder)
    cases, not_measured = _measured(benchmark, matched.items)
    part = Benchmark(benchmark.header, cases)
    takes, problems = hear_all(judge, cases, matched)
    other: Takes | None = None
    other_problems: list[Problem] = []
    if against is not None:
        other, other_problems = hear_all(judge, cases, match_sounds(benchmark, against))
    controls = hear_controls(part, workshop, judge, identity)
    rows = make_table(answer(part.singles, takes, controls, other)) if part.singles else []
    withheld = {row.measure for row in rows if row.withheld}
    return SceneResults(
        benchmark=benchmark.identity,
        seed=benchmark.header.seed,
        duration=benchmark.header.duration,
        labels=benchmark.header.labels,
        system=folder.name,
        against=against.name if against else "",
        judge=judge.name,
        judge_identity=identity,
        constant=controls.constant_label,
        prompts=len({case.prompt for case in cases}),
        sounds=len({item.name for items in matched.items.values() for item in items}),
        not_measured=not_measured,
        problems=tuple(problems),
        against_problems=tuple(other_problems),
        quality=_quality(part.singles, controls, judge, workshop),
        rows=tuple(rows),
        pairs=tuple(make_pair_table(part.pairs, takes, controls, other)),
        cases=tuple(_describe(case, takes, withheld) for case in cases),
    )


def render_benchmark(
    benchmark: Benchmark, workshop: Workshop, out: Path, *, faults: bool = False
) -> int:
    """Write the true scene of every case as `truth/<id>.wav`; what is there already stays.

    Args:
        benchmark: Its cases.
        workshop: What it was made of.
        out: Each folder in it is like the sounds of one system.
        faults: Also write the faulty scenes, those of each kind as `<kind>/<id>.wav`.

    Returns:
        Number of sounds in `out`.

    Raises:
        UserError: A recording is missing, or the folder cannot be written.
    """
    count = 0
    with Meter("render", len(benchmark.cases), unit="case") as meter:
        for case in benchmark.cases:
            scenes = {"truth": case.scene}
            if faults and not case.pair:
                scenes |= make_faults(case, workshop)
            for kind, scene in scenes.items():
                file = out / kind / f"{case.id}.wav"
                if not file.is_file():
                    write(file, render_scene(scene, workshop.bank, SAMPLE_RATE))
            count += len(scenes)
            meter.advance()
    return count


def _measured(
    benchmark: Benchmark, items: Mapping[str, Sequence[object]]
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases of all axes of which there are sounds, and the axes of which there are none."""
    names = {case.id: f"{case.axis} pairs" if case.pair else case.axis for case in benchmark.cases}
    heard = {names[one] for one, sounds in items.items() if sounds}
    if not heard:
        raise UserError(
            "None of the sounds answers a prompt of the benchmark.",
            expected="files named after a case, such as count-003.wav or count-003-1.wav, or "
            "sounds that record their prompt",
        )
    cases = tuple(case for case in benchmark.cases if names[case.id] in heard)
    return cases, tuple(dict.fromkeys(one for one in names.values() if one not in heard))


def _describe(case: Case, takes: Takes, withheld: set[str]) -> CaseResult:
    samples = []
    for heard in takes[case.id]:
        checks = {} if case.pair else score_events(case, heard.events).checks
        kept = {name: holds for name, holds in checks.items() if name not in withheld}
        samples.append(Sample(events=heard.events, checks=kept))
    return CaseResult(id=case.id, prompt=case.prompt, samples=tuple(samples))


def _quality(
    cases: Sequence[Case], controls: Controls, judge: Judge, workshop: Workshop
) -> JudgeQuality:
    matches = [
        match_events(case.scene.events, controls.trials[case.id].truth.events) for case in cases
    ]
    parts, wholes = np.array([one.f1_parts for one in matches], np.float64).reshape(-1, 2).T
    figure = ratio_figure(parts, wholes) if wholes.sum() else None
    unavailable = why_unavailable()
    if unavailable:
        return JudgeQuality(event_f1=figure, psds_unavailable=unavailable)
    if not isinstance(judge, Graded):
        return JudgeQuality(event_f1=figure, psds_unavailable="the judge gives no probabilities")
    activities: dict[str, Tensor] = {}
    with Meter("PSDS", len(cases), unit="case") as meter:
        for case in cases:
            sound = render_scene(case.scene, workshop.bank, SAMPLE_RATE)
            activities[case.id] = judge.probabilities(sound.samples, SAMPLE_RATE)[0]
            meter.advance()
    true = {case.id: case.scene.events for case in cases}
    score = psds(true, activities, judge.labels, judge.frame_rate, workshop.duration)
    return JudgeQuality(event_f1=figure, psds=score)
