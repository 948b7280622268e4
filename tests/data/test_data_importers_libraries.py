"""Sound libraries and music: the BBC's, Free To Use Sounds, recordings with sidecars."""

import json

import numpy as np
import pytest
from imported_clips import by_item, has_speech, music_texts, sound_texts

from soundwright.core.errors import UserError
from soundwright.core.records import Caption
from soundwright.data.importers.bbc import import_bbc
from soundwright.data.importers.free_to_use_sounds import (
    describe_file_name,
    import_free_to_use_sounds,
)
from soundwright.data.importers.music import import_music
from soundwright.text.preparation import PRESETS, draw_text

BBC = """\
"location","description","secs","category","CDNumber","CDName","tracknum"
"07076051.wav","Two-stroke petrol engine, start, run.","194","Engines: Petrol","EC1","Engines","4"
"07076031.wav","A busy machine shop with some speech.","393","Industry: Light","EC5","Shop","3"
"07076014.wav","Creed telegraph operating. (c.1928-1952)","119","","EC45N","Telegraph","6"
"07076037.wav","Speed up at 3'45"". (Steam engine, 1911)","423","Engines: Steam","EC","Sea","2"
"""


@pytest.fixture
def bbc(tmp_path, sound_file):
    for name in ("07076051", "07076031", "cd/07076014"):
        sound_file(f"bbc/{name}.wav", seed=len(name) + int(name[-1]))
    (tmp_path / "bbc" / "BBCSoundEffects.csv").write_text(BBC)
    return tmp_path / "bbc"


def test_bbc(bbc):
    imported = import_bbc(bbc)
    clips = by_item(imported)
    assert list(clips) == ["07076051", "07076031", "07076014"]
    engine = clips["07076051"]
    assert engine.captions == (Caption(text="Two-stroke petrol engine, start, run."),)
    assert engine.tags == ("Engines", "Petrol")
    assert clips["07076014"].tags == ()
    assert engine.source.url == "https://sound-effects.bbcrewind.co.uk/search?q=07076051"
    assert (engine.licence.name, engine.licence.author) == ("RemArc", "BBC")
    assert engine.metadata == {"cd": "EC1", "cd_name": "Engines", "track": "4"}
    (skip,) = imported.report.skipped
    assert (skip.item, skip.reason) == ("BBCSoundEffects.csv, line 5", "missing")


def test_descriptions_of_the_bbc_are_captions(bbc):
    engine, shop, telegraph = import_bbc(bbc).manifest.clips
    assert sound_texts(engine) == (
        "stroke petrol engine start run",
        "engines petrol",
    )
    assert [has_speech(clip) for clip in (engine, shop, telegraph)] == [False, True, False]


@pytest.mark.parametrize(
    ("stem", "text"),
    [
        ("City_Park_Birds_And_Distant_Traffic_01", "City Park Birds And Distant Traffic"),
        (
            "freetousesounds - Kalimba Sample Pack - 04 MUSCInst, Kalimba, G4-004",
            "Kalimba Sample Pack 04 MUSCInst, Kalimba, G4",
        ),
        ("12 Temple Bell - Free To Use Sounds", "Temple Bell"),
        ("Metro 747 Arrives FTUS", "Metro 747 Arrives"),
        ("FTUS_003", ""),
    ],
)
def test_file_names_are_read_as_descriptions(stem, text):
    assert describe_file_name(stem) == text


@pytest.fixture
def bundle(tmp_path, sound_file):
    for name in ("Lisbon Pack/Rain_On_3_Tents_02", "Lisbon Pack/Market Speech", "Bali/Frogs"):
        sound_file(f"bundle/{name}.wav", seed=len(name))
    return tmp_path / "bundle"


