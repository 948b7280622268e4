"""Whole corpora: what comes out, what is done again after which change, what a kill leaves."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_media import (
    RATE,
    SPEECH,
    exported,
    exported_records,
    open_corpus,
    run,
    write_config,
    write_cues,
    write_media,
    write_recording,
)

from soundwright.core.errors import UserError
from soundwright.core.locking import lock_folder
from soundwright.core.records import Clip
from soundwright.corpus.parts import SEARCH
from soundwright.data.manifest import read_clip, read_manifest
from soundwright.data.verification import verify

MARGIN = 0.25


@pytest.fixture
def config(tmp_path):
    """A corpus of four recordings, not yet run."""
    write_media(tmp_path / "media")
    return write_config(tmp_path)


def test_clips_are_what_lies_between_the_cues(config):
    run(config)
    manifest = read_manifest(config.parent / "export")
    assert len(manifest.clips) == 8
    for clip in manifest.clips:
        name = clip.source.item
        whole, _ = soundfile.read(config.parent / "media" / name, dtype="float32")
        first, last = round(clip.source.start * RATE), round(clip.source.end * RATE)
        np.testing.assert_array_equal(read_clip(manifest, clip).samples[0], whole[first:last])
        assert clip.source.end <= SPEECH[0] - MARGIN or clip.source.start >= SPEECH[1] + MARGIN
        assert clip.licence.name == "CC0"
        assert clip.captions[-1].model == "loudness"
        assert Path(name).stem in clip.captions[-1].text
    assert verify(manifest).sound


def test_the_export_has_a_card_and_credits(config):
    run(config)
    card = (config.parent / "export" / "README.md").read_text()
    assert "8 clips" in card
    assert "| CC0 | 8 |" in card
    assert str(config.parent) not in card
    credited = (config.parent / "export" / "credits.csv").read_text().splitlines()
    assert len(credited) == 9


def test_one_and_two_workers_give_the_same_bytes(config, tmp_path):
    run(config, workers=0)
    found = exported(config.parent)
    for workers in (1, 2):
        shutil.rmtree(tmp_path / "stages")
        shutil.rmtree(tmp_path / "export")
        run(config, workers=workers)
        assert exported(config.parent) == found


def test_a_second_run_does_nothing(config):
    _, states = run(config)
    times = {path: path.stat().st_mtime_ns for path in (config.parent / "stages").rglob("*.ok")}
    run(config)
    assert times == {
        path: path.stat().st_mtime_ns for path in (config.parent / "stages").rglob("*.ok")
    }
    assert all(not state.pending for state in states.values())


def folders(root):
    return {path.name for path in (root / "stages").iterdir()}


def test_a_threshold_of_select_runs_nothing_else_again(config):
    run(config)
    before = folders(config.parent)
    run(config, "select.where=duration > 100")
    assert {name[3:9] for name in folders(config.parent) - before} == {"select", "export"}
    assert exported_records(config.parent) == []


def test_a_changed_parameter_runs_from_its_stage_on(config):
    run(config)
    before = folders(config.parent)
    run(config, "decode.sample_rate=8000")
    fresh = sorted(name[3:].rpartition("-")[0] for name in folders(config.parent) - before)
    assert fresh == ["caption", "decode", "export", "keywords", "merge", "probe", "select"]
    assert {one["sample_rate"] for one in exported_records(config.parent)} == {8000}


def test_a_change_can_be_taken_back_for_nothing(config):
    run(config)
    found = exported(config.parent)
    run(config, "gaps.margin=1.0")
    assert exported(config.parent) != found
    corpus = open_corpus(config)
    assert all(not state.pending for state in corpus.survey())
    run(config)
    assert exported(config.parent) == found


def test_a_changed_file_runs_its_shard_alone(config):
    run(config)
    before = {path: path.read_bytes() for path in (config.parent / "stages").rglob("*.ok")}
    write_cues(config.parent / "media" / "take-1.en.vtt", [(1.0, 9.0)])
    write_recording(config.parent / "media" / "take-1.wav", 9)
    run(config)
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert len(changed) == 1
    assert len(exported_records(config.parent)) == 6


def test_added_and_removed_files_come_and_go(config):
    run(config)
    found = exported_records(config.parent)
    write_recording(config.parent / "media" / "late.wav", 7)
    write_cues(config.parent / "media" / "late.en.vtt", [SPEECH])
    run(config)
    assert len(exported_records(config.parent)) == len(found) + 2
    (config.parent / "media" / "late.wav").unlink()
    run(config)
    assert exported_records(config.parent) == found


def test_what_cannot_be_read_is_named_and_left_out(config):
    media = config.parent / "media"
    (media / "take-0.wav").write_bytes(b"no sound")
    (media / "take-1.en.vtt").write_bytes(b"\xff\xfe\x00")
    (media / "take-2.en.vtt").unlink()
    corpus, states = run(config)
    assert len(exported_records(config.parent)) == 2
    failed = {
        failure.reason
        for state in states.values()
        for shard in range(corpus.shards)
        for failure in state.place.folder.failures(shard)
    }
    assert failed == {"not-audio", "unreadable-transcript"}
    assert states["transcripts"].counts.drops == {"no-transcript": 1}


def test_two_recordings_of_one_id_are_named(config):
    media = config.parent / "media"
    for number in (0, 1):
        (media / f"take-{number}.info.json").write_text('{"id": "same", "title": "A storm"}')
    corpus, states = run(config)
    (failure,) = [
        one
        for shard in range(corpus.shards)
        for one in states["ingest"].place.folder.failures(shard)
    ]
    assert failure.reason == "duplicate-id"
    assert "take-0.wav is kept" in failure.detail
    assert "take-1.wav is not" in failure.detail
    assert len(exported_records(config.parent)) == 6


def test_neighbours_of_one_caption_are_merged(tmp_path):
    write_media(tmp_path / "media", count=2, seconds=30.0)
    config = write_config(tmp_path, caption={"plugin": "corpus_plugins:SameCaptioner"})
    _, states = run(config)
    manifest = read_manifest(tmp_path / "export")
    assert sorted(round(clip.duration, 2) for clip in manifest.clips) == [3.75, 3.75, 23.75, 23.75]
    assert {len(clip.parents) for clip in manifest.clips} == {0, 3}
    assert states["merge"].counts.absorbed == 4
    assert verify(manifest).sound


@pytest.mark.parametrize(
    ("plugin", "reason"), [("CrashingScorer", "crash"), ("RaisingScorer", "exception")]
)
def test_a_row_that_kills_its_worker_is_found_and_left_out(config, monkeypatch, plugin, reason):
    # Recordings 2 and 3 are louder than this.
    monkeypatch.setenv("CRASH_ABOVE", "0.19")
    write_config(
        config.parent,
        tag={"scorers": [{"kind": "plugin", "name": f"corpus_plugins:{plugin}"}]},
    )
    corpus, states = run(config, workers=1)
    failures = [
        one for shard in range(corpus.shards) for one in states["tag"].place.folder.failures(shard)
    ]
    assert len(failures) == 4
    assert {(one.kind, one.reason) for one in failures} == {("poison", reason)}
    items = {one["source"]["item"] for one in exported_records(config.parent)}
    assert items == {"take-0.wav", "take-1.wav"}


def test_a_row_that_was_searched_when_a_run_was_killed_is_no_poison(config, monkeypatch):
    corpus, _ = run(config, until="probe")
    tag = {"scorers": [{"kind": "plugin", "name": "corpus_plugins:CrashingScorer"}]}
    write_config(config.parent, tag=tag)
    stages = open_corpus(config).places
    (probe,) = [place for place in stages if place.name == "probe"]
    (place,) = [place for place in stages if place.name == "tag"]
    place.folder.path.mkdir()
    quiet = []
    for shard in range(corpus.shards):
        rows = [one for one in probe.folder.rows(shard, Clip) if one.source.item == "take-0.wav"]
        quiet += [row.id for row in rows]
        notes = "".join(f'{{"begun": "{row.id}"}}\n' for row in rows)
        place.folder.file(shard, SEARCH).write_text(notes)
    assert len(quiet) == 2
    monkeypatch.setenv("CRASH_ABOVE", "0.19")
    _, states = run(config, workers=1, until="tag")
    tagged = states["tag"].place.folder
    failed = {one.item for shard in range(corpus.shards) for one in tagged.failures(shard)}
    assert len(failed) == 4
    assert failed.isdisjoint(quiet)
    assert list(tagged.path.glob("*.search")) == []


def test_sound_that_is_gone_is_made_again(config):
    run(config)
    found = exported(config.parent)
    (tar, *_) = sorted(config.parent.glob("stages/*-decode-*/*.tar"))
    tar.unlink()
    receipts = {path: path.stat().st_mtime_ns for path in config.parent.rglob("*.ok")}
    pending = [state.place.name for state in open_corpus(config).survey() if state.pending]
    assert pending[0] == "decode"
    run(config)
    assert tar.is_file()
    assert exported(config.parent) == found
    changed = [path for path, time in receipts.items() if path.stat().st_mtime_ns != time]
    assert changed == [tar.with_suffix(".ok")]


def test_too_many_failures_stop_the_run(tmp_path):
    media = write_media(tmp_path / "media", count=6)
    for number in range(5):
        (media / f"take-{number}.wav").write_bytes(b"no sound")
    config = write_config(tmp_path, execution={"at_least": 2, "max_error_rate": 0.1})
    for _ in range(2):
        with pytest.raises(UserError, match=r"rows failed in the stage gaps") as caught:
            run(config)
        assert "not-audio" in caught.value.problem
    run(config, "execution.max_error_rate=1")
    assert len(exported_records(tmp_path)) == 2
    with pytest.raises(UserError, match=r"rows failed in the stage gaps"):
        run(config)


def test_two_runs_at_once_are_refused(config):
    with (
        lock_folder(config.parent),
        pytest.raises(UserError, match="Another run is at work"),
        lock_folder(config.parent),
    ):
        pass


def test_a_plugin_that_is_none_is_refused(config):
    write_config(config.parent, caption={"plugin": "corpus_plugins:no_captioner"})
    with pytest.raises(UserError, match="no captioner: it has no name"):
        run(config)


@pytest.mark.slow
def test_a_corpus_that_was_killed_is_the_same_in_the_end(config):
    run(config)
    found = exported(config.parent)
    shutil.rmtree(config.parent / "stages")
    shutil.rmtree(config.parent / "export")
    rng = random.Random(5)
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    arguments = [sys.executable, "-m", "soundwright.cli", "corpus", "run", str(config),
                 "--workers", "1"]  # fmt: skip
    for _ in range(3):
        process = subprocess.Popen(
            arguments, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(3.0, 8.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert exported(config.parent) == found


def test_rows_keep_their_order_and_ids(config):
    corpus, states = run(config)
    for shard in range(corpus.shards):
        rows = list(states["export"].place.folder.rows(shard, Clip))
        assert [row.id for row in rows] == [row.source.clip_id for row in rows]


def test_of_two_copies_in_different_shards_one_is_kept(config):
    media = config.parent / "media"
    shutil.copy(media / "take-0.wav", media / "take-3.wav")
    write_config(config.parent, fingerprint={}, dedup={}, ingest={"shard_size": 1})
    _, states = run(config)
    assert states["dedup"].counts.drops == {"same-samples": 2}
    items = {one["source"]["item"] for one in exported_records(config.parent)}
    assert len(items & {"take-0.wav", "take-3.wav"}) == 1
    assert {"take-1.wav", "take-2.wav"} <= items
