"""Whose a recording is: what stands beside it, over what its input says."""

import json

import pytest
from small_media import write_recording

from soundwright.core.records import Licence
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.licences import clip_licence, closer_licence
from soundwright.corpus.inputs.reading import read_inputs
from soundwright.data.importers.folder import import_folder
from soundwright.data.importers.licences import short_name
from soundwright.data.manifest import write_manifest

BY = "https://creativecommons.org/licenses/by/4.0/"
YOUTUBE = "Creative Commons Attribution license (reuse allowed)"


def read_one(root, **given):
    (found,) = read_inputs((Input.model_validate(given),), root)
    return found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (YOUTUBE, "CC-BY"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "CC-BY-NC-SA"),
        ("Creative Commons Attribution NoDerivatives licence", "CC-BY-ND"),
        (BY, "CC-BY"),
        ("Not Creative Commons Attribution", "Not Creative Commons Attribution"),
        ("Standard YouTube License", "Standard YouTube License"),
        ("CC0", "CC0"),
    ],
)
def test_licences_in_full_are_named(text, name):
    assert short_name(text) == name


def test_credits_without_a_licence_go_with_the_input_s(tmp_path):
    (tmp_path / "list.csv").write_text(
        "path,author,licence_url,title\na.wav,Ann,https://example.org/terms,Storm\n"
    )
    given = {"name": "CC-BY", "author": "all"}
    assert read_one(tmp_path, table="list.csv", licence=given).licence == Licence(
        name="CC-BY", author="Ann", url="https://example.org/terms", title="Storm",
        evidence="list.csv, line 2",
    )  # fmt: skip


def test_the_address_of_another_licence_is_not_taken_over():
    given = Licence(name="CC-BY", url=BY, author="all", evidence="a page")
    said = closer_licence(given, evidence="row", name="CC0", title="Storm")
    assert said == Licence(name="CC0", author="all", title="Storm", evidence="row")
    same = closer_licence(given, evidence="row", name="CC-BY")
    assert (same.url, same.evidence) == (BY, "row")
    assert closer_licence(given, evidence="row") == given
    assert closer_licence(Licence(name="unknown"), evidence="row", name=BY) == Licence(
        name="CC-BY", url=BY, evidence="row"
    )


@pytest.mark.parametrize(
    ("told", "name"), [({}, "CC-BY"), ({"license": YOUTUBE}, "CC-BY"), ({"license": "own"}, "own")]
)
def test_a_video_s_page_is_not_the_address_of_its_licence(tmp_path, told, name):
    write_recording(tmp_path / "a.wav", 0, 1.0)
    page = "https://example.org/abc"
    about = {"uploader": "Ann", "title": "Storm", "webpage_url": page, **told}
    (tmp_path / "a.info.json").write_text(json.dumps(about))
    found = read_one(tmp_path, folder=".", licence={"name": "CC-BY"})
    assert found.source.url == page
    assert found.licence == Licence(
        name=name, author="Ann", title="Storm", evidence="a.info.json" if told else ""
    )


def test_a_manifest_s_unknown_licences_are_the_input_s(tmp_path):
    write_recording(tmp_path / "a.wav", 0, 2.0)
    write_manifest(tmp_path / "list" / "manifest.jsonl", import_folder(tmp_path).manifest)
    assert read_one(tmp_path, manifest="list").licence.name == "unknown"
    given = {"name": "CC-BY", "author": "Ann", "url": BY}
    assert read_one(tmp_path, manifest="list", licence=given).licence == Licence(**given)


def test_what_a_clip_says_of_its_licence_stays():
    given = Licence(name="CC-BY", author="Ann")
    for said in (Licence(name="CC0"), Licence(name="unknown", url="https://example.org/terms")):
        assert clip_licence(given, said) == said
    unknown = Licence(name="unknown", author="Bo", evidence="labels only")
    assert clip_licence(given, unknown) == Licence(name="CC-BY", author="Bo")
    assert clip_licence(Licence(name="unknown"), unknown) == unknown
