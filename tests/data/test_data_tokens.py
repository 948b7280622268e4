import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from soundwright.core.errors import UserError
from soundwright.core.protocols import TokenCodec
from soundwright.core.records import Caption
from soundwright.data.encoding import identify_codec
from soundwright.data.manifest import clip_path, read_clip
from soundwright.data.store import TokenStore
from soundwright.data.tokens import tokenize


class MeanCodec(nn.Module):
    """Two codebooks: the mean of a frame in coarse and in fine steps."""

    sample_rate, channels, hop_length, codebooks, codebook_size = 8000, 1, 100, 2, 300

    def __init__(self, stop_after=None):
        super().__init__()
        self.step = nn.Parameter(torch.tensor(0.01))
        self.stop_after, self.calls = stop_after, 0

    def encode(self, waveform):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        missing = -waveform.shape[-1] % self.hop_length
        frames = nn.functional.pad(waveform, (0, missing)).unflatten(-1, (-1, self.hop_length))
        mean = frames.mean(-1).mean(1)
        coarse = (mean / self.step).floor()
        fine = ((mean / self.step - coarse) * 299).floor()
        return torch.stack([coarse, fine], 1).long().clamp(0, 299)

    def decode(self, tokens):
        mean = (tokens[:, :1] + tokens[:, 1:] / 299) * self.step
        return mean.repeat_interleave(self.hop_length, -1)


def digest(folder):
    files = sorted(path for path in folder.iterdir())
    content = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    assert [name for name, _ in content] == ["index.json", "manifest.jsonl", "tokens.npy"]
    return content


LENGTHS = [0.3, 0.3, 0.3, 0.21, 0.21, 0.5, 0.3, 0.3, 0.3, 0.3]


@pytest.fixture
def corpus(make_corpus):
    return make_corpus(LENGTHS)


def test_the_test_codec_is_a_codec():
    assert isinstance(MeanCodec(), TokenCodec)


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (3, 2)])
def test_stored_tokens_are_the_codec_s(tmp_path, corpus, batch, workers):
    codec = MeanCodec()
    store = tokenize(corpus, codec, tmp_path / "t", batch=batch, workers=workers)
    assert len(store) == len(corpus.clips)
    assert store.info.frame_rate == 80.0
    for clip in corpus.clips:
        expected = codec.encode(read_clip(corpus, clip).samples[None])[0]
        assert torch.equal(store.read(clip.id), expected)
        assert store.frames(clip.id) == expected.shape[1]
        assert torch.equal(store.read(clip.id, 3, 9), expected[:, 3:9])
        assert torch.equal(store.read(clip.id, 5), expected[:, 5:])
        assert store.read(clip.id, 10_000).shape == (2, 0)
        assert torch.equal(store.read(clip.id, 3, 10_000), expected[:, 3:])
    assert store.manifest.clips[3].captions == corpus.clips[3].captions
    assert np.load(tmp_path / "t" / "tokens.npy").dtype == np.uint16
    assert store.code_usage().sum() == 2 * sum(store.frames(clip.id) for clip in corpus.clips)


@pytest.mark.parametrize("kills", [[0], [1], [2], [1, 1], [0, 1, 2]])
@pytest.mark.parametrize(("batch", "calls"), [(1, 10), (2, 6), (16, 4)])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, corpus, kills, batch, calls):
    whole = MeanCodec()
    tokenize(corpus, whole, tmp_path / "whole", batch=batch)
    assert whole.calls == calls, "only clips of one length share a batch"
    out = tmp_path / "killed"
    for kill in kills:
        with pytest.raises(KeyboardInterrupt):
            tokenize(corpus, MeanCodec(stop_after=kill), out, batch=batch)
        with pytest.raises(UserError, match="no finished token store"):
            TokenStore(out)
    last = MeanCodec()
    tokenize(corpus, last, out, batch=batch)
    assert last.calls == calls - sum(kills), "work that was done is not done again"
    assert digest(out) == digest(tmp_path / "whole")


@pytest.mark.parametrize(
    "damage",
    [
        lambda notes, part: notes.write_bytes(notes.read_bytes()[:-7]),
        lambda notes, part: notes.write_bytes(b""),
        lambda notes, part: notes.write_bytes(b'{"finger'),
        lambda notes, part: part.write_bytes(part.read_bytes()[:-50]),
        lambda notes, part: part.write_bytes(part.read_bytes() + b"torn rows"),
        lambda notes, part: part.unlink(),
        lambda notes, part: notes.unlink(),
    ],
)
def test_torn_files_of_a_killed_run_are_mended(tmp_path, corpus, damage):
    tokenize(corpus, MeanCodec(), tmp_path / "whole", batch=2)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        tokenize(corpus, MeanCodec(stop_after=3), out, batch=2)
    damage(out / "journal.jsonl", out / "tokens.npy.part")
    tokenize(corpus, MeanCodec(), out, batch=2)
    assert digest(out) == digest(tmp_path / "whole")


