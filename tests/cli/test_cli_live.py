"""`soundwright generate` with --stream, --loop, --best-of, --infill and --negative."""

import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from soundwright.audio.files import read, read_metadata, write
from soundwright.audio.sound import Sound
from soundwright.cli.wishes import check_out
from soundwright.core.errors import UserError

on_posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX")


@pytest.fixture
def run(command, tiny_model):
    def run(*arguments):
        return command("generate", *arguments, "--model", tiny_model)

    return run


@pytest.fixture
def given(tmp_path):
    """Two seconds of noise, in the folder where commands run."""
    sound = Sound(0.1 * torch.randn(1, 32_000, generator=torch.Generator()), 16_000)
    path = tmp_path / "in.wav"
    write(path, sound)
    return path


def test_a_stream_gives_the_same_files_as_a_whole_sound(run, tmp_path):
    results = [
        run("rain", "--duration", 2, "--seed", 4, "--json", "--out", out, *stream)
        for out, stream in (("once", []), ("live", ["--stream"]))
    ]
    assert [result.exit_code for result in results] == [0, 0], results[1].stderr
    once, live = (json.loads(result.stdout)["sounds"] for result in results)
    assert live == [{**once[0], "file": "live/rain-4.wav"}]
    for file in ("rain-4.wav", "rain-4.json"):
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "live" / file).read_bytes()


def test_a_stream_goes_into_a_pipe(run, tmp_path):
    piped = run("rain", "--duration", 1.5, "--stream", "--out", "-")
    assert piped.exit_code == 0, piped.stderr
    run("rain", "--duration", 1.5, "--out", "rain.wav")
    assert piped.stdout_bytes == (tmp_path / "rain.wav").read_bytes()
    assert not list(tmp_path.glob("-*"))


def test_a_sound_is_continued_live(run, tmp_path, given):
    options = ("rain", "--continue-from", "in.wav", "--duration", 3, "--negative", "wind")
    assert run(*options, "--stream", "--out", "live.wav").exit_code == 0
    assert run(*options, "--out", "once.wav").exit_code == 0
    assert (tmp_path / "live.wav").read_bytes() == (tmp_path / "once.wav").read_bytes()


@on_posix
def test_ctrl_c_leaves_a_sound_that_plays_and_says_so(run, tmp_path):
    def interrupt():
        while not path.exists() or path.stat().st_size < 50_000:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "rain.wav"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        result = run("rain", "--stream", "--duration", 7200, "--out", "rain.wav")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    there = read(path)
    assert there.duration > 1.5
    assert f"rain.wav holds the first {there.duration:.2f} s of 7200 s" in result.stderr
    described = json.loads((tmp_path / "rain.json").read_text())
    assert described["complete"] is False
    assert described["duration"] == there.duration
    assert read_metadata(path)["title"] == "rain"


@on_posix
def test_a_full_disk_is_said_and_what_fitted_plays(run, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        result = run("rain", "--stream", "--duration", 60, "--out", "rain.wav")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 2
    assert "rain.wav cannot be written: File too large" in result.stderr
    assert "Free some space" in result.stderr
    assert 1.0 < read(tmp_path / "rain.wav").duration < 100_000 / 2 / 16_000


def test_a_loop_is_the_best_of_several(run):
    result = run("rain", "--loop", "--best-of", 2, "--duration", 1.5, "--seed", 3, "--json")
    assert result.exit_code == 0, result.stderr
    (sound,) = json.loads(result.stdout)["sounds"]
    assert sound["settings"]["loop"] is True
    assert [one["seed"] for one in sound["ranking"]["candidates"]] == [3, 4]
    assert sound["seed"] == sound["ranking"]["kept"]
    assert sound["file"] == f"rain-{sound['seed']}.wav"
    assert read(sound["file"]).duration == sound["duration"] == 1.5


def test_a_span_is_filled(run, given, tmp_path):
    result = run(
        *("rain", "--infill", "in.wav", "--span", "0.5:1.25", "--candidates", 2, "--json"),
        *("--out", "out.wav"),
    )
    assert result.exit_code == 0, result.stderr
    (sound,) = json.loads(result.stdout)["sounds"]
    assert sound["settings"]["infilled"]["span"] == [0.5, 1.25]
    assert len(sound["ranking"]["candidates"]) == 2
    old, new = read(given).samples, read(tmp_path / "out.wav").samples
    assert torch.equal(new[:, :8_000], old[:, :8_000])
    assert torch.equal(new[:, 20_000:], old[:, 20_000:])
    assert not torch.equal(new[:, 8_000:20_000], old[:, 8_000:20_000])


FILL = ("--infill", "in.wav", "--span", "0.5:1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stream", "--loop"], ("--stream and --loop cannot both", "is made last")),
        (["--stream", "--best-of", 2], "--stream and --best-of cannot both"),
        (["--stream", "--num-samples", 2], "--stream and --num-samples cannot both"),
        (["--stream", *FILL], "--stream and --infill cannot both"),
        (["wind", "--stream"], "A stream is one sound, and there are 2 prompts"),
        (["--stream", "--out", "x.flac"], ("stream cannot be written as .flac", ".wav")),
        (["--stream", "--out", "-", "--json"], "both a sound and a JSON object"),
        (["--out", "-"], ("Only a stream goes to standard output", "Add --stream")),
        (["--stream", "--duration", 100_000], "at most 86400 s"),
        (["--duration", 1000], ("at most 600 s", "--stream")),
        (["--loop", "--continue-from", "in.wav"], "--loop and --continue-from cannot both"),
        (["--loop", *FILL], "--loop and --infill cannot both"),
        (["--loop", "--duration", 0.5], "A loop of 0.5 s is shorter"),
        ([*FILL, "--continue-from", "in.wav"], "--infill and --continue-from cannot both"),
        ([*FILL, "--duration", 3], "--infill and --duration cannot both"),
        ([*FILL, "--best-of", 3], ("--infill and --best-of cannot both", "--candidates")),
        (["--infill", "in.wav"], "--infill needs --span"),
        (["--span", "1:2"], "--span needs --infill"),
        (["--candidates", 3], ("--candidates needs --infill", "--best-of")),
        ([*FILL, "--candidates", 0], "candidates is 0"),
        (["--infill", "in.wav", "--span", "1-2"], ("'1-2' is not a span", "START:END")),
        (["--infill", "in.wav", "--span", "1:b"], "'1:b' is not a span"),
        (["--infill", "in.wav", "--span", "1:2:3"], "'1:2:3' is not a span"),
        (["--infill", "in.wav", "--span", "1:9"], "does not lie in a sound of 2 s"),
        (["--infill", "none.wav", "--span", "1:2"], "none.wav"),
        (["--best-of", 0], "best_of is 0"),
        (["--negative", " "], "The negative prompt is empty"),
        (["--negative", "wind", "--cfg-scale", 1], "no effect without guidance"),
    ],
)
def test_what_cannot_be_meant_is_explained_and_nothing_is_written(
    refuses, tiny_model, tmp_path, given, arguments, says
):
    refuses("generate", "rain", *arguments, "--model", tiny_model, says=says)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


@on_posix
def test_a_terminal_gets_no_samples(monkeypatch):
    _, side = os.openpty()
    with os.fdopen(side, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        with pytest.raises(UserError, match=r"terminal cannot play(.|\n)*aplay"):
            check_out(Path("-"), 1, streamed=True, json=False)


def test_help_shows_what_belongs_together(command):
    shown = command("generate", "--help").stdout
    for words in ("--infill street.wav", "--stream", "From a given sound", "--best-of"):
        assert words in shown
