"""Vectors of clips and of captions: computed once, kept through a kill, absent where nothing is."""

import logging

import pytest
import torch
from data_sounds import RATE

from soundwright.core.errors import UserError
from soundwright.core.protocols import Encoded
from soundwright.data import vectors
from soundwright.data.vectors import CachedTextVectors, encode_clips


class Ears:
    """Hears the mean and the peak of a sound; of one longer than a second it says nothing."""

    name, identity, sample_rate, facts = "ears", "ears/1", RATE, {}

    def __init__(self, most=10**9):
        self.heard, self.read, self.most = 0, [], most

    def encode(self, waveforms):
        found = []
        for waveform in waveforms:
            if self.heard >= self.most:
                raise KeyboardInterrupt
            self.heard += 1
            vector = torch.stack([waveform.mean(), waveform.abs().max()])
            if len(waveform) > RATE:
                vector = torch.full((2,), torch.nan)
            found.append(Encoded(vector[None], vector))
        return found

    def embed_texts(self, texts):
        self.read += texts
        return torch.tensor([[float(len(text)), 1.0] for text in texts])


def test_every_clip_is_heard_once_whatever_it_is_called(make_corpus, tmp_path):
    corpus, ears = make_corpus([0.5, 0.25, 0.5]), Ears()
    ids = [clip.id for clip in corpus.clips]
    first = encode_clips(corpus, ears, tmp_path / "v", workers=0).read(ids)
    again = encode_clips(corpus, ears, tmp_path / "v", workers=0).read(ids)
    assert ears.heard == 3
    assert torch.equal(first, again)
    renamed = corpus.with_clips(
        clip.model_copy(update={"id": f"x{place}"}) for place, clip in enumerate(corpus.clips)
    )
    found = encode_clips(renamed, ears, tmp_path / "v", workers=0)
    assert ears.heard == 3
    assert torch.equal(found.read(["x0", "x2"]), first[[0, 2]])


def test_a_killed_run_goes_on_and_ends_the_same(make_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "PACK_CLIPS", 2)
    corpus = make_corpus([0.1] * 5)
    ids = [clip.id for clip in corpus.clips]
    with pytest.raises(KeyboardInterrupt):
        encode_clips(corpus, Ears(most=3), tmp_path / "v", workers=0)
    ears = Ears()
    resumed = encode_clips(corpus, ears, tmp_path / "v", workers=0)
    assert ears.heard == 3
    whole = encode_clips(corpus, Ears(), tmp_path / "w", workers=2)
    assert torch.equal(resumed.read(ids), whole.read(ids))


def test_a_damaged_pack_is_computed_again(make_corpus, tmp_path):
    corpus, ears = make_corpus([0.1, 0.2]), Ears()
    ids = [clip.id for clip in corpus.clips]
    first = encode_clips(corpus, ears, tmp_path / "v", workers=0).read(ids)
    (pack,) = (tmp_path / "v").rglob("*.safetensors")
    raw = bytearray(pack.read_bytes())
    raw[-1] ^= 255
    pack.write_bytes(raw)
    assert torch.equal(encode_clips(corpus, ears, tmp_path / "v", workers=0).read(ids), first)
    assert ears.heard == 4


def test_clips_that_cannot_be_heard_are_named_and_have_none(make_corpus, tmp_path, caplog):
    corpus = make_corpus([0.5, 0.25, 1.5])
    ids = [clip.id for clip in corpus.clips]
    (tmp_path / "corpus/audio/001.wav").write_bytes(b"no sound")
    with caplog.at_level(logging.WARNING):
        found = encode_clips(corpus, Ears(), tmp_path / "v", workers=0)
    assert ids[1] in caplog.text
    assert len(found) == 1
    read = found.read([*ids, "stranger"])
    assert read.isnan().all(1).tolist() == [False, True, True, True]
    with pytest.raises(UserError, match="hears nothing"):
        encode_clips(make_corpus([2.0], "long"), Ears(), tmp_path / "v", workers=0)


def test_each_text_is_read_once_also_by_another_process(tmp_path):
    ears = Ears()
    cached = CachedTextVectors(ears, tmp_path)
    found = cached.embed_texts(["rain", "a dog", "rain"])
    assert found[:, 0].tolist() == [4, 5, 4]
    cached.embed_texts(["a dog"])
    assert CachedTextVectors(ears, tmp_path).embed_texts(["rain"])[0, 0] == 4
    assert ears.read == ["rain", "a dog"]
    assert cached.identity == "ears/1"