def test_free_to_use_sounds_by_file_names(bundle):
    clips = by_item(import_free_to_use_sounds(bundle))
    rain = clips["Lisbon Pack/Rain_On_3_Tents_02.wav"]
    assert rain.captions == (Caption(text="Rain On 3 Tents"),)
    assert rain.metadata == {"pack": "Lisbon Pack"}
    assert rain.licence.url == "https://www.freetousesounds.com/license-agreement"
    assert sound_texts(rain) == ("rain tent",)
    assert {item for item, clip in clips.items() if has_speech(clip)} == {
        "Lisbon Pack/Market Speech.wav"
    }


def test_free_to_use_sounds_with_a_sheet(bundle, tmp_path):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "Filename,Description,Keywords\n"
        'Rain_On_3_Tents_02.wav,"Heavy rain, close","rain, tent"\nGone.wav,Nothing,\n'
    )
    imported = import_free_to_use_sounds(bundle, table=sheet)
    clips = by_item(imported)
    rain = clips["Lisbon Pack/Rain_On_3_Tents_02.wav"]
    assert (rain.captions[0].text, rain.tags) == ("Heavy rain, close", ("rain", "tent"))
    assert clips["Bali/Frogs.wav"].captions == (Caption(text="Frogs"),)
    assert len(clips) == 3
    assert imported.report.reasons == {"missing": 1}
    sheet.write_text("Filename,Length\nFrogs.wav,3\n")
    with pytest.raises(UserError, match=r"has Filename, Length.\n.*Filename and Description"):
        import_free_to_use_sounds(bundle, table=sheet)


SIDECAR = {
    "key": "",
    "artist": "Voyager I",
    "sample_rate": 48000,
    "file_extension": "mp3",
    "description": "A cool song from Voyager.",
    "keywords": "bright, pulsing, cool",
    "duration": 15.0,
    "bpm": 120,
    "genre": "electronic",
    "title": "Enracinement",
    "name": "electro_1",
    "instrument": "Mix",
    "moods": ["uplifting", "motivational"],
}


@pytest.fixture
def music(tmp_path, sound_file):
    for name in ("electro_1", "electro_2", "bare", "broken"):
        sound_file(f"songs/{name}.wav", seed=len(name))
    root = tmp_path / "songs"
    (root / "electro_1.json").write_text(json.dumps(SIDECAR))
    (root / "electro_2.json").write_text(json.dumps({"genre": "dub", "license": "CC-BY"}))
    (root / "broken.json").write_text("{")
    (root / "lost.json").write_text("{}")
    return root


def test_music_with_sidecars(music):
    imported = import_music(music, dataset="mine", split="train", licence="bought")
    clips = by_item(imported)
    assert list(clips) == ["electro_1.wav", "electro_2.wav"]
    first, second = clips.values()
    assert first.captions == (Caption(text="A cool song from Voyager."),)
    assert first.tags == ("bright", "pulsing", "cool")
    assert first.metadata == {
        "artist": "Voyager I",
        "bpm": 120,
        "genre": "electronic",
        "title": "Enracinement",
        "instrument": "Mix",
        "moods": "uplifting, motivational",
    }
    assert (first.licence.name, first.licence.author) == ("bought", "Voyager I")
    assert (second.licence.name, second.licence.evidence) == (
        "CC-BY",
        "electro_2.json, key 'license'",
    )
    assert (first.source.dataset, first.split) == ("mine", "train")
    assert [(skip.item, skip.reason) for skip in imported.report.skipped] == [
        ("bare.wav", "no-metadata"),
        ("broken.wav", "bad-row"),
        ("lost.json", "missing"),
    ]


def test_metadata_of_music_joins_its_text(music):
    first, second = import_music(music).manifest.clips
    assert music_texts(first) == ("A cool song from Voyager.",)
    assert music_texts(second) == ()
    stream = np.random.default_rng(0)
    drawn = {draw_text(first, PRESETS["rr-music"], stream) for _ in range(200)}
    parts = {part for text in drawn for part in text.split(". ")}
    assert {"bpm: 120", "moods: uplifting, motivational", "tags: bright, pulsing, cool"} <= parts
    assert "genre: dub" in draw_text(second, PRESETS["rr-music"], stream)
    assert not has_speech(first)
