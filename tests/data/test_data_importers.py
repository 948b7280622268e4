import json
import os
from pathlib import Path

import pytest

from soundwright.core.errors import UserError
from soundwright.core.records import Caption
from soundwright.data.importers.audiocaps import import_audiocaps
from soundwright.data.importers.esc import import_esc
from soundwright.data.importers.folder import Columns, FolderImportConfig, import_folder
from soundwright.data.manifest import read_clip, read_manifest, write_manifest


@pytest.fixture
def recordings(sound_file, tmp_path):
    for seed, name in enumerate(["dog.wav", "sub/rain.wav", "sub/bell.ogg", "wind.flac"]):
        sound_file(f"set/{name}", seed=seed, seconds=0.2)
    return tmp_path / "set"


def by_item(imported):
    return {clip.source.item: clip for clip in imported.manifest.clips}


def texts(clip):
    return [caption.text for caption in clip.captions]


def test_a_folder_with_a_csv(recordings):
    (recordings / "captions.csv").write_text(
        "\ufefffile,caption,tags,split,license,author\n"
        'dog.wav,"a dog, barking",dog;bark,train,CC0,Ann\n'
        "dog.wav,a hound barks,,,,\n"
        "sub\\rain.wav,rain falls,rain,valid,,\n"
        "bell,a bell rings,,,,\n"
        "gone.wav,nothing,,,,\n"
        "wind.flac,,,,,\n"
        "wind.flac,too, many, cells,,,,\n",
        encoding="utf-8",
    )
    imported = import_folder(recordings, FolderImportConfig(split="train"))
    clips = by_item(imported)
    assert texts(clips["dog.wav"]) == ["a dog, barking", "a hound barks"]
    assert clips["dog.wav"].tags == ("dog", "bark")
    assert clips["dog.wav"].licence.name == "CC0"
    assert "captions.csv" in clips["dog.wav"].licence.evidence
    assert clips["dog.wav"].licence.author == "Ann"
    assert clips["sub/rain.wav"].split == "valid"
    assert clips["sub/bell.ogg"].split == "train"
    assert clips["sub/bell.ogg"].licence.name == "unknown"
    report = imported.report
    assert report.kept == 3
    assert report.reasons == {"bad-row": 1, "missing": 1, "no-caption": 1}
    assert report.uncaptioned == ("wind.flac",)
    assert {skip.item for skip in report.skipped} == {f"captions.csv, line {n}" for n in (6, 7, 8)}
    assert imported.manifest.header.facts["skipped"] == report.reasons
    assert json.loads(json.dumps(report.plain()))["kept"] == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.tsv", "path\ttext\ndog.wav\ta dog\n"),
        ("c.csv", "file_name;description\ndog.wav;a dog\n"),
        ("c.jsonl", '{"audio": "dog.wav", "prompt": "a dog"}\n'),
        ("c.jsonl", '{"file": "dog", "captions": ["a dog"], "x": 1}\n\n'),
        ("c.csv", "FileName,Caption\nset/../dog.wav,a dog\n"),
    ],
)
def test_tables_are_read_with_their_usual_names(recordings, name, content):
    (recordings / name).write_text(content)
    assert texts(by_item(import_folder(recordings))["dog.wav"]) == ["a dog"]


def test_several_captions_in_one_row(recordings):
    (recordings / "clotho.csv").write_text(
        "file_name,caption_1,caption_2,caption_3\ndog.wav,one,two,\n"
    )
    assert texts(by_item(import_folder(recordings))["dog.wav"]) == ["one", "two"]
    config = FolderImportConfig(columns=Columns(captions=("caption_2",)), caption_kind="model")
    clip = by_item(import_folder(recordings, config))["dog.wav"]
    assert clip.captions == (Caption(text="two", kind="model"),)


