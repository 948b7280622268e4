"""AudioSet, VGG-Sound and MusicCaps, in tables as they are published, and how videos are found."""

import pytest
from imported_clips import by_item, has_speech, music_texts, sound_texts

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Licence
from soundwright.data.clips import Skip
from soundwright.data.importers import video_spans
from soundwright.data.importers.audioset import import_audioset
from soundwright.data.importers.musiccaps import import_musiccaps
from soundwright.data.importers.vggsound import import_vggsound
from soundwright.data.importers.video_spans import VideoSpan, import_spans

BALANCED = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=22160, num_segs=22160, num_unique_labels=527, num_positive_labels=52882
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"
-1nilez17Dg, 30.000, 40.000, "/m/0k4j"
-53zl3bPmpM, 210.000, 220.000, "/m/0unknown"
-7X0rpKj9Xs, 20.000, twenty, "/m/0k4j"
"""
EVALUATION = """\
# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=20371, num_segs=20371, num_unique_labels=527, num_positive_labels=51804
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/0k4j"
"""
CLASSES = """\
index,mid,display_name
0,/m/09x0r,"Speech"
1,/t/dd00088,"Gush"
2,/m/03v3yw,"Keys jangling"
3,/m/0k4j,"Vehicle horn, car horn, honking"
"""


@pytest.fixture
def audioset(tmp_path, sound_file):
    for name in ("Y--PJHxphWEs", "train/-0RWZT-miFs_420.000_430.000", "eval/--4gqARaEJE"):
        sound_file(f"as/{name}.wav", seed=len(name))
    root = tmp_path / "as"
    (root / "balanced_train_segments.csv").write_text(BALANCED)
    (root / "eval_segments.csv").write_text(EVALUATION)
    (root / "class_labels_indices.csv").write_text(CLASSES)
    return root


def test_audioset(audioset):
    imported = import_audioset(audioset)
    clips = by_item(imported)
    assert list(clips) == ["--PJHxphWEs", "-0RWZT-miFs", "--4gqARaEJE"]
    keys = clips["-0RWZT-miFs"]
    assert keys.tags == ("Keys jangling", "Vehicle horn, car horn, honking")
    assert (keys.source.dataset, keys.source.start, keys.source.end) == ("audioset", 420, 430)
    assert keys.source.url == "https://www.youtube.com/watch?v=-0RWZT-miFs&t=420"
    assert (keys.split, clips["--4gqARaEJE"].split) == ("balanced_train", "eval")
    assert (keys.captions, keys.location.start) == ((), 0)
    assert keys.licence.name == "unknown"
    assert "CC-BY 4.0" in keys.licence.evidence
    assert imported.report.skipped == (
        Skip("balanced_train_segments.csv, line 6", "missing", "no audio of -1nilez17Dg at 30 s"),
        Skip(
            "balanced_train_segments.csv, line 7",
            "bad-row",
            "class_labels_indices.csv has no label '/m/0unknown'",
        ),
        Skip(
            "balanced_train_segments.csv, line 8",
            "bad-row",
            "end_seconds is 'twenty', not a number",
        ),
    )


def test_audioset_is_read_as_pseudo_sentences(audioset):
    clips = by_item(import_audioset(audioset))
    keys = clips["-0RWZT-miFs"]
    assert sound_texts(keys) == ("keys jangling vehicle horn car horn honking",)
    assert [has_speech(clip) for clip in clips.values()] == [True, False, False]


def test_one_table_of_audioset_elsewhere(audioset, tmp_path):
    there = tmp_path / "tables"
    there.mkdir()
    (audioset / "eval_segments.csv").rename(there / "eval_segments.csv")
    clips = by_item(import_audioset(audioset, table=there / "eval_segments.csv"))
    assert list(clips) == ["--4gqARaEJE"]


VGGSOUND = """\
---g-f_I2yQ,1,people marching,test
--9O4XZOge4,30,"female speech, woman speaking",train
--0PQM4-hqg,30,waterfall burbling,train
--56QUhyDQM,185,playing tennis,valid
--Bu2xe4OSo,430,wind noise, train, 3
"""


@pytest.fixture
def vggsound(tmp_path, sound_file):
    for name in ("---g-f_I2yQ_000001", "--9O4XZOge4_000030"):
        sound_file(f"vgg/{name}.wav", seed=len(name))
    (tmp_path / "vgg" / "vggsound.csv").write_text(VGGSOUND)
    return tmp_path / "vgg"


def test_vggsound(vggsound):
    imported = import_vggsound(vggsound)
    clips = by_item(imported)
    marching = clips["---g-f_I2yQ"]
    assert marching.tags == ("people marching",)
    assert (marching.split, clips["--9O4XZOge4"].split) == ("test", "train")
    assert (marching.source.start, marching.source.end) == (1, 11)
    assert clips["--9O4XZOge4"].tags == ("female speech, woman speaking",)
    assert "CC-BY 4.0" in marching.licence.evidence
    assert [(skip.item, skip.reason) for skip in imported.report.skipped] == [
        ("vggsound.csv, line 5", "bad-row"),
        ("vggsound.csv, line 3", "missing"),
        ("vggsound.csv, line 4", "bad-row"),
    ]
    assert "'valid', not train or test" in imported.report.skipped[2].detail


def test_vggsound_is_read_as_pseudo_sentences(vggsound):
    marching, talking = import_vggsound(vggsound).manifest.clips
    assert sound_texts(marching) == ("people marching",)
    assert not has_speech(marching)
    assert sound_texts(talking) == ("female speech woman speaking",)
    assert has_speech(talking)


MUSICCAPS = """\
ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,\
is_audioset_eval
-0Gj8-vB1q4,30,40,"/m/0140xf,/m/04rlf","['low quality', 'sad']","It is sad, like 1980.",4,False,True
-0SdAVK79lg,30,40,/m/04rlf,"['guitar song', ""child's voice""]",A guitar under speech.,0,True,False
-0vPFx-wRRI,30,40,/m/025_jnm,"['amateur recording']",a male voice is singing,6,False,True
-0xzrMun0Rs,30,40,/m/01g90h,jazzy,a trumpet,6,False,True
"""


@pytest.fixture
def musiccaps(tmp_path, sound_file):
    for name in ("-0Gj8-vB1q4", "[-0SdAVK79lg]-[30-40]"):
        sound_file(f"mc/{name}.wav", seed=len(name))
    (tmp_path / "mc" / "musiccaps-public.csv").write_text(MUSICCAPS)
    return tmp_path / "mc"


def test_musiccaps(musiccaps):
    imported = import_musiccaps(musiccaps)
    clips = by_item(imported)
    ballad, guitar = clips["-0Gj8-vB1q4"], clips["-0SdAVK79lg"]
    assert ballad.captions == (Caption(text="It is sad, like 1980."),)
    assert ballad.tags == ("low quality", "sad")
    assert guitar.tags == ("guitar song", "child's voice")
    assert (ballad.source.start, ballad.source.end) == (30, 40)
    assert ballad.metadata == {
        "audioset_eval": True,
        "audioset_labels": "/m/0140xf,/m/04rlf",
        "author": "4",
    }
    assert "CC-BY-SA 4.0" in ballad.licence.evidence
    assert imported.report.reasons == {"missing": 1, "bad-row": 1}
    assert imported.report.skipped[1].item == "musiccaps-public.csv, line 5"


def test_the_unbalanced_part_of_musiccaps_can_be_chosen(musiccaps):
    splits = {clip.source.item: clip.split for clip in import_musiccaps(musiccaps).manifest.clips}
    assert splits == {"-0Gj8-vB1q4": "eval-unbalanced", "-0SdAVK79lg": "eval-balanced"}


def test_captions_of_music_are_kept_as_they_are(musiccaps):
    ballad, guitar = import_musiccaps(musiccaps).manifest.clips
    assert music_texts(ballad) == ("It is sad, like 1980.",)
    assert (has_speech(ballad), has_speech(guitar)) == (False, True)


def test_a_file_of_the_whole_video_is_cut_only_where_it_is_one(tmp_path, sound_file):
    sound_file("audio/abc.wav", seconds=0.4)
    span = VideoSpan(where="t, line 1", video="abc", start=0.1, end=0.3)
    options = {"dataset": "d", "licence": Licence(name="CC0")}
    (part,) = import_spans([span], tmp_path / "audio", **options).manifest.clips
    (cut,) = import_spans([span], tmp_path / "audio", whole_videos=True, **options).manifest.clips
    assert (part.location.start, part.duration) == (0, 0.4)
    assert (cut.location.start, cut.duration) == (0.1, pytest.approx(0.2))
    assert part.id == cut.id
    sound_file("audio/abc_0.1.wav", seconds=0.2)
    (exact,) = import_spans([span], tmp_path / "audio", whole_videos=True, **options).manifest.clips
    assert (exact.location.path, exact.location.start) == ("abc_0.1.wav", 0)


def test_whole_seconds_do_not_stand_for_fractions(tmp_path, sound_file):
    sound_file("audio/abc_000012.wav")
    sound_file("audio/abc_12.5_22.5.wav", seed=1)
    spans = [VideoSpan(where="1", video="abc", start=at, end=at + 10) for at in (12, 12.4, 12.5)]
    options = {"dataset": "d", "licence": Licence(name="CC0")}
    imported = import_spans(spans, tmp_path / "audio", **options)
    assert {clip.source.start: clip.location.path for clip in imported.manifest.clips} == {
        12: "abc_000012.wav",
        12.5: "abc_12.5_22.5.wav",
    }


def test_very_many_missing_spans_are_counted(tmp_path, sound_file, monkeypatch):
    monkeypatch.setattr(video_spans, "NAMED", 2)
    sound_file("audio/v7.wav")
    spans = [VideoSpan(where=f"line {n}", video=f"v{n}", start=0, end=1) for n in range(9)]
    options = {"dataset": "d", "licence": Licence(name="CC0")}
    report = import_spans(spans, tmp_path / "audio", **options).report
    assert [skip.item for skip in report.skipped] == ["line 0", "line 1", "6 further spans"]
    assert report.reasons == {"missing": 8}
    assert (report.left_out, report.plain()["skipped"][2]["count"]) == (8, 6)
    with pytest.raises(UserError, match="line 0: no audio of v0"):
        import_spans(iter(spans), tmp_path / "audio", strict=True, **options)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 2), (0, float("inf")), (float("nan"), 1)])
def test_a_span_ends_after_it_starts(start, end):
    with pytest.raises(ValueError, match="empty or negative"):
        VideoSpan(where="", video="v", start=start, end=end)
