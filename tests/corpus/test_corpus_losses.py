"""Nothing is lost silently: what does not become a clip of the export is counted and named."""

import pytest
from small_media import exported_records, run, write_config, write_cues, write_recording

from soundwright.core.errors import CheckpointError
from soundwright.corpus.explaining import explain
from soundwright.corpus.failing import forget_failures, list_named_failures
from soundwright.corpus.fetching import fetched_file
from soundwright.corpus.ingest import deal_key, shard_of
from soundwright.corpus.parts import ROWS
from soundwright.corpus.records import Media
from soundwright.data.manifest import read_manifest
from soundwright.data.verification import verify


@pytest.fixture
def takes(tmp_path):
    """Two recordings of 10 s in a folder that is no input."""
    for number in range(2):
        (tmp_path / "takes").mkdir(exist_ok=True)
        write_recording(tmp_path / "takes" / f"take-{number}.wav", number)
    return tmp_path / "takes"


def write_table(root, header, rows, **changes):
    """A corpus of the rows of a table, without transcripts."""
    (root / "list.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    given = {"table": "list.csv", "folder": "takes", "licence": {"name": "CC0"}}
    return write_config(
        root,
        **{
            "inputs": [given],
            "transcripts": {"missing": "silent"},
            "caption": None,
            "merge": None,
            **changes,
        },
    )


def failures(corpus, states, stage):
    folder = states[stage].place.folder
    return [one for shard in range(corpus.shards) for one in folder.failures(shard)]


def spans(root):
    return sorted((one["source"]["start"], one["source"]["end"]) for one in exported_records(root))


def test_only_the_file_knows_how_long_it_is(tmp_path, takes):
    rows = [f"r{number},{takes}/take-{number}.wav,rain" for number in range(2)]
    config = write_table(tmp_path, "id,url,caption", rows, fetch={})
    corpus, states = run(config)
    assert [one["source"]["item"] for one in exported_records(tmp_path)] in (
        ["r0", "r1"],
        ["r1", "r0"],
    )
    assert [one["duration"] for one in exported_records(tmp_path)] == [10.0, 10.0]
    (row, *_) = [
        row
        for shard in range(corpus.shards)
        for row in states["fetch"].place.folder.rows(shard, Media)
    ]
    assert row.duration == 10.0
    assert row.seconds["kept"] == 10.0


def test_a_length_that_nothing_tells_is_a_failure(tmp_path, takes):
    config = write_table(tmp_path, "id,url,caption", [f"r0,{takes}/take-0.wav,rain"])
    corpus, states = run(config)
    (failure,) = failures(corpus, states, "decode")
    assert (failure.reason, failure.kind) == ("no-duration", "permanent")
    assert states["decode"].counts.failed == 1
    assert states["decode"].counts.absorbed == 0


def test_a_recording_without_gaps_is_counted(tmp_path):
    (tmp_path / "media").mkdir()
    write_recording(tmp_path / "media" / "a.wav", 0)
    write_cues(tmp_path / "media" / "a.en.vtt", [(0.0, 10.0)])
    _, states = run(write_config(tmp_path))
    assert states["gaps"].counts.drops == {"no-gaps": 1}
    assert states["gaps"].counts.left_out == 1


def test_the_second_of_two_equal_spans_is_named(tmp_path, takes):
    write_recording(takes / "take-0.wav", 0, seconds=20.0)
    rows = ["take-0.wav,0,16,rain", "take-0.wav,8,16,rain", "take-0.wav,2,10,rain"]
    config = write_table(
        tmp_path, "path,start,end,caption", rows, ingest={"shard_size": 1}, fingerprint={}, dedup={}
    )
    corpus, states = run(config)
    (failure,) = failures(corpus, states, "decode")
    assert failure.reason == "duplicate-id"
    assert "take-0.wav from 8 s to 16 s is a clip already" in failure.detail
    counts = states["decode"].counts
    assert (counts.read, counts.written, counts.failed, counts.absorbed) == (3, 3, 1, 2)
    assert verify(read_manifest(tmp_path / "export")).sound
    kept = [row for shard in range(corpus.shards) for row in _rows(states, shard)]
    assert {shard_of(deal_key(row), corpus.shards) for row in kept} == {
        shard for shard in range(corpus.shards) if list(_rows(states, shard))
    }
    assert len({deal_key(row) for row in kept}) == 1


def _rows(states, shard):
    return states["ingest"].place.folder.rows(shard, Media)


def test_a_clip_ends_where_its_sound_does(tmp_path, takes):
    write_recording(takes / "take-0.wav", 0, seconds=18.0)
    corpus, states = run(write_published(tmp_path))
    assert spans(tmp_path) == [(0.0, 5.0), (15.0, 18.0)]
    assert {one["id"]: one["duration"] for one in exported_records(tmp_path)} == {
        one["id"]: one["source"]["end"] - one["source"]["start"]
        for one in exported_records(tmp_path)
    }
    (failure,) = failures(corpus, states, "decode")
    assert failure.reason == "no-samples"


def write_published(root):
    """A corpus of intervals: their pieces are given, whatever the files say."""
    lines = [
        '{"take-0": {"intervals": [{"start": 15, "end": 25, "text": "rain", "CLAP_SIM": 0.5}]}},',
        '{"take-1": {"intervals": [{"start": 20, "end": 25, "text": "rain", "CLAP_SIM": 0.5},'
        ' {"start": 0, "end": 5, "text": "rain", "CLAP_SIM": 0.5}]}},',
    ]
    (root / "list.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return write_config(
        root,
        inputs=[{"intervals": "list.jsonl", "folder": "takes"}],
        transcripts=None,
        caption=None,
        merge=None,
    )


def test_what_the_export_leaves_out_is_counted(tmp_path, takes):
    rows = ["take-0.wav,rain", "take-1.wav,"]
    config = write_table(tmp_path, "path,caption", rows)
    _, states = run(config)
    assert states["export"].counts.drops == {"no-caption": 1}
    assert states["export"].counts.absorbed == 1
    corpus, states = run(config, "export.where=source.item == 'nothing'")
    assert states["export"].counts.drops == {"export-where": 1, "no-caption": 1}
    assert states["export"].counts.left_out == 2
    card = (tmp_path / "export" / "README.md").read_text()
    assert "| export | 2 | 0 | 0 | 2 | 2 | export-where: 1, no-caption: 1 |" in card
    told = [line for one in explain(corpus, "take-1.wav") for line in one.lines]
    assert "  export leaves it out, no-caption" in told


def test_a_broken_recording_counts_once(tmp_path, takes):
    rows = [f"{takes}/take-0.wav,rain,45", f"{takes}/take-1.wav,rain,10"]
    config = write_table(
        tmp_path,
        "url,caption,duration,id",
        [f"{row},r{number}" for number, row in enumerate(rows)],
        fetch={},
        gaps={"max_segment": 10.0},
        execution={"at_least": 1, "max_error_rate": 0.5},
    )
    corpus, states = run(config)
    found = failures(corpus, states, "decode")
    assert [one.reason for one in found] == ["no-samples"] * 3
    assert len({one.item for one in found}) == 3
    counts = states["decode"].counts
    assert (counts.read, counts.failed, counts.absorbed) == (2, 1, 1)
    assert sorted(one["duration"] for one in exported_records(tmp_path)) == [1.0, 9.0, 10.0]


@pytest.mark.parametrize(
    ("content", "missing", "drops", "failed", "pieces"),
    [
        ("WEBVTT\n\n", "drop", {"no-transcript": 1}, [], 0),
        ("WEBVTT\n\n", "silent", {}, [], 1),
        ("WEBVTT\n\nhello there\n", "silent", {}, ["unreadable-transcript"], 0),
    ],
)
def test_an_empty_transcript_is_none(tmp_path, content, missing, drops, failed, pieces):
    (tmp_path / "media").mkdir()
    write_recording(tmp_path / "media" / "a.wav", 0)
    (tmp_path / "media" / "a.en.vtt").write_text(content, encoding="utf-8")
    config = write_config(tmp_path, transcripts={"missing": missing})
    corpus, states = run(config, until="decode")
    assert states["transcripts"].counts.drops == drops
    assert [one.reason for one in failures(corpus, states, "transcripts")] == failed
    assert states["decode"].counts.written == pieces


@pytest.fixture
def told(tmp_path):
    """A corpus of two recordings with two clips each, the second file twice; tells of a name."""
    for number in range(3):
        (tmp_path / "media").mkdir(exist_ok=True)
        write_recording(tmp_path / "media" / f"take-{number}.wav", number)
        write_cues(tmp_path / "media" / f"take-{number}.en.vtt", [(4.0, 6.0)])
    for number in (1, 2):
        (tmp_path / "media" / f"take-{number}.info.json").write_text('{"id": "same"}')
    corpus, _ = run(write_config(tmp_path), "select.where=source.start < 1")
    return corpus, lambda name: {one.stage: list(one.lines) for one in explain(corpus, name)}


def test_a_clip_is_explained_without_its_siblings(told, tmp_path):
    _, story = told
    (one,) = [row for row in exported_records(tmp_path) if row["source"]["item"] == "take-0.wav"]
    found = story(one["id"])
    clips = {line for lines in found.values() for line in lines if line.startswith("clip ")}
    assert clips == {f"clip {one['id']}: media/take-0.wav, 0 to 3.75 s, 3.75 s"}
    assert found["ingest"][0].startswith("recording ")
    assert len(found["gaps"]) == 2
    assert found["select"][-1] == "  select keeps it"


def test_a_recording_is_summarised_with_its_clips(told, tmp_path):
    _, story = told
    found = story("take-0.wav")
    assert len(found["decode"]) == 2
    assert sum("select would leave it out, source.start < 1" in one for one in found["select"]) == 1
    assert len(found["export"]) == 2


def test_the_refused_one_of_two_recordings_is_explained(told):
    _, story = told
    (line,) = story("take-2.wav")["ingest"]
    assert "failed (permanent): duplicate-id" in line
    assert "take-2.wav is not" in line


def test_damaged_rows_are_named_by_explain(told):
    corpus, story = told
    for place in corpus.places:
        if place.name == "decode":
            for shard in range(corpus.shards):
                path = place.folder.file(shard, ROWS)
                path.write_bytes(b"x" * path.stat().st_size)  # Of another size it does not count.
    with pytest.raises(CheckpointError, match=r"jsonl.gz is damaged"):
        story("no such name")


def test_failures_have_the_names_of_their_items(tmp_path):
    (tmp_path / "media").mkdir()
    write_recording(tmp_path / "media" / "a.wav", 0)
    (tmp_path / "media" / "a.en.vtt").write_bytes(b"\xff\xfe\x00")
    corpus, _ = run(write_config(tmp_path))
    ((failure, name),) = list_named_failures(corpus)
    assert (failure.reason, name) == ("unreadable-transcript", "a.wav")


def test_broken_files_are_fetched_again_where_all_is_tried_again(tmp_path, takes, monkeypatch):
    address = "http://nowhere.example/take.wav"
    config = write_table(tmp_path, "id,url,caption", [f"r0,{address},rain"], fetch={})
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    file = fetched_file(address, tmp_path / "media")
    file.parent.mkdir()
    file.write_bytes(b"an error in place of a file")
    corpus, states = run(config)
    assert [one.reason for one in failures(corpus, states, "fetch")] == ["not-audio"]
    assert forget_failures(corpus) == 0
    assert file.is_file()
    assert forget_failures(corpus, everything=True) == 1
    assert not file.exists()
    write_recording(file, 0)
    run(config)
    assert [one["source"]["item"] for one in exported_records(tmp_path)] == ["r0"]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    corpus, _ = run(config, "decode.bits=24")
    forget_failures(corpus, everything=True)
    assert not file.exists()
