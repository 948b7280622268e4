"""`soundwright corpus ...` as a person meets it."""

import json
from pathlib import Path
from typing import get_args

import pytest
from small_media import exported_records, write_cues, write_media
from typer.testing import CliRunner

from soundwright.cli.main import app
from soundwright.corpus.config import CorpusConfig
from soundwright.data.manifest import read_manifest
from soundwright.data.verification import verify


@pytest.fixture
def command(own_cache, tmp_path, monkeypatch):
    """Runs `soundwright corpus` with arguments in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, ["corpus", *map(str, arguments)])

    return run


@pytest.fixture
def refuses(command):
    """Asserts that a command is a user's mistake, with these words."""

    def check(*arguments, says):
        result = command(*arguments)
        assert result.exit_code == 2, result.stderr or result.exception
        said = " ".join(result.stderr.replace("│", " ").split())
        assert says in said

    return check


SMALL = (
    "--set", "caption={plugin: 'corpus_plugins:LoudnessCaptioner'}", "--set", "fingerprint=",
    "--set", "dedup=", "--set", "decontaminate=", "--set", "tag=", "--set", "clapsim=", "--set",
    "select={where: not dropped, subsets: {MQ: duration > 1, MQ-L: duration > 1, "
    "HQ: duration > 1, long: duration > 3.5}}", "--set",
    "decode={sample_rate: 16000}",
)  # fmt: skip
"""The preset without what takes long."""


def test_from_a_folder_to_an_export(command, tmp_path):
    write_media(tmp_path / "videos")
    begun = command("init", "birds/corpus.yaml", "--media", "videos", "--licence", "CC-BY")
    assert begun.exit_code == 0, begun.stderr
    planned = command("plan", "birds", *SMALL)
    assert "the corpus has not been run yet" in planned.stdout
    ran = command("run", "birds", "--workers", 0, "--json", *SMALL)
    assert ran.exit_code == 0, ran.stderr or ran.exception
    told = json.loads(ran.stdout)
    assert told["clips"] == 8
    assert "4 recordings in 1 shards, 4 added" in ran.stderr
    records = exported_records(tmp_path / "birds")
    assert {one["licence"]["name"] for one in records} == {"CC-BY"}
    long = (tmp_path / "birds" / "export" / "manifest-long.jsonl").read_text().splitlines()
    assert len(long) == 9
    shown = command("status", "birds", *SMALL)
    assert "export" in shown.stdout
    story = command("explain", "birds", records[0]["id"], *SMALL)
    assert story.exit_code == 0, story.exception
    for words in ("ingest", "1 cues", "2 pieces", "loudness:", "select keeps it", "kept: "):
        assert words in story.stdout
    again = command("plan", "birds", *SMALL, "--json")
    assert all(one["pending"] == 0 for one in json.loads(again.stdout))
    changed = command("plan", "birds", *SMALL, "--set", "gaps.margin=0.5")
    assert "its parameters, or those of a stage before, have changed" in changed.stdout


def test_a_corpus_begins_with_its_folder(command, tmp_path, refuses):
    write_media(tmp_path / "videos", count=1)
    begun = command("init", "birds", "--media", "videos", "--json")
    assert json.loads(begun.stdout)["config"] == str(Path("birds", "corpus.yaml"))
    assert "folder: ../videos" in (tmp_path / "birds" / "corpus.yaml").read_text()
    refuses("init", "birds", "--media", "videos", says="exists already")
    told = command("init", "videos", "--media", "videos").stdout
    assert "soundwright corpus run videos" in told
    assert "folder: ." in (tmp_path / "videos" / "corpus.yaml").read_text()
    ran = command("run", "videos", "--workers", 0, "--until", "gaps", *SMALL)
    assert "1 recordings in 1 shards, 1 added" in ran.stderr
    assert "as before" in command("run", "videos", "--workers", 0, "--until", "gaps", *SMALL).stderr


