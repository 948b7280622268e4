"""Inputs that do not hold: what is refused, what is named, and what goes on."""

import json
import os
import sys

import pytest
from pydantic import ValidationError
from small_media import write_cues, write_recording

from soundwright.core.errors import UserError
from soundwright.corpus.failures import Failure
from soundwright.corpus.ingest import IngestConfig, ingest
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.reading import list_inputs, read_inputs


def read(root, **given):
    return list(read_inputs((Input.model_validate(given),), root))


def faults(found):
    return [(one.kind, one.reason, one.detail) for one in found if isinstance(one, Failure)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.wav,5,5,,", "the end 5 lies not after the start 5"),
        ("a.wav,5,2,,", "the end 2 lies not after the start 5"),
        ("a.wav,nan,,,", "start is nan, not seconds from 0 on"),
        ("a.wav,-3,,,", "start is -3, not seconds from 0 on"),
        ("a.wav,,inf,,", "end is inf, not seconds from 0 on"),
        ("a.wav,,,nan,", "duration is nan, not seconds from 0 on"),
        (",,,,one", "one has neither a file nor an address: path and url are empty"),
    ],
)
def test_a_row_that_does_not_hold_is_named(tmp_path, row, says):
    (tmp_path / "list.csv").write_text(f"path,start,end,duration,id\n{row}\nb.wav,,,,\n")
    bad, good = read(tmp_path, table="list.csv")
    assert (bad.item, *faults([bad])[0]) == ("list.csv, line 2", "permanent", "bad-row", says)
    assert good.source.item == "b.wav"


@pytest.mark.parametrize("table", ["id,title\na,b\n", "path,start\na.wav,nan\n"])
def test_a_table_without_a_usable_row_is_refused(tmp_path, table):
    (tmp_path / "list.csv").write_text(table)
    with pytest.raises(UserError, match=r"no row that can be used; list\.csv, line 2: "):
        read(tmp_path, table="list.csv")


@pytest.mark.parametrize(
    ("column", "meant"), [("lisence", "licence"), ("captions", "caption"), ("paths", "path")]
)
def test_a_misspelt_column_is_refused(tmp_path, column, meant):
    (tmp_path / "list.csv").write_text(f"id,url,{column}\na,http://example.org/a.wav,x\n")
    with pytest.raises(UserError, match=f"'{column}', which is not known; did you mean '{meant}'"):
        read(tmp_path, table="list.csv")


def test_other_columns_are_passed_over_and_some_have_two_names(tmp_path):
    (tmp_path / "list.csv").write_text(
        "file,License,license_url,state,caption,captions,sample_rate\n"
        "a.wav,CC0,https://example.org/cc0,x,rain,storm,16000\n"
    )
    (found,) = read(tmp_path, table="list.csv")
    assert (found.source.item, found.location.path) == ("a.wav", "a.wav")
    assert (found.licence.name, found.licence.url) == ("CC0", "https://example.org/cc0")
    assert found.captions[0].text == "rain"


def test_a_table_without_paths_finds_files_by_their_ids(tmp_path):
    (tmp_path / "media" / "deep").mkdir(parents=True)
    write_recording(tmp_path / "media" / "deep" / "one.wav", 0, 1.0)
    (tmp_path / "list.csv").write_text("id\none\ntwo\n")
    one, two = read(tmp_path, table="list.csv", folder="media")
    assert one.location.path == "media/deep/one.wav"
    assert faults([two])[0][1] == "bad-row"


@pytest.mark.parametrize(
    "url", ["http://h/{id}.mp3", "http://h/a.mp3", "http://h/{item", "{item}{}"]
)
def test_an_address_without_the_item_is_refused(url):
    with pytest.raises(ValidationError, match="url"):
        Input(folder="a", url=url)


def test_an_address_names_the_item(tmp_path):
    (tmp_path / "list.csv").write_text("id\none\n")
    (found,) = read(tmp_path, table="list.csv", url="http://h/{item}.mp3")
    assert found.source.url == "http://h/one.mp3"


