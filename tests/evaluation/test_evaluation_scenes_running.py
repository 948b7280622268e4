"""The whole run, with a judge that knows the truth."""

import shutil

import pytest
import torch

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.core.records import Event
from soundwright.evaluation.scenes.composing import Workshop
from soundwright.evaluation.scenes.faults import make_faults
from soundwright.evaluation.scenes.judging import match_sounds
from soundwright.evaluation.scenes.page import write_page
from soundwright.evaluation.scenes.prompts import make_benchmark
from soundwright.evaluation.scenes.results import SceneResults
from soundwright.evaluation.scenes.running import render_benchmark, score_folder
from soundwright.synthesis.rendering import render_scene

LABELS = ("alarm beep", "clock tick", "rain", "wind")
SCALE = 3e-4
"""A sound read from a 16-bit file differs by less than this from what was written."""


class Oracle:
    """Knows the events of every scene of a benchmark, and hears none in anything else."""

    name, labels = "oracle", LABELS

    def __init__(self, benchmark, workshop):
        self.known, self.calls = [], 0
        for case in benchmark.cases:
            faults = {} if case.pair else make_faults(case, workshop)
            for scene in (case.scene, *faults.values()):
                events = [
                    Event(label=e.label, onset=e.onset, offset=e.offset) for e in scene.events
                ]
                self.known.append((render_scene(scene).samples[0], events))

    def detect(self, waveforms, sample_rate):
        self.calls += len(waveforms)
        return [self._find(waveform[0]) for waveform in waveforms]

    def _find(self, samples):
        for known, events in self.known:
            if known.shape == samples.shape and float((known - samples).abs().max()) < SCALE:
                return events
        return []


@pytest.fixture(scope="module")
def workshop():
    return Workshop(LABELS, 4.0)


@pytest.fixture(scope="module")
def benchmark(workshop):
    return make_benchmark(workshop, axes=("count", "order"), number=3, pairs=2, seed=5)


@pytest.fixture(scope="module")
def oracle(benchmark, workshop):
    return Oracle(benchmark, workshop)


@pytest.fixture(scope="module")
def rendered(benchmark, workshop, tmp_path_factory):
    """True and faulty sounds, once for all tests, and a cache of controls."""
    folder = tmp_path_factory.mktemp("rendered")
    assert render_benchmark(benchmark, workshop, folder, faults=True) == len(
        list(folder.rglob("*.wav"))
    )
    return folder


@pytest.fixture
def truth(rendered, tmp_path):
    """A copy to be spoilt."""
    (tmp_path / "truth").mkdir()
    for file in (rendered / "truth").glob("*.wav"):
        shutil.copy(file, tmp_path / "truth")
    return tmp_path / "truth"


@pytest.fixture
def score(benchmark, oracle, workshop, rendered, monkeypatch):
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(rendered / ".cache"))

    def run(folder, identity="oracle", **options):
        return score_folder(benchmark, folder, oracle, workshop, identity=identity, **options)

    return run


def row(results, axis, measure):
    (found,) = [
        one for one in (*results.rows, *results.pairs) if (one.axis, one.measure) == (axis, measure)
    ]
    return found


def test_true_renders_reach_the_ceiling_of_a_judge_that_knows(score, truth, benchmark):
    results = score(truth)
    assert results.problems == ()
    assert results.not_measured == ()
    assert results.sounds == len(benchmark.cases)
    for one in (*results.rows, *results.pairs):
        assert one.withheld == "", one.measure
        if one.measure in ("count", "order", "scene", "nothing else", "pairs"):
            assert one.system.value == one.truth.value == 1
    assert row(results, "count", "count").silence.value == 0
    assert row(results, "all", "scene").noise.value == 0
    assert row(results, "all", "recall").system.value == 1
    assert row(results, "order", "pairs").constant.value == 0.5
    assert results.quality.event_f1.value == 1
    # The oracle gives no probabilities to be graded.
    assert results.quality.psds is None
    assert results.quality.psds_unavailable
    assert all(all(sample.checks.values()) for case in results.cases for sample in case.samples)
    assert SceneResults.model_validate_json(results.model_dump_json()) == results