def test_why_a_clip_was_left_out(command, tmp_path):
    write_media(tmp_path / "videos", count=1)
    command("init", "c/corpus.yaml", "--media", "videos")
    wants = (*SMALL, "--set", "select.where=duration > 5 and not dropped")
    ran = command("run", "c", "--workers", 0, *wants)
    assert ran.exit_code == 0, ran.stderr or ran.exception
    assert exported_records(tmp_path / "c") == []
    told = command("explain", "c", "take-0.wav", *wants).stdout
    assert "select would leave it out, duration > 5: 3.75 (threshold 5" in told


def test_what_failed_is_listed_and_tried_again(command, tmp_path):
    media = write_media(tmp_path / "videos")
    content = (media / "take-0.wav").read_bytes()
    (media / "take-0.wav").write_bytes(b"no sound at all")
    command("init", "c/corpus.yaml", "--media", "videos")
    command("run", "c", "--workers", 0, *SMALL)
    found = json.loads(command("errors", "c", "--json", *SMALL).stdout)
    assert [(one["stage"], one["kind"], one["reason"]) for one in found] == [
        ("gaps", "permanent", "not-audio")
    ]
    assert "0 shards" in command("retry", "c", *SMALL).stdout
    assert "1 shards" in command("retry", "c", "--all", *SMALL).stdout
    (media / "take-0.wav").write_bytes(content)
    assert command("run", "c", "--workers", 0, *SMALL).exit_code == 0
    assert json.loads(command("errors", "c", "--json", *SMALL).stdout) == []
    assert len(exported_records(tmp_path / "c")) == 8


def test_a_part_is_exported_elsewhere(command, tmp_path):
    write_media(tmp_path / "videos")
    command("init", "c/corpus.yaml", "--media", "videos")
    command("run", "c", "--workers", 0, *SMALL)
    wanted = ("--where", "source.item == 'take-1.wav'", "--format", "manifest")
    made = command("export", "c", "--out", "part", *wanted, "--workers", 0, *SMALL)
    assert made.exit_code == 0, made.stderr or made.exception
    manifest = read_manifest(tmp_path / "part")
    assert {clip.source.item for clip in manifest.clips} == {"take-1.wav"}
    assert verify(manifest).sound


def test_what_a_large_corpus_costs(command, tmp_path, refuses):
    write_media(tmp_path / "videos")
    command("init", "c/corpus.yaml", "--media", "videos")
    refuses("plan", "c", "--clips", "1e6", *SMALL, says="from what a small one has shown")
    command("run", "c", "--workers", 0, *SMALL)
    told = command("plan", "c", "--clips", "1e6", "--workers", 32, "--days", 2, *SMALL)
    assert "machines of 32 workers for 2 days" in told.stdout
    found = json.loads(command("plan", "c", "--clips", "1e6", "--json", *SMALL).stdout)
    assert found["stages"][-1]["rows"] == pytest.approx(1e6)


def test_mistakes_are_told(command, refuses, tmp_path):
    write_media(tmp_path / "videos")
    refuses("run", "nowhere.yaml", says="corpus init")
    refuses("init", "a/corpus.yaml", says="one of --media FOLDER, --manifest FILE")
    refuses("init", "a/corpus.yaml", "--media", "nowhere", says="nowhere does not exist")
    refuses("init", "a/corpus.yaml", "--media", "videos", "--preset", "autorekap",
            says="did you mean 'autorecap'?")  # fmt: skip
    command("init", "a/corpus.yaml", "--media", "videos")
    refuses("init", "a/corpus.yaml", "--media", "videos", says="exists already")
    refuses("run", "a", "--set", "gapps.margin=1", says="did you mean 'gaps'?")
    refuses("run", "a", "--until", "caption_", *SMALL, says="did you mean 'caption'?")
    refuses("run", "a", *SMALL, "--set", "select.where=durration > 5",
            says="did you mean 'duration'?")  # fmt: skip
    refuses("run", "a", *SMALL, "--set", "dedup={}", says="dedup compares fingerprints")
    refuses("explain", "a", "nothing", *SMALL, says="Nothing in this corpus is called 'nothing'")


