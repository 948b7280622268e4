import json

import pytest
import torch

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.seeding import initialising, numpy_stream
from soundwright.evaluation.scenes.composing import Workshop
from soundwright.scorers.detector import Detector, DetectorConfig
from soundwright.scorers.tagger import Tagger, judge_folder
from soundwright.synthesis.rendering import render_scene

LABELS = "alarm beep,clock tick,rain,wind"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A detector that was never trained: what it hears is nonsense, and it must show."""
    folder = tmp_path_factory.mktemp("judge") / "detector"
    with initialising(0, "detector"):
        config = DetectorConfig(
            labels=tuple(LABELS.split(",")), counted=("alarm beep", "clock tick")
        )
        Detector(config).save(folder)
    return folder


def make(command, *options):
    return command(
        *("scenes", "prompts", "--out", "bench", "--labels", LABELS, "--axes", "count,order"),
        *("--number", 2, "--pairs", 1, "--duration", 4, *options),
    )


def test_prompts_are_made_rendered_and_scored(command, judge, tmp_path):
    assert make(command).exit_code == 0
    assert len((tmp_path / "bench" / "prompts.txt").read_text().splitlines()) == 8
    assert command("scenes", "render", "bench", "--out", "renders").exit_code == 0
    scored = command(
        *("scenes", "score", "bench", "renders/truth", "--judge", judge, "--out", "scores")
    )
    assert scored.exit_code == 0, scored.stderr
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    # The ceiling says what the judge is worth, and its figures are kept back.
    assert all("not good enough" in row["withheld"] for row in results["rows"] + results["pairs"])
    assert all(row["system"] is None for row in results["rows"])
    assert "withheld: the judge is not good enough" in scored.stdout
    page = (tmp_path / "scores" / "scenes.html").read_text()
    assert "withheld" in page
    assert "http" not in page


def test_json_is_one_object(command, judge):
    made = json.loads(make(command, "--json").stdout)
    assert (made["cases"], made["left_out"]) == (8, [])
    rendered = command("scenes", "render", "bench", "--out", "renders", "--json")
    assert json.loads(rendered.stdout) == {"folder": "renders", "sounds": 8}
    scored = command("scenes", "score", "bench", "renders/truth", "--judge", judge, "--json")
    assert json.loads(scored.stdout)["benchmark"] == made["benchmark"]


def test_the_bundled_labels_are_those_of_the_recordings(command, tmp_path):
    arguments = ("--out", "bench", "--axes", "presence", "--number", 1, "--pairs", 0)
    assert command("scenes", "prompts", *arguments).exit_code == 0
    header = json.loads((tmp_path / "bench" / "benchmark.jsonl").read_text().splitlines()[0])
    assert header["labels"] == sorted(Tagger.load(judge_folder()).labels)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--labels", "rian"), "did you mean 'rain'?"),
        (("--labels", " , "), "There is no label."),
        (("--axes", "counts"), "did you mean 'count'?"),
        (("--labels", "rain", "--axes", "count"), "can make none of these prompts"),
        (("--split", "fold4"), "--split is given without --recordings"),
        (("--recordings", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_prompts_that_cannot_be_made_are_refused(refuses, options, says):
    refuses("scenes", "prompts", "--out", "bench", *options, says=says)


def test_scores_need_a_benchmark_sounds_and_a_judge(refuses, command, judge, tmp_path):
    refuses("scenes", "score", "bench", "x", says="Make one: soundwright scenes prompts.")
    make(command)
    refuses("scenes", "score", "bench", "x", "--judge", judge, says="x does not exist")
    refuses("scenes", "score", "bench", "x", "--judge", "y", says="y")
    write(tmp_path / "x" / "a.wav", Sound(torch.full((1, 8_000), 0.1), 16_000))
    refuses("scenes", "score", "bench", "x", "--judge", judge, says="None of the sounds answers")


def test_a_published_measure_of_given_detections_stands_beside_its_controls(command, tmp_path):
    prompts = {"a": {"event": {"Cowbell": [1.0, 3.0]}, "caption": "a cowbell rings twice"}}
    (tmp_path / "frequency.json").write_text(json.dumps(prompts))
    (tmp_path / "found.json").write_text(json.dumps({"a": {"Cowbell": [[1, 2], [3, 4], [5, 6]]}}))
    arguments = ("scenes", "published", "frequency.json", "found.json", "--task", "frequency")
    result = command(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    values = {name: row[name]["value"] for name in ("system", "silence", "constant")}
    assert values == {"system": 1, "silence": 2, "constant": 1}
    assert (row["measure"], row["ceiling"], row["left_out"]) == ("FREQ", None, 0)
    ceiling = command(*arguments, "--truth", "found.json", "--json")
    assert json.loads(ceiling.stdout)["ceiling"]["value"] == 1
    assert "FREQ" in command(*arguments).stdout


def test_published_prompts_of_another_task_are_refused(refuses, tmp_path):
    (tmp_path / "p.json").write_text('{"a": {"event": {"Cat": [1.0]}, "caption": "c"}}')
    (tmp_path / "f.json").write_text("{}")
    refuses("scenes", "published", "p.json", "f.json", "--task", "ordering", says="no prompt about")
    refuses("scenes", "published", "p.json", "no.json", "--task", "frequency", says="no.json")


def test_the_bundled_detector_hears_published_prompts_as_far_as_it_knows_them(command, tmp_path):
    prompts = {
        "a": {"event": {"Rain on surface": [4.0]}, "caption": "rain for 4 seconds"},
        "b": {"event": {"Cowbell": [1.0]}, "caption": "a cowbell for a second"},
        "c": {"event": {"Waves, surf": [2.0]}, "caption": "waves for 2 seconds"},
    }
    (tmp_path / "duration.json").write_text(json.dumps(prompts))
    workshop = Workshop(("rain",), 5.0)
    phrase = workshop.phrase("rain", 1, 4.0, numpy_stream(0, "rain"))
    write(tmp_path / "sounds" / "a.wav", render_scene(workshop.scene([phrase], 0, "single")))
    result = command(
        *("scenes", "published", "duration.json", "sounds", "--task", "duration", "--json")
    )
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert (row["prompts"], row["left_out"], row["detections"]) == (2, 1, "detector-1")
    # The rain is heard, the waves are missing: 2 s of error, and little more.
    assert row["system"]["value"] == pytest.approx(1.0, abs=0.25)
    assert row["silence"]["value"] == 3.0
    assert "c: missing" in result.stderr