def test_faulty_renders_fail_on_their_axis_alone(score, rendered):
    results = score(rendered / "more")
    assert row(results, "count", "count").system.value == 0
    assert row(results, "count", "count bias").system.value == 1
    assert set(results.not_measured) == {"order", "count pairs", "order pairs"}


def test_what_is_missing_or_bad_fails_and_is_listed(score, truth, benchmark):
    (truth / "count-000.wav").unlink()
    (truth / "count-001.wav").write_bytes(b"no sound at all")
    write(truth / "count-002.wav", Sound(torch.zeros(1, 64_000), 16_000))
    (truth / "order-000.wav").rename(truth / "stranger.wav")
    results = score(truth)
    said = {problem.name: problem.reason for problem in results.problems}
    assert said == {
        "stranger.wav": "unknown",
        "count-000": "missing",
        "order-000": "missing",
        "count-001.wav": "not-audio",
        "count-002.wav": "silent",
    }
    assert row(results, "count", "count").system.value == 0
    assert row(results, "count", "count").prompts == 3
    assert row(results, "order", "order").system.value == pytest.approx(2 / 3)
    page = write_page(results)
    for name in said:
        assert name in page
    assert "<i>" not in write_page(results.model_copy(update={"system": "<i>system"}))


def test_sounds_are_matched_by_name_or_by_their_recorded_prompt(benchmark, tmp_path):
    tone = Sound(torch.full((1, 16_000), 0.1), 16_000)
    case, other = benchmark.cases[0], benchmark.cases[1]
    for name in (f"{case.id}-10.wav", f"{case.id}-2.wav", f"sub/{case.id}_1.flac"):
        write(tmp_path / name, tone)
    write(tmp_path / "whatever.wav", tone)
    (tmp_path / "whatever.json").write_text(
        f'{{"prompt": "{other.prompt.upper()}. ", "seed": 4, "file": "whatever.wav"}}'
    )
    write(tmp_path / f"{case.id}-x.wav", tone)
    matched = match_sounds(benchmark, tmp_path)
    stems = [item.stem for item in matched.items[case.id]]
    assert stems == [f"{case.id}_1", f"{case.id}-2", f"{case.id}-10"]
    assert [item.stem for item in matched.items[other.id]] == ["whatever"]
    assert matched.unknown == (f"{case.id}-x.wav",)


def test_another_folder_is_compared_prompt_by_prompt(score, truth, rendered, benchmark):
    for case in benchmark.singles:
        if case.axis == "count":
            (truth / f"{case.id}.wav").unlink()
    results = score(rendered / "truth", against=truth)
    assert row(results, "count", "count").difference.value == 1
    assert row(results, "order", "order").difference.value == 0
    assert len(results.against_problems) == 3


def test_controls_are_heard_once_and_kept(score, rendered, oracle):
    oracle.calls = 0
    first = score(rendered / "truth", "another")
    all_calls, oracle.calls = oracle.calls, 0
    assert score(rendered / "truth", "another") == first
    # Now only the system's sounds, the noise and the constant are heard again.
    assert oracle.calls == first.sounds + 2 < all_calls
    damaged = list((rendered / ".cache").rglob("count-000.json"))
    assert damaged
    for file in damaged:
        file.write_bytes(file.read_bytes()[:20])
    assert score(rendered / "truth", "another") == first


def test_labels_that_the_judge_cannot_hear_are_refused(benchmark, workshop, truth):
    class Deaf:
        name, labels = "deaf", ("rain",)

    with pytest.raises(UserError, match="deaf cannot hear"):
        score_folder(benchmark, truth, Deaf(), workshop)


def test_a_folder_of_strangers_is_refused(score, tmp_path):
    write(tmp_path / "x" / "a.wav", Sound(torch.full((1, 16_000), 0.1), 16_000))
    with pytest.raises(UserError, match="None of the sounds answers a prompt"):
        score(tmp_path / "x")
