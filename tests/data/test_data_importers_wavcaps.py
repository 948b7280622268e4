"""WavCaps as it is published: a file of clips for each of its sources, and blacklists."""

import json

import pytest
from imported_clips import by_item, has_speech, sound_texts

from soundwright.core.errors import UserError
from soundwright.core.records import Caption
from soundwright.data.importers.wavcaps import import_wavcaps

AUDIOSET = [
    {
        "id": "Yb0RFKhbpFJA.wav",
        "caption": "Wind and a speech are heard.",
        "audio": "wav_path",
        "duration": 10.0,
    },
    {"id": "Y-0DdlOuIFUI.wav", "caption": "A test clip.", "audio": "wav_path", "duration": 10.0},
]
BBC = [
    {
        "description": "Greengrocer Cicada - close-up stridulation.",
        "category": "['Nature', 'Insects']",
        "caption": "A bug is stridulating.",
        "id": "NHU05051026",
        "duration": 88.84,
        "audio": "wav_path",
        "download_link": "https://sound-effects-media.bbcrewind.co.uk/zip/NHU05051026.wav.zip",
    },
    {"id": "NHU1", "caption": "A bird.", "category": "Nature", "description": "", "duration": 1.0},
]
FREESOUND = [
    {
        "id": "2219",
        "file_name": "UK Mello.wav",
        "href": "/people/Tempouser/sounds/2219/",
        "tags": ["ringtone", "basic"],
        "description": "Standard ringtone, in mello tone.",
        "author": "Tempouser",
        "duration": 3.2,
        "download_link": "https://freesound.org/people/Tempouser/sounds/2219/download/x.wav",
        "caption": "A traditional ringtone is playing.",
        "audio": "wav_path",
    },
    {"id": "77", "caption": "Gone.", "duration": 1.0},
    {"id": "78", "duration": 1.0},
]
SOUNDBIBLE = [
    {
        "title": "Airplane Landing Airport",
        "description": "Large commercial airplane landing at an airport runway.",
        "author": "Daniel Simion",
        "href": "2219-Airplane-Landing-Airport.html",
        "caption": "An airplane is landing.",
        "id": "2219",
        "duration": 14.14,
        "audio": "wav_path",
        "download_link": "http://soundbible.com/grab.php?id=2219&type=wav",
    }
]
FILES = {
    "AudioSet_SL/as_final": AUDIOSET,
    "BBC_Sound_Effects/bbc_final": BBC,
    "FreeSound/fsd_final": FREESOUND,
    "FreeSound/fsd_final_2s": FREESOUND,
    "SoundBible/sb_final": SOUNDBIBLE,
}
TEST_CLIPS = {"AudioSet": ["Y-0DdlOuIFUI.wav"], "FreeSound": []}
ESC_CLIPS = {"AudioSet": [], "FreeSound": ["2219"]}


@pytest.fixture
def wavcaps(tmp_path, sound_file):
    root = tmp_path / "WavCaps"
    for name, clips in FILES.items():
        path = root / "json_files" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"num_captions_per_audio": 1, "data": clips}))
    lists = root / "json_files" / "blacklist"
    lists.mkdir()
    (lists / "blacklist_exclude_test_ac.json").write_text(json.dumps(TEST_CLIPS))
    (lists / "blacklist_exclude_ub8k_esc50_vggsound.json").write_text(json.dumps(ESC_CLIPS))
    for seed, name in enumerate(
        (
            "Zip_files/AudioSet_SL_flac/Yb0RFKhbpFJA",
            "Zip_files/AudioSet_SL_flac/Y-0DdlOuIFUI",
            "Audio/BBC_Sound_Effects/NHU05051026",
            "Audio/BBC_Sound_Effects/NHU1",
            "Zip_files/FreeSound_flac/2219",
            "Audio/SoundBible/2219",
        )
    ):
        sound_file(f"WavCaps/{name}.flac", seed=seed)
    return root


