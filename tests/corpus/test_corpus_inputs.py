"""What may come in, and how it is dealt out."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from small_media import write_cues, write_recording

from soundwright.core.errors import UserError
from soundwright.corpus import ingest as ingesting
from soundwright.corpus.failures import Failure
from soundwright.corpus.ingest import IngestConfig, ingest, shard_of
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.reading import read_inputs
from soundwright.corpus.parts import PartFolder
from soundwright.corpus.records import Media
from soundwright.data.importers.folder import import_folder
from soundwright.data.manifest import write_manifest


def read(root, **given):
    return list(read_inputs((Input.model_validate(given),), root))


def test_media_with_what_stands_beside_them(tmp_path):
    folder = tmp_path / "media" / "deep"
    folder.mkdir(parents=True)
    write_recording(folder / "talk.wav", 0, 1.0)
    for name in ("talk.de.vtt", "talk.en-GB.vtt", "talk.en.auto.vtt", "talk.en.json3"):
        write_cues(folder / name, [(0, 1)])
    (folder / "talk.info.json").write_text(
        json.dumps({"id": "abc", "title": "Storm", "webpage_url": "https://example.org/abc",
                    "license": "CC-BY", "uploader": "Ann", "tags": ["wind"], "duration": 1})
    )  # fmt: skip
    (found,) = read(tmp_path, folder="media", dataset="storms")
    assert found.source.item == "abc"
    assert found.source.dataset == "storms"
    assert found.location.path == "media/deep/talk.wav"
    assert [path.rpartition("/")[2] for path in found.transcripts] == [
        "talk.en-GB.vtt", "talk.en.json3", "talk.en.auto.vtt"
    ]  # fmt: skip
    assert (found.licence.name, found.licence.author) == ("CC-BY", "Ann")
    assert found.metadata["title"] == "Storm"
    assert found.tags == ("wind",)


def test_a_broken_description_is_named(tmp_path):
    write_recording(tmp_path / "a.wav", 0, 1.0)
    (tmp_path / "a.info.json").write_text("{")
    (found,) = read(tmp_path, folder=".")
    assert isinstance(found, Failure)
    assert found.reason == "bad-info"


def test_rows_of_a_table(tmp_path):
    write_recording(tmp_path / "a.wav", 0, 5.0)
    (tmp_path / "list.csv").write_text(
        "id,path,url,start,end,title,licence\n"
        "one,a.wav,,1,3,First,CC0\n"
        "two,,https://example.org/two.mp3,,,Second,\n"
        "three,a.wav,,x,3,Third,\n"
        ",,,,,,\n"
    )
    one, two, three = read(tmp_path, table="list.csv")
    assert (one.location.path, one.location.start, one.duration) == ("a.wav", 1.0, 2.0)
    assert one.licence.name == "CC0"
    assert two.location is None
    assert two.source.url == "https://example.org/two.mp3"
    assert isinstance(three, Failure)
    assert "line 4" in three.item


def test_clips_of_a_manifest_keep_their_ids(tmp_path):
    write_recording(tmp_path / "a.wav", 0, 2.0)
    manifest = import_folder(tmp_path).manifest
    write_manifest(tmp_path / "list" / "manifest.jsonl", manifest)
    (found,) = read(tmp_path, manifest="list")
    assert found.id == manifest.clips[0].id
    assert found.cues == ()
    assert found.location.path == "a.wav"


def test_published_intervals(tmp_path):
    (tmp_path / "list.jsonl").write_text(
        '{"vid1":{"intervals":[{"start":1.5,"end":4.0,"text":"rain falls","CLAP_SIM":0.31}]}},\n'
    )
    (found,) = read(tmp_path, intervals="list.jsonl", dataset="published")
    assert found.source.item == "vid1"
    assert (found.source.start, found.source.end) == (1.5, 4.0)
    assert found.source.url.endswith("vid1")
    assert found.captions[0].text == "rain falls"
    assert found.scores == {"published_clap": 0.31}
    assert found.pieces[0].duration == 2.5


@pytest.mark.parametrize("given", [{}, {"table": "a", "manifest": "b"}])
def test_an_input_is_of_one_kind(given):
    with pytest.raises(ValidationError, match="one of"):
        Input.model_validate(given)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no recordings"):
        read(tmp_path, folder=".")
    with pytest.raises(UserError, match="is not a folder"):
        read(tmp_path, folder="nowhere")


@pytest.fixture
def twenty(tmp_path):
    (tmp_path / "media").mkdir()
    for number in range(20):
        write_recording(tmp_path / "media" / f"{number}.wav", number, 0.2)
    return (Input(folder="media"),)


def rows_of(root, shards):
    folder = PartFolder(root / "stages" / "00-ingest", "ingest")
    return [list(folder.rows(shard, Media)) for shard in range(shards)]


def test_every_recording_is_in_the_shard_of_its_id(twenty, tmp_path):
    found = ingest(twenty, IngestConfig(shard_size=5), tmp_path)
    assert (found.shards, found.media, found.added) == (4, 20, 20)
    rows = rows_of(tmp_path, 4)
    assert sum(map(len, rows)) == 20
    for shard, some in enumerate(rows):
        assert all(shard_of(row.id, 4) == shard for row in some)
        assert [row.id for row in some] == sorted(row.id for row in some)


def test_unchanged_inputs_are_not_read_again(twenty, tmp_path):
    ingest(twenty, IngestConfig(), tmp_path)
    assert not ingest(twenty, IngestConfig(), tmp_path).fresh


def test_the_number_of_shards_stays(twenty, tmp_path):
    ingest(twenty, IngestConfig(shard_size=5), tmp_path)
    for number in range(20, 60):
        write_recording(tmp_path / "media" / f"{number}.wav", number, 0.2)
    found = ingest(twenty, IngestConfig(shard_size=5), tmp_path)
    assert (found.shards, found.media, found.added) == (4, 60, 40)


def test_an_ingest_that_was_killed_is_done_again_with_as_many_shards(twenty, tmp_path, monkeypatch):
    ingest(twenty, IngestConfig(shard_size=5), tmp_path)
    found = rows_of(tmp_path, 4)
    extra = tmp_path / "media" / "20.wav"
    write_recording(extra, 20, 0.2)
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ingesting, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(twenty, IngestConfig(shard_size=5), tmp_path)
    assert calls
    extra.unlink()
    again = ingest(twenty, IngestConfig(shard_size=5), tmp_path)
    assert (again.fresh, again.shards) == (True, 4)
    assert rows_of(tmp_path, 4) == found


def test_changed_and_removed_recordings_are_told(twenty, tmp_path):
    ingest(twenty, IngestConfig(), tmp_path)
    write_recording(tmp_path / "media" / "3.wav", 77, 0.3)
    (tmp_path / "media" / "4.wav").unlink()
    found = ingest(twenty, IngestConfig(), tmp_path)
    assert (found.changed, found.removed, found.examples) == (1, 1, ["3.wav"])


def test_a_limit_takes_the_first(twenty, tmp_path):
    found = ingest(twenty, IngestConfig(limit=3), tmp_path)
    assert found.media == 3


def test_shards_divide_the_ids_evenly():
    rng = np.random.default_rng(0)
    ids = [f"{value:08x}" for value in rng.integers(0, 1 << 32, 8000)]
    counts = np.bincount([shard_of(one, 8) for one in ids], minlength=8)
    assert counts.min() > 900
    assert shard_of("00000000", 8) == 0
    assert shard_of("ffffffff", 8) == 7