def test_a_run_killed_before_its_index_only_lacks_that(tmp_path, corpus, monkeypatch):
    tokenize(corpus, MeanCodec(), tmp_path / "whole")
    out = tmp_path / "killed"

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("soundwright.data.encoding.write_index", kill)
        with pytest.raises(KeyboardInterrupt):
            tokenize(corpus, MeanCodec(), out)
    tokenize(corpus, MeanCodec(stop_after=0), out)
    assert digest(out) == digest(tmp_path / "whole")


def test_bad_clips_are_named_and_survive_a_resume(tmp_path, corpus):
    clip_path(corpus, corpus.clips[1]).write_bytes(b"")
    clip_path(corpus, corpus.clips[7]).unlink()
    with pytest.raises(UserError, match=r"2 of 10 clips.*\n.*at most 1"):
        tokenize(corpus, MeanCodec(), tmp_path / "strict", max_bad_rate=0.1)
    out = tmp_path / "t"
    with pytest.raises(KeyboardInterrupt):
        tokenize(corpus, MeanCodec(stop_after=3), out, batch=1, max_bad_rate=0.2)
    store = tokenize(corpus, MeanCodec(), out, max_bad_rate=0.2)
    assert [(item.clip_id, item.reason) for item in store.skipped] == [
        (corpus.clips[1].id, "empty"),
        (corpus.clips[7].id, "missing"),
    ]
    assert len(store.manifest.clips) == len(store) == 8
    assert corpus.clips[7].id not in store


def test_a_corpus_of_bad_files_leaves_no_store(tmp_path, corpus):
    for clip in corpus.clips:
        clip_path(corpus, clip).unlink()
    with pytest.raises(UserError, match="None of the 10"):
        tokenize(corpus, MeanCodec(), tmp_path / "t", max_bad_rate=1.0)


def test_long_clips_are_encoded_in_chunks(tmp_path, make_corpus):
    corpus = make_corpus([9.137])
    codec = MeanCodec()
    expected = codec.encode(read_clip(corpus, corpus.clips[0]).samples[None])[0]
    store = tokenize(corpus, codec, tmp_path / "t", chunk=2.5)
    assert torch.equal(store.read(corpus.clips[0].id), expected)


def test_other_tokens_are_not_overwritten(tmp_path, corpus):
    out = tmp_path / "t"
    tokenize(corpus, MeanCodec(), out)
    before = digest(out)
    other = MeanCodec()
    nn.init.constant_(other.step, 0.02)
    for manifest, codec in ((corpus, other), (corpus.with_clips(corpus.clips[:3]), MeanCodec())):
        with pytest.raises(UserError, match="other clips, of another codec"):
            tokenize(manifest, codec, out)
    assert digest(out) == before
    with pytest.raises(KeyboardInterrupt):
        tokenize(corpus, MeanCodec(stop_after=2), tmp_path / "u", batch=1)
    with pytest.raises(UserError, match="another codec"):
        tokenize(corpus, other, tmp_path / "u")
    tokenize(corpus, MeanCodec(), tmp_path / "u")
    assert digest(tmp_path / "u") == before


def test_captions_are_renewed_without_encoding(tmp_path, corpus):
    tokenize(corpus, MeanCodec(), tmp_path / "t")
    new = corpus.with_clips(
        clip.model_copy(update={"captions": (Caption(text="new"),)}) for clip in corpus.clips
    )
    store = tokenize(new, MeanCodec(stop_after=0), tmp_path / "t")
    assert {caption.text for clip in store.manifest.clips for caption in clip.captions} == {"new"}


def test_a_store_is_pickled_without_its_tokens(tmp_path, make_corpus):
    corpus = make_corpus([4.0])
    store = tokenize(corpus, MeanCodec(), tmp_path / "t")
    again = pickle.loads(pickle.dumps(store))
    assert torch.equal(again.read(corpus.clips[0].id), store.read(corpus.clips[0].id))
    assert "_rows" not in store.__getstate__()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda out: (out / "tokens.npy").write_bytes(b"x" * 200), "cannot be opened"),
        (lambda out: np.save(out / "tokens.npy", np.zeros((3, 2), "<u2")), "as index.json says"),
        (lambda out: (out / "tokens.npy").unlink(), "cannot be opened"),
        (lambda out: change_info(out, version=9), "version 9"),
        (lambda out: change_info(out, hop_length="x"), "no index"),
    ],
)
def test_a_damaged_store_is_refused(tmp_path, corpus, damage, says):
    out = tmp_path / "t"
    tokenize(corpus, MeanCodec(), out)
    damage(out)
    with pytest.raises(UserError, match=says):
        TokenStore(out)


def change_info(out, **values):
    index = json.loads((out / "index.json").read_text())
    index["info"].update(values)
    (out / "index.json").write_text(json.dumps(index))


def test_the_identity_follows_the_weights():
    one, same, other = MeanCodec(), MeanCodec(), MeanCodec()
    nn.init.constant_(other.step, 0.02)
    assert identify_codec(one) == identify_codec(same) != identify_codec(other)

    class Plain:
        sample_rate, channels, hop_length, codebooks, codebook_size = 8000, 1, 100, 2, 300

        def encode(self, waveform): ...

        def decode(self, tokens): ...

    with pytest.raises(UserError, match="identity"):
        identify_codec(Plain())