def test_wavcaps(wavcaps):
    imported = import_wavcaps(wavcaps)
    clips = by_item(imported)
    assert list(clips) == [
        "AudioSet_SL/Yb0RFKhbpFJA",
        "BBC_Sound_Effects/NHU05051026",
        "SoundBible/2219",
    ]
    plane = clips["SoundBible/2219"]
    assert plane.captions == (
        Caption(text="An airplane is landing.", kind="model", model="chatgpt"),
    )
    assert plane.location.path == "Audio/SoundBible/2219.flac"
    assert plane.metadata == {
        "source": "SoundBible",
        "title": "Airplane Landing Airport",
        "description": "Large commercial airplane landing at an airport runway.",
    }
    assert clips["BBC_Sound_Effects/NHU05051026"].tags == ("Nature", "Insects")
    assert [clip.source.url for clip in clips.values()] == [
        "https://www.youtube.com/watch?v=b0RFKhbpFJA",
        "https://sound-effects-media.bbcrewind.co.uk/zip/NHU05051026.wav.zip",
        "https://soundbible.com/2219-Airplane-Landing-Airport.html",
    ]
    assert imported.report.reasons == {"blacklisted": 2, "bad-row": 2, "missing": 1}


def test_wavcaps_is_for_academic_use(wavcaps):
    for clip in import_wavcaps(wavcaps).manifest.clips:
        assert clip.licence.name == "academic-only"
        assert "WavCaps's statement" in clip.licence.evidence
    assert clip.licence.author == "Daniel Simion"
    assert clip.licence.evidence.endswith("the terms of SoundBible hold as well")


def test_what_blacklists_name_is_left_out_by_name(wavcaps):
    skipped = {skip.item: skip for skip in import_wavcaps(wavcaps).report.skipped}
    assert skipped["as_final.json, clip 2"].detail == (
        "blacklist_exclude_test_ac names Y-0DdlOuIFUI"
    )
    assert skipped["fsd_final.json, clip 1"].reason == "blacklisted"
    chosen = import_wavcaps(wavcaps, blacklists=["blacklist_exclude_test_ac.json"])
    ringtone = by_item(chosen)["FreeSound/2219"]
    assert ringtone.tags == ("ringtone", "basic")
    assert ringtone.location.path == "Zip_files/FreeSound_flac/2219.flac"
    assert ringtone.source.url == "https://freesound.org/people/Tempouser/sounds/2219/"
    assert (ringtone.licence.author, ringtone.licence.title) == ("Tempouser", "UK Mello.wav")
    assert "AudioSet_SL/Y-0DdlOuIFUI" in by_item(import_wavcaps(wavcaps, blacklists=["none"]))
    with pytest.raises(UserError, match="did you mean 'blacklist_exclude_test_ac'"):
        import_wavcaps(wavcaps, blacklists=["blacklist_exclude_test"])


def test_a_file_of_another_source_is_not_taken_for_a_missing_one(wavcaps):
    (wavcaps / "Zip_files" / "FreeSound_flac" / "2219.flac").unlink()
    imported = import_wavcaps(wavcaps, blacklists=["blacklist_exclude_test_ac"])
    assert "SoundBible/2219" in by_item(imported)
    assert "FreeSound/2219" not in by_item(imported)
    assert imported.report.reasons["missing"] == 2


def test_without_its_blacklists_nothing_is_imported_unasked(wavcaps):
    for path in (wavcaps / "json_files" / "blacklist").iterdir():
        path.unlink()
    with pytest.raises(UserError, match='choose the blacklist "none"'):
        import_wavcaps(wavcaps)
    assert len(import_wavcaps(wavcaps, blacklists=["none"]).manifest.clips) == 5


def test_strict_does_not_stop_at_blacklists(wavcaps):
    (wavcaps / "json_files" / "BBC_Sound_Effects" / "bbc_final.json").unlink()
    for name in ("fsd_final", "fsd_final_2s"):
        (wavcaps / "json_files" / "FreeSound" / f"{name}.json").unlink()
    report = import_wavcaps(wavcaps, strict=True).report
    assert (report.kept, report.reasons) == (2, {"blacklisted": 1})


def test_captions_of_wavcaps_are_prepared_as_natural_ones(wavcaps):
    speech, bug, plane = import_wavcaps(wavcaps).manifest.clips
    assert sound_texts(plane) == ("airplane land",)
    assert sound_texts(bug) == ("bug stridulate", "nature insects")
    assert [has_speech(clip) for clip in (speech, bug, plane)] == [True, False, False]


def test_wavcaps_as_the_repository_has_it(wavcaps, tmp_path):
    (tmp_path / "data").mkdir()
    (wavcaps / "json_files").rename(tmp_path / "data" / "json_files")
    path = tmp_path / "data" / "json_files" / "SoundBible" / "sb_final.json"
    path.write_text(json.dumps(SOUNDBIBLE))
    assert "SoundBible/2219" in by_item(import_wavcaps(tmp_path))
    path.write_text(json.dumps({"clips": []}))
    with pytest.raises(UserError, match="is not WavCaps"):
        import_wavcaps(tmp_path)