@pytest.mark.parametrize(
    "given", [{"folder": "nowhere"}, {"intervals": "list.jsonl", "folder": "nowhere"},
              {"table": "list.csv", "folder": "nowhere"}]
)  # fmt: skip
def test_a_missing_folder_is_told(tmp_path, given):
    (tmp_path / "list.jsonl").write_text("")
    (tmp_path / "list.csv").write_text("id\none\n")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        list(list_inputs((Input.model_validate(given),), tmp_path))
    with pytest.raises(UserError, match="nowhere is not a folder"):
        ingest((Input.model_validate(given),), IngestConfig(), tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")
def test_a_name_that_is_not_utf8_is_named_and_the_rest_goes_on(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for name in ("a", "b"):
        write_recording(folder / f"{name}.wav", 0, 1.0)
    for name in (b"c\xff.wav", b"b.en.\xff.vtt"):
        (folder / os.fsdecode(name)).write_bytes(b"")
    found = read(tmp_path, folder="media")
    assert [one.source.item for one in found if not isinstance(one, Failure)] == ["a.wav"]
    assert faults(found) == [
        ("permanent", "bad-name",
         r"the name of the file 'b.en.\udcff.vtt' is not UTF-8; rename it"),
        ("permanent", "bad-name", r"the name of the file 'c\udcff.wav' is not UTF-8; rename it"),
    ]  # fmt: skip
    result = ingest((Input(folder="media"),), IngestConfig(), tmp_path)
    assert (result.media, result.failures) == (1, 2)


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    folder = tmp_path / "media"
    (folder / "deep").mkdir(parents=True)
    write_recording(folder / "deep" / "a.wav", 0, 1.0)
    (folder / "deep" / "loop").symlink_to(folder)
    (folder / "again").symlink_to(folder / "deep")
    (folder / "itself").symlink_to(folder / "itself")
    (found,) = read(tmp_path, folder="media")
    assert found.location.path == "media/deep/a.wav"


@pytest.mark.parametrize(
    ("about", "duration", "tags"),
    [
        ({"duration": "12:30", "tags": "dog"}, 750.0, ("dog",)),
        ({"duration": "1:02:03.5", "tags": "dog, barking"}, 3723.5, ("dog", "barking")),
        ({"duration": 0, "tags": ["a", None, " b "]}, None, ("a", "b")),
        ({"duration": 7.5, "tags": []}, 7.5, ()),
    ],
)
def test_descriptions_are_read_as_they_are_meant(tmp_path, about, duration, tags):
    write_recording(tmp_path / "a.wav", 0, 1.0)
    (tmp_path / "a.info.json").write_text(json.dumps(about))
    (found,) = read(tmp_path, folder=".")
    assert (found.duration, found.tags) == (duration, tags)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ('{"tags": 5}', "tags is 5, not a list of texts"),
        ('{"duration": "long"}', "duration is 'long', not seconds or a clock"),
        ('{"duration": NaN}', "duration is nan, not seconds or a clock"),
        ('{"title": ["a"]}', "title is ['a'], not a text"),
        ('{"title": "\\ud83d"}', "surrogates not allowed"),
        ("[]", "it is no JSON object"),
    ],
)
def test_a_description_that_does_not_hold_is_named(tmp_path, about, says):
    write_recording(tmp_path / "a.wav", 0, 1.0)
    (tmp_path / "a.info.json").write_text(about)
    ((kind, reason, detail),) = faults(read(tmp_path, folder="."))
    assert (kind, reason) == ("permanent", "bad-info")
    assert detail.startswith("a.info.json: ")
    assert says in detail


def test_inputs_that_share_ids_are_told_to_take_names(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "media").mkdir(parents=True)
        write_recording(tmp_path / name / "media" / "a.wav", 0, 1.0)
    given = [Input(folder=f"{name}/media") for name in ("one", "two")]
    assert ingest(tuple(given), IngestConfig(), tmp_path).failures == 1
    named = [given[0], given[1].model_copy(update={"dataset": "other"})]
    assert ingest(tuple(named), IngestConfig(), tmp_path).failures == 0


def test_a_folder_without_a_name_has_that_of_where_it_is(tmp_path):
    folder = tmp_path / "birds"
    folder.mkdir()
    write_recording(folder / "a.wav", 0, 1.0)
    write_cues(folder / "a.vtt", [(0, 1)])
    (found,) = read(folder, folder=".")
    assert found.source.dataset == "birds"
