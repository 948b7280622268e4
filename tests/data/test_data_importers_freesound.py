"""Clotho and FSD50K: Freesound's recordings, as the two data sets are published."""

import json

import pytest
from imported_clips import by_item, has_speech, sound_texts

from soundwright.data.clips import Skip
from soundwright.data.importers.clotho import import_clotho
from soundwright.data.importers.fsd50k import import_fsd50k
from soundwright.data.importers.licences import commons_name

CLOTHO_CAPTIONS = """\
file_name,caption_1,caption_2,caption_3,caption_4,caption_5
Distorted AM Radio noise.wav,A muddled noise of 2 channels of the radio,Noise,Noise,Noise,Static
Caf\u00e9.wav,People are chatting,"Cups clink, and a dog barks",Cups,Cups,
gone.wav,a,b,c,d,e
"""
CLOTHO_METADATA = """\
file_name,keywords,sound_id,sound_link,start_end_samples,manufacturer,license
Distorted AM Radio noise.wav,noise;radio,456,https://freesound.org/people/a/sounds/456,"[44100, 882000]",Ann,http://creativecommons.org/licenses/by/3.0/
Caf\u00e9.wav,speech;caf\u00e9,457,https://freesound.org/people/b/sounds/457,,Ren\u00e9,http://creativecommons.org/publicdomain/zero/1.0/
"""


@pytest.fixture
def clotho(tmp_path, sound_file):
    root = tmp_path / "clotho"
    names = ("development/Distorted AM Radio noise", "development/Caf\u00e9", "evaluation/Creek")
    for name in names:
        sound_file(f"clotho/{name}.wav", seed=len(name))
    (root / "clotho_captions_development.csv").write_text(CLOTHO_CAPTIONS, encoding="utf-8")
    (root / "clotho_metadata_development.csv").write_text(CLOTHO_METADATA, encoding="latin-1")
    (root / "clotho_captions_evaluation.csv").write_text(
        CLOTHO_CAPTIONS.splitlines()[0] + "\nCreek.wav,A creek runs,A brook,Water,Water,Water\n"
    )
    (root / "clotho_metadata_evaluation.csv").write_text(
        CLOTHO_METADATA.splitlines()[0] + "\nother.wav,k,1,https://freesound.org/s/1,,Cy,\n"
    )
    return root


def test_clotho(clotho):
    imported = import_clotho(clotho)
    clips = by_item(imported)
    radio, cafe, creek = clips.values()
    assert [caption.text for caption in radio.captions][:2] == [
        "A muddled noise of 2 channels of the radio",
        "Noise",
    ]
    assert {caption.kind for caption in radio.captions} == {"human"}
    assert [len(clip.captions) for clip in clips.values()] == [5, 4, 5]
    assert radio.tags == ("noise", "radio")
    assert (radio.source.start, radio.source.end) == (1, 20)
    assert (cafe.source.start, cafe.source.end) == (0, None)
    assert radio.location.start == 0
    assert radio.source.url == "https://freesound.org/people/a/sounds/456"
    assert radio.metadata == {"freesound_id": "456"}
    assert (radio.split, creek.split) == ("development", "evaluation")
    assert imported.report.skipped == (
        Skip("clotho_captions_development.csv, line 4", "missing", "there is no file 'gone.wav'"),
    )


def test_clotho_has_a_licence_for_each_clip(clotho):
    radio, cafe, creek = import_clotho(clotho).manifest.clips
    assert (radio.licence.name, radio.licence.author) == ("CC-BY", "Ann")
    assert radio.licence.url == "http://creativecommons.org/licenses/by/3.0/"
    assert radio.licence.evidence == "clotho_metadata_development.csv, line 2, column 'license'"
    assert (cafe.licence.name, cafe.licence.author) == ("CC0", "René")
    assert creek.licence.name == "unknown"
    assert creek.licence.evidence == "clotho_metadata_evaluation.csv does not name the file"


def test_captions_of_clotho_lose_stop_words_and_numbers(clotho):
    radio, cafe, creek = import_clotho(clotho).manifest.clips
    assert sound_texts(radio) == (
        "muddle noise channel radio",
        "noise",
        "static",
        "noise radio",
    )
    assert sound_texts(creek) == ("creek run", "brook", "water")
    assert [has_speech(clip) for clip in (radio, cafe, creek)] == [False, True, False]


