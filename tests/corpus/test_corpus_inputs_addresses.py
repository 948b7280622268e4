"""Choosing among what is not fetched yet, then building a corpus of what was chosen."""

import pytest
from small_media import exported_records, run, write_config, write_recording

from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.reading import read_inputs

SILENT = {"transcripts": {"missing": "silent"}, "merge": None, "keywords": None}


def test_what_was_chosen_by_address_is_fetched_and_decoded(tmp_path):
    write_recording(tmp_path / "a.wav", 0, 10.0)
    address = (tmp_path / "a.wav").as_uri()
    first = tmp_path / "first"
    first.mkdir()
    (first / "list.csv").write_text(f"id,url,start,end\none,{address},2,5.5\n")
    chosen = write_config(
        first, inputs=[{"table": "list.csv", "licence": {"name": "CC0"}}], **SILENT, caption=None,
        probe=None, decode={"sound": "none"}, export={"format": "manifest", "captioned": False},
    )  # fmt: skip
    run(chosen)
    (told,) = exported_records(first)
    assert told["location"]["path"] == address
    (found,) = read_inputs((Input(manifest="export"),), first)
    assert (found.location, found.source.url) == (None, address)
    assert [(one.start, one.end) for one in found.pieces] == [(0.0, 3.5)]
    second = write_config(
        tmp_path / "second", inputs=[{"manifest": "../first/export"}], **SILENT, fetch={}
    )
    run(second)
    (made,) = exported_records(tmp_path / "second")
    assert made["id"] == told["id"]
    assert made["duration"] == pytest.approx(3.5)
    assert (made["source"]["start"], made["source"]["end"]) == (2.0, 5.5)