def test_columns_that_nothing_is_read_from_are_told(recordings):
    (recordings / "t.csv").write_text(
        "file,caption,Description,Keyword,start,end\ndog.wav,a dog,a big dog,bark,0,0.1\n"
    )
    report = import_folder(recordings).report
    assert report.unread_columns == ("Description", "Keyword", "start", "end")
    assert report.plain()["unread_columns"] == ["Description", "Keyword", "start", "end"]
    columns = Columns(captions=("Description",), tags="Keyword", start="start", end="end")
    imported = import_folder(recordings, FolderImportConfig(columns=columns))
    assert imported.report.unread_columns == ("caption",)
    assert by_item(imported)["dog.wav"].tags == ("bark",)


def test_spans_of_a_file_become_clips(recordings):
    (recordings / "t.csv").write_text(
        "file,caption,from,to\ndog.wav,first,0,0.1\ndog.wav,second,0.1,0.2\n"
        "dog.wav,wrong,0.2,0.1\ndog.wav,words,x,y\ndog.wav,beyond,5,6\n"
    )
    config = FolderImportConfig(columns=Columns(start="from", end="to"))
    imported = import_folder(recordings, config)
    first, second = imported.manifest.clips
    assert first.id != second.id
    assert (second.location.start, second.duration) == (0.1, pytest.approx(0.1))
    assert read_clip(imported.manifest, second).frames == 800
    assert imported.report.reasons == {"bad-row": 2, "no-samples": 1}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (Columns(captions=("captoin",)), "'caption'"),
        (Columns(captions=("zzz",)), "caption, file, who"),
        (Columns(file="fil"), "'file'"),
        (Columns(tags="labels"), "labels"),
    ],
)
def test_a_missing_column_names_those_that_are_there(recordings, columns, says):
    (recordings / "t.csv").write_text("file,caption,who\ndog.wav,a dog,Ann\n")
    with pytest.raises(UserError, match=says) as error:
        import_folder(recordings, FolderImportConfig(columns=columns))
    assert "file, caption, who" in str(error.value)


def test_a_table_without_captions_says_so(recordings):
    (recordings / "t.csv").write_text("file,words\ndog.wav,a dog\n")
    with pytest.raises(UserError, match="no caption column"):
        import_folder(recordings)


def test_bad_files_are_skipped_or_stop(recordings):
    (recordings / "dog.wav").write_bytes(b"RIFF")
    (recordings / "t.csv").write_text("file,caption\ndog.wav,a dog\nwind,wind\n")
    imported = import_folder(recordings)
    assert list(by_item(imported)) == ["wind.flac"]
    assert sum(imported.report.reasons.values()) == 1
    with pytest.raises(UserError, match="dog"):
        import_folder(recordings, strict=True)
    (recordings / "t.csv").write_text("file,caption\nwind,wind\ngone,x\n")
    with pytest.raises(UserError, match=r"line 3.*gone"):
        import_folder(recordings, strict=True)


def test_ambiguous_names_are_not_guessed(recordings, sound_file):
    sound_file("set/other/rain.wav", seed=9)
    (recordings / "t.csv").write_text("file,caption\nrain.wav,rain\nother/rain.wav,drops\n")
    imported = import_folder(recordings)
    assert list(by_item(imported)) == ["other/rain.wav"]
    assert imported.report.reasons == {"ambiguous": 1}


def test_columns_of_no_table_are_refused(recordings):
    with pytest.raises(UserError, match="holds no table"):
        import_folder(recordings, FolderImportConfig(columns=Columns(tags="Keyword")))


def test_a_folder_without_a_table(recordings):
    (recordings / ".hidden.wav").write_bytes(b"x")
    imported = import_folder(recordings, workers=2)
    assert len(imported.manifest.clips) == len(imported.report.uncaptioned) == 4
    assert not any(clip.captions for clip in imported.manifest.clips)


def test_uncaptioned_files_can_be_kept(recordings):
    (recordings / "t.csv").write_text("file,caption,tags\ndog.wav,a dog,\nwind.flac,,wind\n")
    imported = import_folder(recordings, FolderImportConfig(keep_uncaptioned=True))
    assert len(imported.manifest.clips) == 4
    assert by_item(imported)["wind.flac"].tags == ("wind",)
    assert imported.report.uncaptioned == ("sub/bell.ogg", "sub/rain.wav", "wind.flac")


