import pickle
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from data_sounds import RATE
from test_data_tokens import MeanCodec

from soundwright.core.errors import UserError
from soundwright.data.frame_segments import FrameSegmentConfig, TokenSegments
from soundwright.data.manifest import clip_path, read_clip
from soundwright.data.ordering import DrawOrder
from soundwright.data.segments import AudioSegments, SegmentConfig, crop_start
from soundwright.data.selection import CaptionChoice
from soundwright.data.tokens import tokenize

LENGTHS = [0.3, 0.05, 0.4, 0.3, 0.25, 0.6, 0.3]


@pytest.fixture
def corpus(make_corpus):
    return make_corpus(LENGTHS)


def segments(corpus, seed=3, rank=0, ranks=1, weights=None, transform=None, **config):
    config = SegmentConfig(**{"batch": 4, "duration": 0.2, **config})
    return AudioSegments(
        corpus,
        config,
        sample_rate=RATE,
        seed=seed,
        rank=rank,
        ranks=ranks,
        weights=weights,
        transform=transform,
    )


def assert_equal(one, two):
    assert one.clip_ids == two.clip_ids
    assert torch.equal(one.waveform, two.waveform)
    assert torch.equal(one.mask, two.mask)


def test_a_batch_depends_on_seed_and_index_alone(corpus):
    ahead = segments(corpus)
    kept = [ahead[index] for index in range(9)]
    fresh = segments(corpus)
    for index in (8, 2, 5, 2, 0):
        assert_equal(fresh[index], kept[index])
    other = segments(corpus, seed=4)
    assert any(kept[index].clip_ids != other[index].clip_ids for index in range(3))
    same_clip = [
        batch.waveform[place]
        for batch in kept
        for place, name in enumerate(batch.clip_ids)
        if name == corpus.clips[5].id
    ]
    assert not torch.equal(same_clip[0], same_clip[1]), "crops vary over the epochs"


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_global_batch(corpus, ranks):
    whole = segments(corpus)
    shares = [segments(corpus, rank=rank, ranks=ranks) for rank in range(ranks)]
    for index in (0, 3, 7):
        parts = [share[index] for share in shares]
        assert torch.equal(torch.cat([part.waveform for part in parts]), whole[index].waveform)
        assert sum((part.clip_ids for part in parts), ()) == whole[index].clip_ids


def test_a_batch_that_ranks_cannot_share_is_refused(corpus):
    with pytest.raises(UserError, match="multiple of 3"):
        segments(corpus, ranks=3)


def test_every_clip_comes_once_an_epoch(corpus):
    batches = segments(corpus, batch=1)
    for epoch in range(3):
        drawn = [batches[epoch * 7 + place].clip_ids[0] for place in range(7)]
        assert sorted(drawn) == sorted(clip.id for clip in corpus.clips)
    assert segments(corpus, batch=4).per_epoch == 2


