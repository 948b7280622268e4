import json

import numpy as np
import pytest

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Drop
from soundwright.data.manifest import clip_path
from soundwright.data.selection import CaptionChoice, Selection, choose_caption, select_clips
from soundwright.data.statistics import summarise
from soundwright.data.verification import verify


@pytest.fixture
def corpus(make_corpus):
    return make_corpus([0.5, 1.0, 0.25, 0.25, 1.0])


def with_clip(corpus, number, **values):
    clips = list(corpus.clips)
    clips[number] = clips[number].model_copy(update=values)
    return corpus.with_clips(clips)


def test_statistics_count_what_is_there(corpus):
    corpus = with_clip(corpus, 2, captions=(), drops=(Drop(stage="s", reason="quiet"),), split="")
    found = summarise(corpus, loudness=True, workers=2)
    assert found.total.clips == 5
    assert found.total.hours == pytest.approx(3.0 / 3600)
    assert {name: amount.clips for name, amount in found.splits.items()} == {
        "valid": 2,
        "train": 2,
        "(none)": 1,
    }
    assert found.tags["even"].hours == pytest.approx(1.75 / 3600)
    assert list(found.licences) == ["CC0"]
    assert found.sample_rates["8000"].clips == 5
    assert found.captions_by_kind == {"human": 4, "tags": 4}
    assert (found.captions, found.uncaptioned) == (8, 1)
    assert found.caption_words.mean == 2
    assert found.dropped == {"quiet": 1}
    assert found.durations.quantiles["0.5"] == 0.5
    assert found.loudness.count == 5
    assert -40 < found.loudness.mean < 0
    assert (found.silent, found.unreadable) == (0, ())
    json.dumps(found.plain(), allow_nan=False)


def test_statistics_without_loudness_open_no_file(corpus):
    for clip in corpus.clips:
        clip_path(corpus, clip).unlink()
    assert summarise(corpus).loudness is None
    found = summarise(corpus, loudness=True)
    assert len(found.unreadable) == 5
    assert summarise(corpus.with_clips([])).total.clips == 0


def test_equal_sounds_are_counted(corpus):
    same = with_clip(corpus, 1, pcm_hash=corpus.clips[0].pcm_hash)
    assert summarise(same).same_sound == 1


def test_a_sound_corpus_verifies(corpus):
    assert verify(corpus, workers=2).sound
    assert verify(corpus).checked == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_every_problem_is_listed(corpus, sound_file, workers):
    paths = [clip_path(corpus, clip) for clip in corpus.clips]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    sound_file("corpus/audio/002.wav", seed=99, seconds=0.25)
    sound_file("corpus/audio/003.wav", seed=3, seconds=0.25, rate=16000)
    sound_file("corpus/audio/004.wav", seed=4, seconds=1.0, channels=2)
    result = verify(corpus, workers=workers)
    assert [problem.reason for problem in result.problems] == [
        "missing",
        "truncated",
        "samples-differ",
        "sample-rate",
        "channels",
    ]
    assert [problem.clip_id for problem in result.problems] == [clip.id for clip in corpus.clips]
    assert not result.sound
    assert json.loads(json.dumps(result.plain()))["reasons"]["missing"] == 1


def test_a_wrong_duration_is_found(corpus):
    wrong = with_clip(corpus, 0, duration=0.51)
    assert verify(wrong).reasons == {"duration": 1}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), [0, 1, 2, 3, 4]),
        (Selection(splits=("valid",)), [0, 4]),
        (Selection(exclude_splits=("valid",)), [1, 2, 3]),
        (Selection(tags=("odd",)), [1, 3]),
        (Selection(min_duration=0.5, max_duration=0.9), [0]),
        (Selection(licences=("CC0",), captioned=True), [0, 1, 3, 4]),
        (Selection(ignore_drops=True, min_duration=1.0), [1, 4]),
    ],
)
def test_selections(corpus, selection, expected):
    corpus = with_clip(corpus, 2, captions=())
    chosen = select_clips(corpus, selection)
    assert [corpus.clips.index(clip) for clip in chosen.clips] == expected


def test_drops_and_texts_leave_clips_out(corpus):
    dropped = with_clip(corpus, 1, drops=(Drop(stage="s", reason="quiet"),))
    assert len(select_clips(dropped, Selection()).clips) == 4
    spoken = with_clip(corpus, 3, captions=(Caption(text="Speech"),))
    chosen = select_clips(spoken, Selection(), rejects_text=lambda text: "speech" in text.lower())
    assert [clip.id for clip in chosen.clips] == [
        clip.id for clip in corpus.clips if clip != corpus.clips[3]
    ]


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (Selection(splits=("vald",)), "'valid'"),
        (Selection(licences=("MIT",)), "CC0"),
        (Selection(min_duration=100), "None of the 5 clips"),
    ],
)
def test_an_empty_selection_is_an_error(corpus, selection, says):
    with pytest.raises(UserError, match=says):
        select_clips(corpus, selection)


def test_captions_are_weighted_by_kind(corpus):
    clip = corpus.clips[0]
    stream = np.random.default_rng(0)
    choice = CaptionChoice(weights={"tags": 3.0})
    drawn = [choose_caption(clip, choice, stream) for _ in range(2000)]
    assert drawn.count("label 0") / 2000 == pytest.approx(0.75, abs=0.04)
