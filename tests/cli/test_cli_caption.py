"""`soundwright caption`, as it is typed."""

import json

import pytest
import torch

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.seeding import torch_stream
from soundwright.data.manifest import read_manifest


@pytest.fixture
def say(command, tiny_captioner):
    def run(*arguments):
        return command("caption", *arguments, "--model", tiny_captioner)

    return run


@pytest.fixture
def dog(tmp_path):
    samples = 0.2 * torch.randn(1, 16_000, generator=torch_stream(0, "dog")).clamp(-2, 2)
    write(tmp_path / "rose_bark.wav", Sound(samples, 16_000))
    return tmp_path / "rose_bark.wav"


def test_a_file_gets_a_line(say, dog):
    result = say(dog)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{dog}: ")
    assert "confidence 0." in result.stdout
    assert "agreement" in result.stdout


def test_json_lines_are_one_a_file_and_the_same_as_in_a_file(say, dog, tmp_path):
    long = tmp_path / "long.wav"
    samples = 0.2 * torch.randn(1, 25 * 8000, generator=torch_stream(1, "dog"))
    write(long, Sound(samples.clamp(-1, 1), 8000))
    printed = say(dog, long, "--jsonl")
    rows = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [row["file"] for row in rows] == [str(dog), str(long)]
    assert rows[1]["spans"][-1]["end"] == 25.0
    assert say(dog, long, "--jsonl", "--out", "c.jsonl").stdout == ""
    assert (tmp_path / "c.jsonl").read_text() == printed.stdout


def test_json_is_one_object(say, dog):
    found = json.loads(say(dog, "--json").stdout)
    assert found["model"] == "bundled-captioner-tiny"
    assert found["sounds"][0]["spans"][0]["start"] == 0.0


def test_what_is_known_comes_in_three_ways_that_say_the_same(say, dog, tmp_path):
    (tmp_path / "known.jsonl").write_text('{"file": "rose_bark.wav", "title": "rose bark"}\n')
    by_title = say(dog, "--title", "rose_bark.wav", "--json").stdout
    assert say(dog, "--names", "--json").stdout == by_title
    assert say(dog, "--metadata", "known.jsonl", "--json").stdout == by_title


def test_unread_metadata_is_told(say, dog):
    assert "does not read visual; it reads title" in say(dog, "--visual", "a yard").stderr


def test_a_bad_file_is_named_and_the_others_are_captioned(say, dog, tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    result = say(tmp_path / "bad.wav", dog, tmp_path / "gone.wav")
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{dog}: ")
    assert "bad.wav" in result.stderr
    assert "gone.wav" in result.stderr
    assert "2 of 3 files" in result.stderr


def test_a_corpus_is_captioned_into_a_new_manifest(say, command, dog, tmp_path):
    (tmp_path / "captions.csv").write_text("file,caption\nrose_bark.wav,my dog\n")
    assert command("data", "import", ".", "--out", "mine").exit_code == 0
    result = say("--manifest", "mine", "--out", "said", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["captioned"] == 1
    (clip,) = read_manifest(tmp_path / "said").clips
    assert [one.kind for one in clip.captions] == ["human", "model"]
    assert command("data", "stats", "said").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "There is nothing to caption"),
        (("a.wav", "b.wav", "--title", "x"), "of one file, and there are 2"),
        (("a.wav", "--title", "x", "--names"), "both give a title"),
        (("a.wav", "--json", "--jsonl"), "two forms of one answer"),
        (("a.wav", "--manifest", "m", "--out", "o"), "do not go together"),
        (("a.wav", "--metadata", "gone.jsonl"), "cannot be read"),
        (("a.wav", "--model", "bundeld"), "There is no model 'bundeld'"),
        (("--manifest", "m"), "no place for the captioned manifest"),
    ],
)
def test_mistakes_are_told(refuses, arguments, says):
    refuses("caption", *arguments, says=says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1 is not JSON"),
        ('{"title": "x"}', "names no file"),
        ('{"file": "b.wav"}', "knows none"),
    ],
)
def test_bad_tables_are_told(refuses, tmp_path, line, says):
    (tmp_path / "known.jsonl").write_text(line)
    refuses("caption", "a.wav", "--metadata", "known.jsonl", says=says)


def test_an_unknown_field_is_told(refuses, tiny_captioner, dog, tmp_path):
    (tmp_path / "known.jsonl").write_text('{"file": "rose_bark.wav", "titel": "x"}')
    refuses(
        *("caption", dog, "--metadata", "known.jsonl", "--model", tiny_captioner),
        says="did you mean 'title'",
    )
