import hashlib
import json
import pickle

import numpy as np
import pytest
import soundfile
import torch
from test_data_tokens import MeanCodec
from torch import nn

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.protocols import LatentCodec, Posterior
from soundwright.core.records import Source
from soundwright.data.clips import Draft, describe_clip
from soundwright.data.encoding import identify_codec
from soundwright.data.frame_segments import FrameSegmentConfig, LatentSegments, TokenSegments
from soundwright.data.latents import encode_latents, level
from soundwright.data.manifest import Header, Manifest, clip_path, read_clip
from soundwright.data.store import LatentStore, TokenStore
from soundwright.data.tokens import tokenize

LENGTHS = [0.3, 0.3, 0.3, 0.21, 0.21, 0.5, 0.3, 0.3, 0.3, 0.3]


class BandCodec(nn.Module):
    """Two channels of four bands: means and energies of the quarters of a frame."""

    sample_rate, channels, hop_length, latent_shape = 8000, 1, 100, (2, 4)

    @property
    def autoencoder(self):
        return self

    def __init__(self, stop_after=None, scale=2.0):
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.stop_after, self.calls = stop_after, 0

    def encode(self, waveform):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        missing = -waveform.shape[-1] % self.hop_length
        padded = nn.functional.pad(waveform[:, 0], (0, missing))
        quarters = padded.unflatten(-1, (-1, 4, self.hop_length // 4))
        mean = torch.stack([quarters.mean(-1) - 0.5, quarters.square().mean(-1)], 1)
        return Posterior(mean * self.scale, 0.25 + mean.abs())

    def decode(self, latents):
        return latents.mean((1, 3))[:, None].repeat_interleave(self.hop_length, -1)


@pytest.fixture
def corpus(make_corpus):
    return make_corpus(LENGTHS)


def digest(folder):
    files = sorted(path for path in folder.iterdir())
    assert [path.name for path in files] == ["index.json", "latents.npy", "manifest.jsonl"]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def test_stored_latents_are_the_codec_s_in_half_precision(tmp_path, corpus):
    codec = BandCodec()
    assert isinstance(codec, LatentCodec)
    store = encode_latents(corpus, codec, tmp_path / "l", batch=3)
    assert store.info.frame_rate == 80.0
    for clip in corpus.clips:
        expected = codec.encode(read_clip(corpus, clip).samples[None])
        mean, deviation = store.read(clip.id)
        assert mean.dtype == deviation.dtype == torch.float32
        assert torch.equal(mean, expected.mean[0].half().float())
        assert torch.equal(deviation, expected.deviation[0].half().float())
        assert store.frames(clip.id) == mean.shape[1]
        part, spread = store.read(clip.id, 3, 9)
        assert torch.equal(part, mean[:, 3:9])
        assert torch.equal(spread, deviation[:, 3:9])
        assert store.read(clip.id, 10_000)[0].shape == (2, 0, 4)
    rows = np.load(tmp_path / "l" / "latents.npy")
    assert (rows.dtype, rows.shape[1]) == (np.dtype("<f2"), 16)
    mean, deviation = store.silence
    assert torch.equal(mean, torch.tensor([-1.0, 0.0]).reshape(2, 1, 1).expand(2, 1, 4))
    assert torch.equal(deviation, torch.tensor([0.75, 0.25]).reshape(2, 1, 1).expand(2, 1, 4))
    again = pickle.loads(pickle.dumps(store))
    assert torch.equal(again.read(corpus.clips[4].id)[0], store.read(corpus.clips[4].id)[0])


def test_sounds_are_centred_and_brought_to_a_peak_before_they_are_encoded(tmp_path, corpus):
    class Witness(BandCodec):
        heard = ()

        def encode(self, waveform):
            self.heard = (*self.heard, *waveform.unbind())
            return super().encode(waveform)

    plain, level = Witness(), Witness()
    as_is = encode_latents(corpus, plain, tmp_path / "plain")
    leveled = encode_latents(corpus, level, tmp_path / "level", peak=0.5)
    for before, after in list(zip(plain.heard, level.heard, strict=True))[: len(LENGTHS)]:
        centred = before.double() - before.double().mean()
        wanted = 0.5 * centred / centred.abs().max()
        torch.testing.assert_close(after.double(), wanted, rtol=0, atol=1e-6)
    assert (as_is.info.peak, leveled.info.peak) == (None, 0.5)
    silence = level.heard[-1]
    assert not silence.any()
    with pytest.raises(UserError, match="of other settings"):
        encode_latents(corpus, BandCodec(), tmp_path / "level")


def test_silence_is_not_brought_to_a_peak():
    silent = torch.full((1, 50), 1e-3)
    assert level(silent, 0.5).abs().max() < 1e-6


def test_latents_of_one_axis(tmp_path, make_corpus):
    class Flat(BandCodec):
        latent_shape = (2,)

        def encode(self, waveform):
            posterior = super().encode(waveform)
            return Posterior(posterior.mean.mean(-1), posterior.deviation.mean(-1))

    corpus = make_corpus([0.3])
    store = encode_latents(corpus, Flat(), tmp_path / "l")
    expected = Flat().encode(read_clip(corpus, corpus.clips[0]).samples[None])
    assert torch.equal(store.read(corpus.clips[0].id)[0], expected.mean[0].half().float())
    assert store.silence[1].shape == (2, 1)
    batch = latent_segments(store, batch=2, duration=0.5)[0]
    assert batch.mean.shape == (2, 2, 40)


@pytest.mark.parametrize("kills", [[0], [2], [1, 1, 1], [4]])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, corpus, kills):
    # Six batches, and the one frame of silence.
    encode_latents(corpus, BandCodec(), tmp_path / "whole", batch=2)
    out = tmp_path / "killed"
    for kill in kills:
        with pytest.raises(KeyboardInterrupt):
            encode_latents(corpus, BandCodec(stop_after=kill), out, batch=2)
        with pytest.raises(UserError, match="no finished latent store"):
            LatentStore(out)
    last = BandCodec()
    encode_latents(corpus, last, out, batch=2)
    assert last.calls == 7 - sum(kills), "work that was done is not done again"
    assert digest(out) == digest(tmp_path / "whole")


def test_a_run_killed_amid_its_silence_lacks_only_that(tmp_path, corpus):
    encode_latents(corpus, BandCodec(), tmp_path / "whole", batch=2)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        encode_latents(corpus, BandCodec(stop_after=6), out, batch=2)
    assert (out / "latents.npy").is_file()
    encode_latents(corpus, BandCodec(), out, batch=2)
    assert digest(out) == digest(tmp_path / "whole")


def test_long_clips_are_encoded_in_chunks(tmp_path, make_corpus):
    corpus = make_corpus([9.137])
    expected = BandCodec().encode(read_clip(corpus, corpus.clips[0]).samples[None])
    store = encode_latents(corpus, BandCodec(), tmp_path / "l", chunk=2.5)
    assert torch.equal(store.read(corpus.clips[0].id)[0], expected.mean[0].half().float())


def test_bad_clips_and_latents_that_are_not_finite_are_skipped(tmp_path, corpus):
    class Broken(BandCodec):
        def encode(self, waveform):
            posterior = super().encode(waveform)
            if waveform.shape[-1] == 4000:
                posterior.mean[:, 1, 3] = 1e6
            return posterior

    clip_path(corpus, corpus.clips[1]).unlink()
    store = encode_latents(corpus, Broken(), tmp_path / "l", max_bad_rate=0.2)
    skipped = [(item.clip_id, item.reason) for item in store.skipped]
    assert skipped == [(corpus.clips[1].id, "missing"), (corpus.clips[5].id, "not-finite")]
    assert len(store) == 8
    with pytest.raises(UserError, match="2 of 10"):
        encode_latents(corpus, Broken(), tmp_path / "m", max_bad_rate=0.1)


def test_stores_of_the_other_kind_and_of_other_codecs_are_refused(tmp_path, corpus):
    encode_latents(corpus, BandCodec(), tmp_path / "l")
    tokenize(corpus, MeanCodec(), tmp_path / "t")
    with pytest.raises(UserError, match="holds soundwright-latents"):
        TokenStore(tmp_path / "l")
    with pytest.raises(UserError, match="holds soundwright-tokens"):
        encode_latents(corpus, BandCodec(), tmp_path / "t")
    with pytest.raises(UserError, match="holds the latents of other clips, of another codec"):
        encode_latents(corpus, BandCodec(scale=1.0), tmp_path / "l")
    assert identify_codec(BandCodec()) != identify_codec(BandCodec(scale=1.0))

    with pytest.raises(KeyboardInterrupt):
        encode_latents(corpus, BandCodec(stop_after=2), tmp_path / "u", batch=2)
    with pytest.raises(UserError, match="holds the tokens of other"):
        tokenize(corpus, MeanCodec(), tmp_path / "u")


def test_a_latent_codec_is_its_configuration_too():
    class Scale(Config):
        scale: float = 1.0

    def configured(scale):
        codec = BandCodec()
        codec.inner = nn.Identity()
        codec.inner.config = Scale(scale=scale)
        return codec

    assert identify_codec(configured(1.0)) == identify_codec(configured(1.0))
    assert identify_codec(configured(1.0)) != identify_codec(configured(1.5))


@pytest.mark.parametrize("silence", [None, [0.0] * 15, "loud"])
def test_an_index_without_silence_is_refused(tmp_path, corpus, silence):
    encode_latents(corpus, BandCodec(), tmp_path / "l")
    index = json.loads((tmp_path / "l" / "index.json").read_text())
    index["silence"] = silence
    if silence is None:
        del index["silence"]
    (tmp_path / "l" / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="no index of a latent store"):
        LatentStore(tmp_path / "l")


@pytest.fixture
def store(tmp_path, corpus):
    return encode_latents(corpus, BandCodec(), tmp_path / "latents")


def latent_segments(store, seed=3, rank=0, ranks=1, **config):
    config = FrameSegmentConfig(**{"batch": 4, "duration": 0.25, **config})
    return LatentSegments(store, config, seed=seed, rank=rank, ranks=ranks)


def test_batches_of_latents_are_those_of_tokens(tmp_path, corpus, store):
    tokens = tokenize(corpus, MeanCodec(), tmp_path / "t")
    config = FrameSegmentConfig(batch=4, duration=0.25, min_ratio=0.7)
    ours, theirs = (
        kind(frames, config, seed=3)
        for kind, frames in ((LatentSegments, store), (TokenSegments, tokens))
    )
    for index in (0, 1, 5):
        batch, other = ours[index], theirs[index]
        assert batch.clip_ids == other.clip_ids
        assert batch.texts == other.texts
        assert torch.equal(batch.mask, other.mask)
        # The mean of a frame shows which frame it is.
        mean = batch.mean[:, 0].mean(-1) / 2 + 0.5
        coarse = (mean / 0.01).floor()
        assert ((coarse - other.tokens[:, 0]).abs() <= 1)[batch.mask].all()


def test_silence_fills_up_what_lies_beyond_a_clip(store):
    for index in range(4):
        batch = latent_segments(store, min_ratio=0.6)[index]
        assert batch.mean.shape == batch.deviation.shape == (4, 2, 20, 4)
        for place, name in enumerate(batch.clip_ids):
            mask = batch.mask[place]
            whole, _ = store.read(name)
            crop = batch.mean[place][:, mask]
            windows = whole.unfold(1, int(mask.sum()), 1).movedim(-1, 2)
            assert (windows == crop[:, None]).flatten(2).all(-1).all(0).any()
            for filled, silent in zip((batch.mean, batch.deviation), store.silence, strict=True):
                beyond = filled[place][:, ~mask]
                assert torch.equal(beyond, silent.expand_as(beyond))
    longest = latent_segments(store, duration=None, batch=10, shuffle=False)[0]
    assert longest.mask.sum(1).tolist() == [store.frames(name) for name in longest.clip_ids]


@pytest.mark.parametrize("bucket", [1, 3])
def test_ranks_share_batches_and_draws_are_numbered_globally(store, bucket):
    whole = latent_segments(store, bucket=bucket)
    for index in (0, 2, 4):
        shares = [latent_segments(store, bucket=bucket, rank=r, ranks=2)[index] for r in (0, 1)]
        assert torch.equal(torch.cat([part.mean for part in shares]), whole[index].mean)
        assert torch.equal(torch.cat([part.deviation for part in shares]), whole[index].deviation)
        assert shares[0].draws + shares[1].draws == whole[index].draws
    assert latent_segments(store)[2].draws == (8, 9, 10, 11)
    window = [draw for index in range(3) for draw in whole[index].draws]
    assert sorted(window) == list(range(12))
    again = pickle.loads(pickle.dumps(latent_segments(store, bucket=bucket).for_rank(1, 2)))
    assert torch.equal(again[2].mean, whole[2].mean[2:])


def test_clips_without_latents_are_refused(store, make_corpus):
    other = make_corpus([0.1], "other").clips[0].model_copy(update={"id": "x"})
    with pytest.raises(UserError, match="1 clips, such as x, have no latents"):
        LatentSegments(store, FrameSegmentConfig(), seed=0, clips=[other])


OLD_INDEX = {
    "info": {
        "format": "soundwright-tokens",
        "version": 1,
        "codec": "mean-codec",
        "sample_rate": 8000,
        "channels": 1,
        "hop_length": 100,
        "codebooks": 2,
        "codebook_size": 300,
    },
    "fingerprint": "58e06c80810fa512fba71a885f976f7efc43f3bb8228e7dcff75b66510958e1c",
    "clips": ["893be56adb3a9e4ce158", "6616a2c496caaadab312"],
    "frames": [3, 2],
    "skipped": [],
}
OLD_HEADER = (
    b"\x93NUMPY\x01\x00v\x00{'descr': '<u2', 'fortran_order': False, 'shape': (%d, 2), }"
    + 58 * b" "
    + b"\n"
)
OLD_ROWS = bytes.fromhex("3200 0000 1900 0000 0000 0000 0c00 9500 0100 a800")


def old_corpus(folder):
    """What the literals above were made of, when stores knew tokens only."""
    clips = []
    for number, levels in enumerate([(0.5, 0.25, -0.5), (0.125, 1 / 64)]):
        path = folder / f"{number}.wav"
        soundfile.write(path, np.repeat(np.float32(levels), 100), 8000, subtype="PCM_16")
        draft = Draft(path=path, source=Source(dataset="old", item=str(number)))
        clips.append(describe_clip(draft, folder))
    return Manifest(Header(), tuple(clips), folder)


def test_token_stores_of_old_stay_as_they_were(tmp_path):
    corpus = old_corpus(tmp_path)
    out = tmp_path / "new"
    tokenize(corpus, MeanCodec(), out, identity="mean-codec")
    text = json.dumps(OLD_INDEX, indent=2, ensure_ascii=False) + "\n"
    assert (out / "index.json").read_text() == text
    assert (out / "tokens.npy").read_bytes() == OLD_HEADER % 5 + OLD_ROWS

    old = tmp_path / "old"
    old.mkdir()
    (old / "index.json").write_text(text)
    (old / "tokens.npy").write_bytes(OLD_HEADER % 5 + OLD_ROWS)
    (old / "manifest.jsonl").write_bytes((out / "manifest.jsonl").read_bytes())
    store = tokenize(corpus, MeanCodec(stop_after=0), old, identity="mean-codec")
    assert store.read(corpus.clips[1].id).tolist() == [[12, 1], [149, 168]]


def test_a_token_run_killed_of_old_is_continued(tmp_path):
    corpus, out = old_corpus(tmp_path), tmp_path / "t"
    out.mkdir()
    (out / "journal.jsonl").write_text(
        json.dumps({"fingerprint": OLD_INDEX["fingerprint"]})
        + '\n{"frames": {"893be56adb3a9e4ce158": 3}, "skipped": []}\n'
    )
    (out / "tokens.npy.part").write_bytes(OLD_HEADER % 0 + OLD_ROWS[:12])
    codec = MeanCodec()
    tokenize(corpus, codec, out, identity="mean-codec", batch=1)
    assert codec.calls == 1
    assert (out / "tokens.npy").read_bytes() == OLD_HEADER % 5 + OLD_ROWS