@pytest.mark.parametrize("crop", ["random", "start"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_masks_tell_sound_from_padding(corpus, crop, ratio):
    by_id = {clip.id: clip for clip in corpus.clips}
    batches = segments(corpus, crop=crop, min_ratio=ratio)
    wanted = RATE // 5
    shortest = wanted
    for index in range(12):
        batch = batches[index]
        assert batch.waveform.shape == (4, 1, wanted)
        assert bool((batch.waveform[:, 0][~batch.mask] == 0).all())
        assert bool((batch.waveform[:, 0][batch.mask] != 0).all()), "the noise is never zero"
        for mask, name in zip(batch.mask, batch.clip_ids, strict=True):
            valid = int(mask.sum())
            assert bool(mask[:valid].all())
            there = round(by_id[name].duration * RATE)
            if there < wanted * ratio:
                assert valid == there
            else:
                assert valid >= wanted * ratio
                shortest = min(shortest, valid)
    assert (shortest < wanted) == (ratio < 1 and crop == "random")


def test_crops_are_parts_of_their_clips(corpus):
    by_id = {clip.id: clip for clip in corpus.clips}
    batch = segments(corpus)[1]
    for waveform, mask, name in zip(batch.waveform, batch.mask, batch.clip_ids, strict=True):
        whole = read_clip(corpus, by_id[name]).samples
        crop = waveform[:, mask]
        windows = whole.unfold(1, crop.shape[1], 1)[0]
        assert bool((windows == crop[0]).all(-1).any())


def test_whole_clips_are_masked_to_the_longest(corpus):
    batch = segments(corpus, duration=None, batch=7, shuffle=False)[0]
    lengths = [round(length * RATE) for length in LENGTHS]
    assert batch.waveform.shape == (7, 1, max(lengths))
    assert batch.mask.sum(1).tolist() == lengths
    assert batch.clip_ids == tuple(clip.id for clip in corpus.clips)


def test_transforms_draw_from_the_draw_s_own_stream(corpus):
    def louder(samples, generator):
        return samples * (1 + torch.rand((), generator=generator))

    plain = segments(corpus, crop="start")[2]
    loud = segments(corpus, crop="start", transform=louder)
    assert_equal(loud[2], segments(corpus, crop="start", transform=louder)[2])
    gains = (loud[2].waveform.sum((1, 2)) / plain.waveform.sum((1, 2))).tolist()
    assert len({round(gain, 4) for gain in gains}) == 4
    share = segments(corpus, crop="start", transform=louder, rank=1, ranks=2)
    assert torch.equal(share[2].waveform, loud[2].waveform[2:])


def test_clips_kept_in_memory_give_the_same_batches(corpus):
    files = segments(corpus, min_ratio=0.7)
    kept = segments(corpus, min_ratio=0.7, memory_mb=1.0)
    too_small = segments(corpus, min_ratio=0.7, memory_mb=0.01)
    expected = [files[index] for index in range(5)]
    for index in (4, 3, 0, 1, 2):
        assert_equal(kept[index], expected[index])
        assert_equal(too_small[index], expected[index])
    for clip in corpus.clips:
        clip_path(corpus, clip).unlink()
    assert_equal(kept[2], expected[2])
    with pytest.raises(UserError, match="cannot be read"):
        pickle.loads(pickle.dumps(kept))[2]


def break_file(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "not-finite":
        soundfile.write(path, np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    else:
        path.write_text("these are words")


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "not-finite", "not-audio"])
def test_a_bad_file_is_replaced_by_the_next_one(corpus, how, caplog):
    victim = corpus.clips[5]
    good = segments(corpus, batch=7)
    before = [good[index].clip_ids for index in range(3)]
    break_file(clip_path(corpus, victim), how)
    batches = segments(corpus, batch=7)
    for index in (2, 0, 1):
        expected = list(before[index])
        place = expected.index(victim.id)
        expected[place] = expected[(place + 1) % 7]
        assert batches[index].clip_ids == tuple(expected)
        assert bool(batches[index].mask.any(1).all())
    assert batches.bad.reasons == {victim.id: how}
    assert caplog.text.count(victim.id) == 1
    parts = [segments(corpus, batch=14, rank=rank, ranks=2)[0] for rank in (0, 1)]
    assert parts[0].clip_ids + parts[1].clip_ids == segments(corpus, batch=14)[0].clip_ids


def test_too_many_bad_files_stop_the_work(corpus):
    for clip in corpus.clips[:3]:
        clip_path(corpus, clip).unlink()
    with pytest.raises(UserError, match="3 of 7 clips"):
        segments(corpus, batch=7, max_bad_rate=0.3)[0]
    borne = segments(corpus, batch=7, max_bad_rate=0.5)
    assert not {clip.id for clip in corpus.clips[:3]} & set(borne[0].clip_ids)
    clip_path(corpus, corpus.clips[3]).unlink()
    with pytest.raises(UserError, match="1 of 7"):
        segments(corpus, batch=7, max_bad_rate=0)[0]
    for clip in corpus.clips[4:]:
        clip_path(corpus, clip).unlink()
    with pytest.raises(UserError, match="None of the clips"):
        segments(corpus, max_bad_rate=1)[0]


def test_weights_set_how_often_a_clip_comes():
    weights = [0.0, 1.0, 2.0, 0.5, 0.5]
    order = DrawOrder(5, seed=1, weights=weights)
    for epoch in range(40):
        counts = Counter(order[epoch * 5 + place] for place in range(5))
        for number, weight in enumerate(weights):
            exact = 5 * weight / 4
            assert np.floor(exact) <= counts[number] <= np.ceil(exact)
    counts = Counter(order[place] for place in range(5 * 2000))
    assert counts[2] / 10_000 == pytest.approx(0.5, abs=0.01)
    assert counts[3] / 10_000 == pytest.approx(0.125, abs=0.01)
    assert counts[0] == 0


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(UserError):
        DrawOrder(2, seed=0, weights=weights)


def test_an_empty_corpus_is_refused(corpus):
    with pytest.raises(UserError, match="no clips"):
        segments(corpus.with_clips([]))


def test_crops_are_uniform_over_the_allowed_starts():
    starts = Counter(crop_start(10, 8, 1.0, 0, position) for position in range(3000))
    assert set(starts) == {0, 1, 2}
    assert min(starts.values()) > 850
    assert {crop_start(10, 8, 0.5, 0, position) for position in range(500)} == set(range(7))
    assert crop_start(8, 8, 1.0, 0, 1) == crop_start(5, 8, 1.0, 0, 1) == 0


@pytest.fixture
def store(tmp_path, corpus):
    return tokenize(corpus, MeanCodec(), tmp_path / "tokens")


def token_segments(store, seed=3, **options):
    names = FrameSegmentConfig.model_fields
    values = {name: options.pop(name) for name in list(options) if name in names}
    config = FrameSegmentConfig(**{"batch": 4, "duration": 0.2, **values})
    return TokenSegments(store, config, seed=seed, **options)


def test_token_batches_are_pure_and_shared_by_ranks(store):
    whole = token_segments(store)
    kept = [whole[index] for index in range(6)]
    fresh = pickle.loads(pickle.dumps(token_segments(store)))
    for index in (4, 0, 5):
        assert torch.equal(fresh[index].tokens, kept[index].tokens)
        assert fresh[index].texts == kept[index].texts
        parts = [token_segments(store, rank=rank, ranks=2)[index] for rank in (0, 1)]
        assert torch.equal(torch.cat([part.tokens for part in parts]), kept[index].tokens)
        assert parts[0].texts + parts[1].texts == kept[index].texts


def test_token_crops_lie_in_their_clips(store):
    for index in range(6):
        batch = token_segments(store, min_ratio=0.8)[index]
        assert batch.tokens.shape == (4, 2, 16)
        assert batch.tokens.dtype == torch.int64
        for tokens, mask, name in zip(batch.tokens, batch.mask, batch.clip_ids, strict=True):
            crop = tokens[:, mask]
            assert crop.shape[1] >= min(13, store.frames(name))
            windows = store.read(name).unfold(1, crop.shape[1], 1).transpose(0, 1)
            assert bool((windows == crop).flatten(1).all(1).any())


def test_whole_clips_of_tokens(store):
    batch = token_segments(store, duration=None, shuffle=False, batch=7)[0]
    frames = [store.frames(name) for name in batch.clip_ids]
    assert batch.mask.sum(1).tolist() == frames
    assert batch.tokens.shape == (7, 2, max(frames))


def test_captions_are_drawn_by_kind(store):
    texts = [text for index in range(40) for text in token_segments(store)[index].texts]
    kinds = Counter(text.split()[0] for text in texts)
    assert min(kinds["sound"], kinds["label"]) > 50
    only = token_segments(store, captions=CaptionChoice(weights={"human": 0}))
    assert all(text.startswith("label") for index in range(9) for text in only[index].texts)
    first = token_segments(store, captions=CaptionChoice(mode="first"))
    assert all(text.startswith("sound") for index in range(9) for text in first[index].texts)
    none = token_segments(store, captions=CaptionChoice(weights={"human": 0, "tags": 0}))
    assert none[0].texts == ("", "", "", "")
    own = token_segments(store, text=lambda clip, stream: f"{clip.tags[0]} {stream.random():.6f}")
    assert own[1].texts == own[1].texts
    assert len(set(own[1].texts)) == 4


def test_clips_without_tokens_are_refused(store, make_corpus):
    other = make_corpus([0.1], "other").clips[0].model_copy(update={"id": "x"})
    with pytest.raises(UserError, match="1 clips, such as x"):
        token_segments(store, clips=[other])
    few = token_segments(store, clips=store.manifest.clips[:2])
    assert set(few[0].clip_ids) == {clip.id for clip in store.manifest.clips[:2]}
