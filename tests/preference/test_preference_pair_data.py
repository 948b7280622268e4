"""Pairs as batches: every pair once an epoch, shares of ranks, and what is refused."""

import dataclasses

import pytest
import torch
from preference_models import BandCodec, LevelCodec, make_pairs

from soundwright.audio.files import read, write
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.data.clips import hash_samples
from soundwright.data.latents import encode_latents
from soundwright.data.tokens import tokenize
from soundwright.preference.pair_data import PairBatches, hold_out
from soundwright.preference.pair_sounds import check_lengths, check_sounds, clip_id, list_sounds


@pytest.fixture
def pairs(tmp_path):
    return make_pairs(tmp_path, 5)


@pytest.fixture
def store(pairs, tmp_path):
    return tokenize(list_sounds(pairs, tmp_path), LevelCodec(), tmp_path / "tokens", workers=0)


def test_each_epoch_has_every_pair_once_whatever_the_batch(store, pairs):
    batches = PairBatches(store, pairs, 3, seed=1, text=str.upper)
    seen = [
        (pair, epoch)
        for number in range(5)
        for pair, epoch in zip(batches[number].pairs, batches[number].epochs, strict=True)
    ]
    wanted = {(pair.id, epoch) for pair in pairs for epoch in range(3)}
    assert len(seen) == 15
    assert set(seen) == wanted
    first = batches[0]
    by_id = {pair.id: pair for pair in pairs}
    for row, name in enumerate(first.pairs):
        winner, loser = by_id[name].winner, by_id[name].loser
        assert torch.equal(first.frames.tokens[row], store.read(clip_id(winner)))
        assert torch.equal(first.frames.tokens[3 + row], store.read(clip_id(loser)))
        assert first.frames.texts[row] == first.frames.texts[3 + row] == by_id[name].prompt.upper()
        assert first.others[row] != first.frames.texts[row]
    assert first.winners.frames.texts == first.frames.texts[:3]
    assert first.mismatched.frames.texts == first.others


def test_ranks_share_a_batch_and_its_mismatched_prompts(store, pairs):
    whole = PairBatches(store, pairs, 4, seed=1)
    shares = [whole.for_rank(rank, 2)[0] for rank in range(2)]
    assert shares[0].pairs + shares[1].pairs == whole[0].pairs
    assert shares[0].others + shares[1].others == whole[0].others
    with pytest.raises(UserError, match="divided over 3 ranks"):
        whole.for_rank(0, 3)


def test_latents_are_all_as_long_as_the_longest_pair(tmp_path):
    short = make_pairs(tmp_path / "a", 1, seconds=0.5)
    long = make_pairs(tmp_path / "b", 1, seconds=1.0)
    pairs = [short[0].model_copy(update={"id": "short"}), long[0]]
    manifest = list_sounds(short, tmp_path / "a")
    clips = (*manifest.clips, *list_sounds(long, tmp_path / "b").clips)
    store = encode_latents(manifest.with_clips(clips), BandCodec(), tmp_path / "l", workers=0)
    batches = PairBatches(store, pairs, 1, seed=0, shuffle=False)
    assert batches[0].frames.mean.shape == batches[1].frames.mean.shape
    assert batches[0].frames.mask.sum(1).tolist() == [8, 8]
    silent = store.silence[0]
    assert torch.equal(batches[0].frames.mean[:, :, 8:], silent.expand(2, 2, 8, 4))


def test_captions_are_held_out_whole(pairs):
    train, held = hold_out(pairs, 0.25, seed=0)
    assert {pair.caption for pair in train}.isdisjoint(pair.caption for pair in held)
    assert len(train) + len(held) == 5
    assert held
    assert hold_out(pairs, 0.25, seed=0)[1] == held
    assert hold_out(pairs, 0.0, seed=0) == (pairs, [])
    assert any(hold_out(pairs, 0.25, seed=seed)[1] != held for seed in range(1, 5))


def test_a_sound_that_has_changed_is_named(pairs, tmp_path):
    check_sounds(pairs, tmp_path, tmp_path / "tokens")
    path = tmp_path / pairs[2].loser.path
    sound = read(path)
    write(path, dataclasses.replace(sound, samples=sound.samples / 2))
    with pytest.raises(UserError, match=r"2-l.wav is not the sound that it was"):
        check_sounds(pairs, tmp_path, tmp_path / "tokens")
    path.unlink()
    with pytest.raises(UserError, match=r"2-l\.wav"):
        check_sounds(pairs, tmp_path, tmp_path / "tokens")


def test_sounds_of_two_lengths_are_no_pair(pairs, tmp_path):
    path = tmp_path / pairs[1].loser.path
    sound = read(path)
    write(path, Sound(sound.samples[:, :800], sound.sample_rate))
    loser = pairs[1].loser.model_copy(update={"pcm_hash": hash_samples(read(path))})
    changed = [pairs[0], pairs[1].model_copy(update={"loser": loser})]
    with pytest.raises(UserError, match=r"pair1 are not equally long: 1 and 0.5 s"):
        check_sounds(changed, tmp_path, tmp_path / "tokens")


def test_frames_of_two_numbers_are_no_pair(store, pairs, tmp_path):
    short = make_pairs(tmp_path / "short", 1, seconds=0.5)[0]
    mixed = pairs[0].model_copy(update={"loser": short.loser})
    manifest = list_sounds([pairs[0]], tmp_path)
    clips = (*manifest.clips, *list_sounds([short], tmp_path / "short").clips)
    both = tokenize(manifest.with_clips(clips), LevelCodec(), tmp_path / "both", workers=0)
    with pytest.raises(UserError, match=r"pair0 are not equally long: 16 and 8 frames"):
        check_lengths([mixed], both, None)


def test_sounds_longer_than_the_model_reads_are_refused(store, pairs):
    check_lengths(pairs, store, 1.0)
    with pytest.raises(UserError, match=r"last 1.00 s, and the model reads 0.5 s at once"):
        check_lengths(pairs, store, 0.5)