def test_what_cannot_be_imported_at_all(recordings, tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        import_folder(tmp_path / "no")
    (recordings / "a.csv").write_text("file,caption\ngone,x\n")
    with pytest.raises(UserError, match=r"Nothing.*\n.*gone"):
        import_folder(recordings)
    (recordings / "b.tsv").write_text("file\tcaption\n")
    with pytest.raises(UserError, match=r"several tables: a\.csv, b\.tsv"):
        import_folder(recordings)
    with pytest.raises(UserError, match="no rows"):
        import_folder(recordings, FolderImportConfig(table=recordings / "b.tsv"))
    with pytest.raises(UserError, match="cannot be read"):
        import_folder(recordings, FolderImportConfig(table=recordings / "c.csv"))
    with pytest.raises(UserError, match="no table"):
        import_folder(recordings, FolderImportConfig(table=recordings / "dog.wav"))
    (recordings / "a.csv").write_bytes("file,caption\ndog,\xe4\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        import_folder(recordings, FolderImportConfig(table=recordings / "a.csv"))


ESC_ROWS = """\
filename,fold,target,category,esc10,src_file,take
1-100032-A.wav,1,0,dog,True,100032,A
3-110389-A.wav,3,12,crackling_fire,True,110389,A
5-30226-A.wav,5,20,crying_baby,False,30226,A
2-99999-A.wav,2,0,dog,True,99999,A
"""
ESC_LICENSE = """\
The dataset as a whole is available under the terms of the Creative Commons ...

101 - Dog:
- [1-100032-A.ogg]: clip derived from rose_bark (loud).wav (http://f.org/sounds/1/) by nfrae [CC0]
- [5-30226-A.ogg]:  clip derived from dogs.aiff (http://f.org/sounds/2/) by Heigh-hoo [CC-BY]
"""


@pytest.fixture
def esc50(sound_file, tmp_path):
    for seed, name in enumerate(["1-100032-A", "3-110389-A", "5-30226-A"]):
        sound_file(f"ESC-50/audio/{name}.wav", seed=seed)
    root = tmp_path / "ESC-50"
    (root / "meta").mkdir()
    (root / "meta" / "esc50.csv").write_text(ESC_ROWS)
    (root / "LICENSE").write_text(ESC_LICENSE)
    return root


def test_esc50_as_it_is_published(esc50):
    imported = import_esc(esc50)
    clips = by_item(imported)
    assert [clip.split for clip in imported.manifest.clips] == ["fold1", "fold3", "fold5"]
    assert clips["3-110389-A"].tags == ("crackling fire",)
    assert clips["3-110389-A"].captions == (Caption(text="crackling fire", kind="template"),)
    licence = clips["1-100032-A"].licence
    assert (licence.name, licence.author, licence.title) == (
        "CC0",
        "nfrae",
        "rose_bark (loud).wav",
    )
    assert licence.evidence == "LICENSE, line 4: derived from http://f.org/sounds/1/"
    assert clips["5-30226-A"].licence.name == "CC-BY"
    assert clips["3-110389-A"].licence.name == "CC-BY-NC"
    assert imported.report.reasons == {"missing": 1}


def test_esc10_is_a_part_of_esc50(esc50):
    imported = import_esc(
        esc50,
        subset="esc10",
        caption=lambda label: (Caption(text=f"the sound of a {label}", kind="template"),),
    )
    clips = by_item(imported)
    assert set(clips) == {"1-100032-A", "3-110389-A"}
    assert texts(clips["1-100032-A"]) == ["the sound of a dog"]
    assert clips["3-110389-A"].licence.name == "CC-BY"
    assert clips["1-100032-A"].id == by_item(import_esc(esc50))["1-100032-A"].id


def test_esc_refuses_another_folder(tmp_path, esc50):
    with pytest.raises(UserError, match="not ESC-50"):
        import_esc(tmp_path)
    table = esc50 / "meta" / "esc50.csv"
    table.write_text(ESC_ROWS.replace("category", "klass"))
    with pytest.raises(UserError, match="'category'"):
        import_esc(esc50)


def find_esc10():
    beside = Path(__file__).parents[3] / "shared" / "data" / "esc10"
    return Path(os.environ.get("SOUNDWRIGHT_ESC10", beside))


@pytest.mark.skipif(
    not (find_esc10() / "metadata.csv").is_file(), reason="ESC-10 is not here (SOUNDWRIGHT_ESC10)"
)
def test_the_real_esc10(tmp_path):
    imported = import_esc(find_esc10(), subset="esc10", workers=2)
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, imported.manifest)
    clips = read_manifest(path).clips
    assert len(clips) == 320
    assert not imported.report.skipped
    licences = [clip.licence.name for clip in clips]
    assert licences.count("CC-Sampling+") == 2
    assert set(licences) == {"CC0", "CC-BY", "CC-Sampling+"}
    assert all(clip.licence.author and clip.licence.evidence for clip in clips)
    assert {clip.split for clip in clips} == {"fold1", "fold2", "fold3", "fold4"}
    assert len({clip.tags for clip in clips}) == 10
    assert len({clip.pcm_hash for clip in clips}) == 320


@pytest.mark.parametrize(
    "name",
    [
        "r1nicOVtvkQ",
        "Yr1nicOVtvkQ",
        "r1nicOVtvkQ_130",
        "Yr1nicOVtvkQ_130.0",
        "r1nicOVtvkQ_130.000_140.000",
        "train/r1nicOVtvkQ_130000",
        "r1nicOVtvkQ_130_140",
        "r1nicOVtvkQ_130000_140000",
        "91139",
    ],
)
def test_audiocaps_in_its_layouts(tmp_path, sound_file, name):
    table = tmp_path / "val.csv"
    table.write_text(
        "audiocap_id,youtube_id,start_time,caption\n"
        '91139,r1nicOVtvkQ,130,"A woman talks nearby, as water pours"\n'
        "91140,r1nicOVtvkQ,130,Water\n"
        "58146,UDGBjjwyaqE,20,Multiple clanging sounds\n"
    )
    sound_file(f"audio/{name}.wav")
    imported = import_audiocaps(tmp_path / "audio", table=table)
    (clip,) = imported.manifest.clips
    assert texts(clip) == ["A woman talks nearby, as water pours", "Water"]
    assert (clip.source.item, clip.source.start, clip.source.end) == ("r1nicOVtvkQ", 130, 140)
    assert clip.metadata["audiocap_ids"] == "91139;91140"
    assert clip.split == "val"
    assert clip.location.start == 0
    assert imported.report.reasons == {"missing": 1}
    with pytest.raises(UserError, match="UDGBjjwyaqE"):
        import_audiocaps(tmp_path / "audio", table=table, strict=True)


def test_audiocaps_prefers_the_exact_span(tmp_path, sound_file):
    table = tmp_path / "train.csv"
    table.write_text("audiocap_id,youtube_id,start_time,caption\n1,ab,30,x\n2,ab,50,y\n")
    for name in ("ab_30", "ab_50", "Yab"):
        sound_file(f"audio/{name}.wav")
    clips = import_audiocaps(tmp_path / "audio", table=table).manifest.clips
    assert [clip.location.path for clip in clips] == ["ab_30.wav", "ab_50.wav"]


def test_audiocaps_without_its_audio(tmp_path, sound_file):
    table = tmp_path / "train.csv"
    table.write_text("audiocap_id,youtube_id,start_time,caption\n1,ab,30,x\n")
    sound_file("audio/other.wav")
    with pytest.raises(UserError, match="None of the 1 spans"):
        import_audiocaps(tmp_path / "audio", table=table)
    table.write_text("id,youtube_id,start_time,caption\n1,ab,30,x\n")
    with pytest.raises(UserError, match="audiocap_id"):
        import_audiocaps(tmp_path / "audio", table=table)
