"""Shards on the disk: whole or absent, the same bytes for the same rows."""

import gzip

import pytest

from soundwright.core.errors import CheckpointError
from soundwright.core.records import Clip, Drop, Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.parts import ERRORS, RECEIPT, ROWS, SOUND, PartFolder, PartWriter


def clip(number: int, **changes) -> Clip:
    source = Source(dataset="made-up", item=f"item-{number}", start=0, end=1)
    values = {
        "id": source.clip_id,
        "source": source,
        "location": Location(path="x.tar", offset=0, length=1),
        "pcm_hash": "ab",
        "duration": 1.0,
        "sample_rate": 16_000,
    }
    return Clip.model_validate({**values, **changes})


@pytest.fixture
def folder(tmp_path):
    return PartFolder(tmp_path / "stages" / "01-tag-abc", "abc")


def write(folder, rows, failures=()):
    with PartWriter(folder, 3, "tag") as out:
        for row in rows:
            out.count_read()
            out.keep(row)
        for failure in failures:
            out.count_read()
            out.fail(failure)
        path, offset = out.store_sound("a.flac", b"sound")
        receipt = out.finish("from", 1.5)
    return receipt, path, offset


def test_rows_come_back(folder):
    rows = [clip(1), clip(2, scores={"speech": 0.1})]
    failure = Failure(item="x", stage="tag", kind="permanent", reason="missing", detail="gone")
    receipt, path, offset = write(folder, rows, [failure])
    assert list(folder.rows(3, Clip)) == rows
    assert list(folder.failures(3)) == [failure]
    assert folder.receipt(3) == receipt
    assert (receipt.counts.read, receipt.counts.written, receipt.counts.failed) == (3, 2, 1)
    content = (folder.path.parent.parent / path).read_bytes()
    assert content[offset : offset + 5] == b"sound"


def test_equal_rows_give_equal_bytes(folder, tmp_path):
    other = PartFolder(tmp_path / "elsewhere" / "01-tag-abc", "abc")
    write(folder, [clip(1), clip(2)])
    write(other, [clip(1), clip(2)])
    for suffix in (ROWS, SOUND, RECEIPT):
        assert folder.file(3, suffix).read_bytes() == other.file(3, suffix).read_bytes()


def test_drops_of_the_stage_are_counted_by_reason(folder):
    mine = Drop(stage="tag", reason="speech")
    theirs = Drop(stage="dedup", reason="same-sound")
    receipt, *_ = write(folder, [clip(1, drops=(mine, theirs)), clip(2, drops=(theirs,))])
    assert receipt.counts.drops == {"speech": 1}


def test_what_is_not_finished_leaves_nothing(folder):
    def begin():
        with PartWriter(folder, 3, "tag") as out:
            out.keep(clip(1))
            out.store_sound("a.flac", b"sound")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        begin()
    assert list(folder.path.iterdir()) == []
    assert folder.receipt(3) is None


def test_a_second_writing_replaces_the_first_whole(folder):
    failure = Failure(item="x", stage="tag", kind="permanent", reason="missing", detail="gone")
    write(folder, [clip(1)], [failure])
    with PartWriter(folder, 3, "tag") as out:
        out.keep(clip(2))
        out.finish("from", 0.0)
    assert list(folder.rows(3, Clip)) == [clip(2)]
    assert list(folder.failures(3)) == []
    assert not folder.file(3, ERRORS).exists()
    assert not folder.file(3, SOUND).exists()


def test_a_receipt_of_other_parameters_does_not_count(folder):
    write(folder, [clip(1)])
    assert PartFolder(folder.path, "other").receipt(3) is None
    folder.file(3, RECEIPT).write_text("{")
    assert folder.receipt(3) is None


@pytest.mark.parametrize("how", ["another record", "cut", "no gzip", "broken blocks"])
def test_damaged_rows_are_named(folder, how):
    write(folder, [clip(1)])
    whole = folder.file(3, ROWS).read_bytes()
    damaged = {
        "another record": gzip.compress(b'{"id": 1}\n'),
        "cut": whole[:-12],
        "no gzip": b"x" * len(whole),
        "broken blocks": whole[:10] + b"\xff" * (len(whole) - 10),
    }
    folder.file(3, ROWS).write_bytes(damaged[how])
    with pytest.raises(CheckpointError, match=r"part-00003.jsonl.gz is damaged"):
        list(folder.rows(3, Clip))


@pytest.mark.parametrize("suffix", [ROWS, SOUND, ERRORS])
def test_a_receipt_without_its_files_does_not_count(folder, suffix):
    failure = Failure(item="x", stage="tag", kind="permanent", reason="missing", detail="gone")
    receipt, *_ = write(folder, [clip(1)], [failure])
    path = folder.file(3, suffix)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert folder.receipt(3) is None
    path.unlink()
    assert folder.receipt(3) is None
    path.write_bytes(content)
    assert folder.receipt(3) == receipt


@pytest.mark.parametrize("name", [".part-00004.jsonl.gz.77.tmp", "part-00004.search"])
def test_what_a_killed_run_left_is_swept_away(folder, name):
    write(folder, [clip(1)])
    rest = folder.path / name
    rest.write_bytes(b"half")
    folder.sweep()
    assert not rest.exists()
    assert folder.receipt(3) is not None