def test_files_of_one_name_are_told_apart_by_their_split(clotho, sound_file):
    sound_file("clotho/evaluation/Distorted AM Radio noise.wav", seed=5)
    (clip, *_) = import_clotho(clotho).manifest.clips
    assert clip.location.path == "development/Distorted AM Radio noise.wav"
    (clotho / "development" / "Distorted AM Radio noise.wav").unlink()
    assert import_clotho(clotho).report.reasons == {"missing": 2}


def test_clotho_with_its_tables_in_a_folder_of_their_own(clotho):
    (clotho / "clotho_csv_files").mkdir()
    for table in clotho.glob("*.csv"):
        table.rename(clotho / "clotho_csv_files" / table.name)
    assert len(import_clotho(clotho).manifest.clips) == 3


INFO = {
    "63": {
        "title": "keys.wav",
        "description": "My keys\r\nfalling",
        "tags": ["keys", "metal"],
        "license": "http://creativecommons.org/licenses/by-nc/3.0/",
        "uploader": "ann",
    },
    "64": {
        "title": "talk",
        "description": "",
        "tags": [],
        "license": "http://creativecommons.org/licenses/sampling+/1.0/",
        "uploader": "bob",
    },
    "65": {"title": "no licence"},
    "66": {
        "title": "gone",
        "description": "",
        "tags": [],
        "license": "",
        "uploader": "cy",
    },
}


@pytest.fixture
def fsd50k(tmp_path, sound_file):
    root = tmp_path / "FSD50K"
    for name in ("dev_audio/63", "dev_audio/65", "eval_audio/64"):
        sound_file(f"FSD50K/FSD50K.{name}.wav", seed=len(name))
    truth, metadata = root / "FSD50K.ground_truth", root / "FSD50K.metadata"
    truth.mkdir()
    metadata.mkdir()
    (truth / "vocabulary.csv").write_text(
        "0,Keys_jangling,/m/03v3yw\n1,Female_speech_and_woman_speaking,/m/02zsn\n"
        "2,Domestic_sounds_and_home_sounds,/t/dd00071\n"
    )
    (truth / "dev.csv").write_text(
        "fname,labels,mids,split\n"
        '63,"Keys_jangling,Domestic_sounds_and_home_sounds","/m/03v3yw,/t/dd00071",train\n'
        "65,Keys_jangling,/m/03v3yw,val\n"
        "66,Keys_jangling,/m/03v3yw,val\n"
    )
    (truth / "eval.csv").write_text(
        "fname,labels,mids\n64,Female_speech_and_woman_speaking,/m/02zsn\n"
    )
    for part in ("dev", "eval"):
        (metadata / f"{part}_clips_info_FSD50K.json").write_text(json.dumps(INFO))
    return root


def test_fsd50k(fsd50k):
    imported = import_fsd50k(fsd50k)
    keys, talk = imported.manifest.clips
    assert keys.tags == ("Keys jangling", "Domestic sounds and home sounds")
    assert keys.captions == ()
    assert (keys.split, talk.split) == ("train", "eval")
    assert (keys.source.item, keys.source.url) == ("63", "https://freesound.org/s/63/")
    assert keys.metadata == {
        "title": "keys.wav",
        "description": "My keys\r\nfalling",
        "keywords": "keys, metal",
    }
    assert (keys.licence.name, keys.licence.author) == ("CC-BY-NC", "ann")
    assert keys.licence.title == "keys.wav"
    assert keys.licence.evidence == "dev_clips_info_FSD50K.json, 63, key 'license'"
    assert talk.licence.name == "CC-Sampling+"
    assert [(skip.item, skip.reason) for skip in imported.report.skipped] == [
        ("dev.csv, line 3", "bad-row"),
        ("dev.csv, line 4", "missing"),
    ]
    assert (
        "no title, description, tags, license, uploader of 65" in imported.report.skipped[0].detail
    )


def test_fsd50k_is_read_as_pseudo_sentences(fsd50k):
    keys, talk = import_fsd50k(fsd50k).manifest.clips
    assert sound_texts(keys) == ("keys jangling domestic sounds and home sounds",)
    assert (has_speech(keys), has_speech(talk)) == (False, True)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://creativecommons.org/licenses/by/3.0/", "CC-BY"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode", "CC-BY-NC-SA"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "public-domain"),
        ("http://creativecommons.org/licenses/sampling+/1.0/", "CC-Sampling+"),
        ("https://example.org/licenses/by/3.0/", "unknown"),
        ("", "unknown"),
    ],
)
def test_addresses_of_creative_commons_are_named(address, name):
    assert commons_name(address) == name
