"""What is noticed of files that change between two runs."""

import os
import sys

import pytest
from small_media import write_cues, write_recording

from soundwright.corpus.ingest import IngestConfig, ingest
from soundwright.corpus.inputs.choice import Input
from soundwright.data.importers.folder import import_folder
from soundwright.data.manifest import write_manifest


@pytest.fixture
def again(tmp_path):
    """Ingests once, then changes something and ingests again."""

    def run(change, **given):
        inputs = (Input.model_validate(given),)
        ingest(inputs, IngestConfig(), tmp_path)
        assert not ingest(inputs, IngestConfig(), tmp_path).fresh
        change()
        return ingest(inputs, IngestConfig(), tmp_path)

    return run


@pytest.mark.parametrize("given", [{"folder": "media"}, {"table": "list.csv"}])
def test_a_changed_transcript_is_a_changed_recording(again, tmp_path, given):
    folder = tmp_path / "media"
    folder.mkdir()
    write_recording(folder / "a.wav", 0, 1.0)
    write_cues(folder / "a.en.vtt", [])
    (tmp_path / "list.csv").write_text("path,transcript\nmedia/a.wav,media/a.en.vtt\n")
    found = again(lambda: write_cues(folder / "a.en.vtt", [(0, 1)]), **given)
    assert (found.fresh, found.changed, found.examples) == (
        True, 1, ["a.wav" if "folder" in given else "media/a.wav"]
    )  # fmt: skip


def test_a_changed_or_new_file_of_a_table_is_noticed(again, tmp_path):
    write_recording(tmp_path / "a.wav", 0, 1.0)
    (tmp_path / "list.csv").write_text("path\na.wav\nb.wav\n")
    assert again(lambda: write_recording(tmp_path / "a.wav", 1, 2.0), table="list.csv").changed == 1
    assert again(lambda: write_recording(tmp_path / "b.wav", 1, 2.0), table="list.csv").changed == 1


def test_a_changed_file_of_a_manifest_is_noticed(again, tmp_path):
    write_recording(tmp_path / "a.wav", 0, 2.0)
    write_manifest(tmp_path / "list" / "manifest.jsonl", import_folder(tmp_path).manifest)
    assert again(lambda: write_recording(tmp_path / "a.wav", 1, 3.0), manifest="list").changed == 1


def test_the_corpus_s_own_files_are_no_input(again, tmp_path):
    write_recording(tmp_path / "a.wav", 0, 1.0)

    def make():
        (tmp_path / "export").mkdir()
        write_recording(tmp_path / "export" / "a.wav", 0, 1.0)
        write_recording(tmp_path / "stages" / "b.wav", 0, 1.0)
        (tmp_path / "corpus.yaml").write_text("name: changed")

    assert not again(make, folder=".").fresh


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")
def test_a_name_that_is_not_utf8_is_signed(again, tmp_path):
    (tmp_path / "media").mkdir()
    write_recording(tmp_path / "media" / "a.wav", 0, 1.0)
    strange = os.fsencode(tmp_path / "media") + b"/\xff.wav"
    with open(strange, "wb") as file:  # noqa: PTH123
        file.write(b"sound")

    def change():
        with open(strange, "wb") as file:  # noqa: PTH123
            file.write(b"other sound")

    found = again(change, folder="media")
    assert (found.fresh, found.changed, found.failures) == (True, 0, 1)
