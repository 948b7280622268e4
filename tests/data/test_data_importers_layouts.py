"""Every layout by its name: what is refused, and what its documentation says of it."""

import re
from pathlib import Path

import pytest
from imported_clips import has_speech, sound_texts

from soundwright.cli.data_import import FLAGS, import_
from soundwright.core.errors import UserError
from soundwright.data.importers.audiocaps import import_audiocaps
from soundwright.data.importers.esc import import_esc
from soundwright.data.importers.layouts import LAYOUTS, find_importer, options_of

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "audiocaps": ("AudioCaps", "train.csv", "audiocap_id, youtube_id, start_time, caption"),
    "audioset": ("AudioSet", "balanced_train_segments.csv", "YTID, start_seconds"),
    "autorecap": ("AutoReCap", "a manifest", "CLAP_SIM"),
    "bbc": ("BBC Sound Effects", "BBCSoundEffects.csv", "location, description, secs, category"),
    "clotho": ("Clotho", "clotho_metadata_<split>.csv", "start_end_samples, manufacturer"),
    "esc10": ("ESC-50", "meta/esc50.csv"),
    "esc50": ("ESC-50", "meta/esc50.csv"),
    "free-to-use-sounds": ("Free To Use Sounds", "folders of sound files"),
    "fsd50k": ("FSD50K", "FSD50K.ground_truth/dev.csv", "title, description, tags, license"),
    "music": ("a music collection", "X.json beside X.wav", "genre, bpm, key"),
    "musiccaps": ("MusicCaps", "musiccaps-public.csv", "aspect_list, caption, author_id"),
    "vggsound": ("VGG-Sound", "vggsound.csv", "YouTube id, start seconds, label, split"),
    "wavcaps": ("WavCaps", "json_files/<source>/*.json", "num_captions_per_audio"),
}


def test_there_is_an_error_for_every_layout():
    assert set(EXPECTED) | {"folder"} == set(LAYOUTS)


@pytest.mark.parametrize("layout", EXPECTED)
def test_another_folder_is_told_what_was_expected(tmp_path, layout):
    (tmp_path / "README.txt").write_text("something else")
    (tmp_path / "sub").mkdir()
    with pytest.raises(UserError) as error:
        find_importer(layout)(tmp_path)
    said = str(error.value)
    for words in EXPECTED[layout]:
        assert words in said
    assert "it holds README.txt, sub/" in said
    with pytest.raises(UserError, match=r"is not a folder|no such folder"):
        find_importer(layout)(tmp_path / "nowhere")


TABLES = {
    "audioset": ("eval_segments.csv", "# x\n# y\n# YTID\nabc, 1.0, 2.0\n"),
    "vggsound": ("vggsound.csv", "abc,30,dog barking\n"),
    "audiocaps": ("val.csv", "youtube_id,start_time,caption\na,1,x\n"),
    "bbc": ("BBCSoundEffects.csv", "location,text\na.wav,x\n"),
    "clotho": ("clotho_captions_development.csv", "file_name,caption\na.wav,x\n"),
    "musiccaps": ("musiccaps-public.csv", "ytid,start,end,caption\na,1,2,x\n"),
}
SAYS = {
    "audioset": ("3 cells", "rows of YTID, start_seconds, end_seconds, positive_labels"),
    "vggsound": ("3 cells", "rows of YouTube id, start seconds, label, split"),
    "audiocaps": ("no column 'audiocap_id'; it has youtube_id, start_time, caption",),
    "bbc": ("no column 'description'; it has location, text",),
    "clotho": ("no column 'caption_1'; it has file_name, caption",),
    "musiccaps": ("no column 'start_s'; it has ytid, start, end, caption",),
}


@pytest.mark.parametrize("layout", TABLES)
def test_another_table_is_told_its_columns(tmp_path, layout):
    name, content = TABLES[layout]
    (tmp_path / name).write_text(content)
    (tmp_path / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/0,Dog\n")
    (tmp_path / "clotho_metadata_development.csv").write_text("file_name\na.wav\n")
    with pytest.raises(UserError) as error:
        find_importer(layout)(tmp_path)
    for words in SAYS[layout]:
        assert words in str(error.value)


def test_files_that_belong_together_must_all_be_there(tmp_path):
    (tmp_path / "eval_segments.csv").write_text("# YTID\nabc, 1.0, 2.0, /m/0\n")
    with pytest.raises(UserError, match=r"class_labels_indices\.csv with the columns index, mid"):
        find_importer("audioset")(tmp_path)
    (tmp_path / "clotho_captions_development.csv").write_text("file_name\na.wav\n")
    with pytest.raises(UserError, match="is not Clotho: it holds clotho_captions_development"):
        find_importer("clotho")(tmp_path)


def test_layouts_are_named_in_help_and_documentation():
    page = (ROOT / "docs" / "importers.md").read_text(encoding="utf-8")
    named = re.search(r"Layouts: (.*?);", import_.__doc__, re.DOTALL)[1]
    assert {name.strip() for name in named.split(",")} == set(LAYOUTS)
    for layout in LAYOUTS:
        assert f"| `{layout}` |" in page


def test_every_option_of_an_importer_has_a_flag():
    offered = {option for importer in LAYOUTS.values() for option in options_of(importer)}
    # A class's captions come from the command; which part of ESC-50 is meant, the name says.
    assert offered - {"caption", "subset"} == set(FLAGS)


def test_captions_of_audiocaps_are_prepared_as_natural_ones(tmp_path, sound_file):
    (tmp_path / "val.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n"
        "1,ab,30,2 dogs are barking\n2,ab,30,A dog barks\n3,cd,0,A man gives a speech\n"
    )
    sound_file("ab.wav", seed=1)
    sound_file("cd.wav", seed=2)
    dogs, speech = import_audiocaps(tmp_path).manifest.clips
    assert sound_texts(dogs) == ("dog bark",)
    assert (dogs.split, has_speech(dogs), has_speech(speech)) == ("val", False, True)


def test_classes_of_esc50_are_captions_and_tags(tmp_path, sound_file):
    sound_file("audio/1-1-A-0.wav", seed=1)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,crying_baby,True,1,A\n"
    )
    (clip,) = import_esc(tmp_path).manifest.clips
    assert sound_texts(clip) == ("cry baby", "crying baby")
    assert not has_speech(clip)