def test_a_run_can_end_at_a_stage(command, tmp_path):
    write_media(tmp_path / "videos")
    write_cues(tmp_path / "videos" / "take-0.en.vtt", [(0.0, 9.9)])
    command("init", "c/corpus.yaml", "--media", "videos")
    told = command("run", "c", "--workers", 0, "--until", "gaps", "--json", *SMALL)
    names = [one["stage"] for one in json.loads(told.stdout)["stages"]]
    assert names == ["ingest", "transcripts", "gaps"]
    assert not (tmp_path / "c" / "export").exists()


def test_the_page_of_keys_has_every_key():
    page = (Path(__file__).parents[2] / "docs" / "corpus-keys.md").read_text(encoding="utf-8")
    for name, choice in CorpusConfig.model_fields.items():
        for kind in get_args(choice.annotation) or (choice.annotation,):
            if name in ("inputs", "fingerprint") or not hasattr(kind, "model_fields"):
                continue
            for key in kind.model_fields.keys() - {"match"}:
                assert f"| `{name}.{key}` |" in page, f"{name}.{key} is not in the page"


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_limited_run_stands_apart(command, tmp_path):
    write_media(tmp_path / "videos")
    root = tmp_path / "c"
    command("init", "c/corpus.yaml", "--media", "videos")
    small = (*SMALL, "--workers", 0, "--set", "ingest.shard_size=2")
    tried = command("run", "c", "--limit", 2, *small)
    assert tried.exit_code == 0, tried.stderr or tried.exception
    assert not (root / "export").exists()
    limited = files_of(root)
    done = command("run", "c", *small, "--json")
    assert {one["shards"] for one in json.loads(done.stdout)["stages"]} == {2}
    assert len(exported_records(root)) == 8
    whole = files_of(root)
    assert limited.items() <= whole.items()
    assert command("run", "c", "--limit", 2, *small).exit_code == 0
    command("run", "c", "--limit", 1, *small)
    again = files_of(root)
    assert whole.items() <= again.items()
    kept = (root / "export-limit-2" / "manifest.jsonl").read_text().splitlines()[1:]
    assert len(kept) == 4
    planned = command("plan", "c", "--limit", 3, *SMALL)
    assert "the corpus has not been run yet" in planned.stdout
    for limit in ((), ("--limit", 2)):
        told = json.loads(command("plan", "c", *limit, "--json", *SMALL, *small[-2:]).stdout)
        assert [one["pending"] for one in told] == [0] * len(told)
    settings = (*SMALL, *small[-2:], "--json")
    for limit, shards in (((), 2), (("--limit", 2), 1), (("--limit", 3), 0)):
        states = json.loads(command("status", "c", *limit, *settings).stdout)
        assert {one["done"] for one in states} == {shards}
    assert json.loads(command("errors", "c", "--limit", 2, *settings).stdout) == []
    assert json.loads(command("retry", "c", "--limit", 2, *settings).stdout) == {"shards": 0}
    clip = json.loads(kept[0])["id"]
    told = json.loads(command("explain", "c", clip, "--limit", 2, *settings).stdout)
    assert told[-1]["stage"] == "export"


def test_an_export_does_nothing_that_run_has_not(command, tmp_path, refuses):
    write_media(tmp_path / "videos")
    command("init", "c/corpus.yaml", "--media", "videos")
    part = ("export", "c", "--out", "part", "--workers", 0)
    refuses(*part, *SMALL, says="the corpus has not been run")
    command("run", "c", "--limit", 2, "--workers", 0, *SMALL)
    refuses(*part, *SMALL, says="the corpus has not been run")
    made = command(*part, *SMALL, "--limit", 2, "--json")
    assert json.loads(made.stdout)["clips"] == 4
    command("run", "c", "--workers", 0, *SMALL)
    write_media(tmp_path / "videos", count=5)
    made = command(*part, *SMALL, "--json")
    assert json.loads(made.stdout)["clips"] == 8
    refuses(*part, *SMALL, "--set", "select.where=duration > 1",
            says="The stage select is not done with these settings: 0 of 1 shards")  # fmt: skip


def test_an_export_replaces_nothing_but_an_export(command, tmp_path, refuses, monkeypatch):
    write_media(tmp_path / "videos", count=1)
    command("init", "c/corpus.yaml", "--media", "videos")
    command("run", "c", "--workers", 0, *SMALL)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "README.md").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = files_of(tmp_path)
    again = ("export", "c", "--workers", 0, *SMALL, "--out")
    for place in ("c", ".", tmp_path.parent, "c/stages", "c/stages/new"):
        refuses(*again, place, says="the corpus is there")
    refuses(*again, "precious", says="something else in it: README.md")
    refuses(*again, "videos", says="take-0.en.vtt, take-0.wav")
    refuses(*again, "file", says="it is a file")
    monkeypatch.chdir(tmp_path / "c")
    refuses("export", ".", *SMALL, "--out", ".", says="the corpus is there")
    monkeypatch.chdir(tmp_path)
    assert files_of(tmp_path) == before
    for form in ("parquet", "manifest", "webdataset"):
        made = command(*again, "part", "--format", form)
        assert made.exit_code == 0, made.stderr or made.exception
    assert exported_records(tmp_path / "c") == exported_records(tmp_path / "c", "../part")
    (tmp_path / "c" / "export" / "notes.txt").write_text("mine")
    refuses("run", "c", *SMALL, says="something else in it: notes.txt")
    assert (tmp_path / "c" / "export" / "notes.txt").read_text() == "mine"
    assert [one.name for one in tmp_path.glob(".*-old")] == []


def test_a_link_to_an_export_stays(command, tmp_path):
    write_media(tmp_path / "videos", count=1)
    command("init", "c/corpus.yaml", "--media", "videos")
    (tmp_path / "disk").mkdir()
    (tmp_path / "c" / "export").symlink_to(tmp_path / "disk" / "export")
    for _ in range(2):
        assert command("run", "c", "--workers", 0, *SMALL).exit_code == 0
    assert (tmp_path / "c" / "export").is_symlink()
    assert len(exported_records(tmp_path / "c")) == 2
    assert [one.name for one in (tmp_path / "disk").iterdir()] == ["export"]


@pytest.mark.parametrize("change", ["shard_size=0", "shard_size=-5", "limit=-1", "limit=0"])
def test_numbers_of_recordings_are_at_least_one(command, refuses, tmp_path, change):
    write_media(tmp_path / "videos", count=1)
    command("init", "c/corpus.yaml", "--media", "videos")
    refuses("run", "c", *SMALL, "--set", f"ingest.{change}", says="greater than or equal to 1")


def test_a_word_list_stands_beside_the_configuration(command, tmp_path):
    write_media(tmp_path / "videos", count=1)
    command("init", "c/corpus.yaml", "--media", "videos")
    (tmp_path / "c" / "mine.txt").write_text("noise\n")
    lists = ("--set", "keywords.lists=[mine.txt]", "--set", "select.where=not dropped")
    ran = command("run", "c", "--workers", 0, *SMALL, *lists, "--json")
    assert ran.exit_code == 0, ran.stderr or ran.exception
    drops = {one["stage"]: one["drops"] for one in json.loads(ran.stdout)["stages"]}
    assert drops["keywords"] == {"mine-words": 2}


def test_a_wrong_configuration_is_told_by_what_is_wrong(command, refuses, tmp_path):
    write_media(tmp_path / "videos", count=1)
    command("init", "c/corpus.yaml", "--media", "videos", "--preset", "recordings")
    (tmp_path / "empty.yaml").touch()
    refuses("run", "empty.yaml", says="empty.yaml is empty.")
    nothing = [
        argument
        for name in ("probe", "fingerprint", "dedup", "tag", "caption", "clapsim")
        for argument in ("--set", f"{name}=")
    ]
    refuses("run", "c", *nothing, "--set", "decode.sound=none",
            says="corpus.yaml: decode.sound is none, so that only export.format: manifest fits.",
    )  # fmt: skip
