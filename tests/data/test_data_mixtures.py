import shutil
from collections import Counter

import pytest
import soundfile
import torch
from data_sounds import RATE
from test_data_latents import BandCodec, digest

from soundwright.audio.mixing import Layer, mix_evenly
from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Caption, Event, Mixture
from soundwright.data import encoding, journal
from soundwright.data.frame_segments import FrameSegmentConfig, LatentSegments
from soundwright.data.latents import encode_latents
from soundwright.data.manifest import (
    clip_path,
    read_clip,
    read_manifest,
    relocated,
    write_manifest,
)
from soundwright.data.mixtures import MixtureConfig, add_mixtures, join_captions
from soundwright.data.segments import AudioSegments, SegmentConfig
from soundwright.data.selection import Selection, select_clips
from soundwright.data.shards import write_shards
from soundwright.data.verification import verify

LENGTHS = [0.3, 0.3, 0.4, 0.21, 0.5, 0.3, 0.35, 0.3, 0.3, 0.3]


@pytest.fixture
def corpus(make_corpus):
    return make_corpus(LENGTHS)


def mixtures_of(manifest):
    return [clip for clip in manifest.clips if isinstance(clip.location, Mixture)]


def mixed(corpus, clips=None, **config):
    config = MixtureConfig(**{"per_clip": 1.0, "seed": 5, **config})
    return add_mixtures(corpus, corpus.clips if clips is None else clips, config)


def test_mixtures_follow_from_seed_and_clips_alone(corpus):
    whole = mixed(corpus)
    assert whole.clips[: len(corpus.clips)] == corpus.clips
    made = mixtures_of(whole)
    turned = corpus.with_clips(reversed(corpus.clips))
    assert mixtures_of(mixed(turned)) == made
    assert mixtures_of(mixed(corpus, seed=6)) != made
    assert {clip.id for clip in mixtures_of(mixed(corpus, captions=1))} == {m.id for m in made}
    assert whole.header.facts["mixtures"]["per_clip"] == 1.0


def test_only_given_clips_of_one_split_are_mixed(corpus):
    by_id = {clip.id: clip for clip in corpus.clips}
    whole = mixed(corpus)
    for clip in mixtures_of(whole):
        one, two = (by_id[parent] for parent in clip.parents)
        assert one.id != two.id
        assert one.split == two.split == clip.split
    assert Counter(clip.split for clip in mixtures_of(whole)) == {"train": 7, "valid": 3}
    train = [clip for clip in corpus.clips if clip.split == "train"]
    few = mixtures_of(mixed(corpus, train, per_clip=0.5))
    assert [clip.split for clip in few] == ["train"] * 4
    pairs = [frozenset(clip.parents) for clip in mixtures_of(mixed(corpus, train, per_clip=3))]
    assert len(set(pairs)) == len(pairs) == 21, "every pair once"
    uses = Counter(parent for clip in few[:3] for parent in clip.parents)
    assert set(uses.values()) == {1}, "nobody twice before everybody once"


def test_a_selection_takes_a_mixture_with_its_parents(corpus):
    whole = mixed(corpus)
    train = select_clips(whole, Selection(splits=("train",), datasets=("test",)))
    assert {clip.split for clip in mixtures_of(train)} == {"train"}
    assert len(mixtures_of(train)) == 7
    even = select_clips(whole, Selection(tags=("even",)))
    ids = {clip.id for clip in even.clips}
    assert mixtures_of(even)
    assert all(ids.issuperset(clip.parents) for clip in mixtures_of(even))
    assert not mixtures_of(select_clips(whole, Selection(min_duration=0.45)))


def test_mixtures_are_mixed_when_read(corpus):
    by_id = {clip.id: clip for clip in corpus.clips}
    onsets = []
    for clip in mixtures_of(mixed(corpus)):
        parents = [by_id[parent] for parent in clip.parents]
        parts = clip.location.parts
        layers = [
            Layer(read_clip(corpus, parent).samples, round(part.onset * RATE))
            for parent, part in zip(parents, parts, strict=True)
        ]
        assert clip.duration == max(parent.duration for parent in parents)
        expected = mix_evenly(*layers, round(clip.duration * RATE), RATE)
        sound = read_clip(corpus, clip)
        assert (sound.sample_rate, sound.channels) == (RATE, 1)
        assert torch.equal(sound.samples, expected)
        part = read_clip(corpus, clip, start=0.1, duration=0.05)
        assert torch.equal(part.samples, expected[:, 800:1200])
        other = read_clip(corpus, clip, sample_rate=4000, channels=2)
        assert other.samples.shape == (2, round(clip.duration * 4000))
        for part, parent in zip(parts, parents, strict=True):
            assert part.onset + parent.duration <= clip.duration + 1e-9
            onsets.append(part.onset)
    assert len({onset for onset in onsets if onset}) > 2, "shorter clips lie anywhere"


def test_mixtures_can_be_written_moved_verified_and_trained_on(tmp_path, corpus):
    whole = mixed(corpus)
    path = corpus.folder / "mixed.jsonl"
    write_manifest(path, whole)
    again = read_manifest(path)
    assert again.clips == whole.clips
    assert verify(again).sound
    away = relocated(again, tmp_path / "away")
    clip = mixtures_of(away)[0]
    assert torch.equal(
        read_clip(away, clip).samples, read_clip(whole, mixtures_of(whole)[0]).samples
    )
    assert clip.location.path == clip.location.parts[0].location.path
    segments = AudioSegments(again, SegmentConfig(batch=20, duration=0.2), sample_rate=RATE, seed=0)
    assert {clip.id for clip in again.clips} == set(segments[0].clip_ids)
    with pytest.raises(UserError, match="holds mixtures"):
        write_shards(again, tmp_path / "shards")
    packed = write_shards(corpus, tmp_path / "shards")
    clip = mixtures_of(mixed(packed))[0]
    same = next(other for other in away.clips if other.id == clip.id)
    assert torch.equal(read_clip(packed, clip).samples, read_clip(away, same).samples)


def change(corpus, values):
    return corpus.with_clips(
        clip.model_copy(update=values.get(number, {})) for number, clip in enumerate(corpus.clips)
    )


def test_records_of_mixtures_join_those_of_their_parents(corpus):
    two = corpus.with_clips(corpus.clips[2:4])
    marked = change(
        two,
        {
            0: {"events": (Event(label="bell", onset=0.1, offset=0.2),)},
            1: {"events": (Event(label="dog", onset=0.0, offset=0.2),), "sample_rate": 16000},
        },
    )
    (clip,) = mixtures_of(mixed(marked, per_clip=0.5))
    first, second = clip.location.parts
    shift = dict(zip(clip.parents, (first.onset, second.onset), strict=True))
    dog = shift[marked.clips[1].id]
    assert 0 < dog < 0.19
    assert {(e.label, e.onset, e.offset) for e in clip.events} == {
        ("bell", 0.1, 0.2),
        ("dog", dog, 0.2 + dog),
    }
    assert [event.onset for event in clip.events] == sorted(e.onset for e in clip.events)
    assert set(clip.tags) == {"even", "odd"}
    assert (clip.sample_rate, clip.licence.name) == (16000, "CC0")
    assert mixtures_of(mixed(two, per_clip=0.5))[0].events is None
    half = change(marked, {1: {"events": None}})
    assert mixtures_of(mixed(half, per_clip=0.5))[0].events is None


def test_captions_of_one_kind_are_joined(corpus):
    for clip in mixtures_of(mixed(corpus)):
        assert len(clip.captions) == 2
        for caption in clip.captions:
            word = "sound" if caption.kind == "human" else "label"
            assert caption.text.split()[::3] == [word, word]
    texts = [Caption(text=f"text {number}") for number in range(5)]
    two = change(corpus.with_clips(corpus.clips[2:4]), {0: {"captions": texts}})
    (clip,) = mixtures_of(mixed(two, per_clip=0.5, captions=3))
    assert len({caption.text for caption in clip.captions}) == 3
    model = Caption(text="a bell", kind="model", model="m")
    only = change(two, {1: {"captions": (model,)}})
    (clip,) = mixtures_of(mixed(only, per_clip=0.5))
    assert {caption.kind for caption in clip.captions} == {"template"}


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("A dog barks.", "A bell rings.", "A dog barks and a bell rings."),
        (" Rain falls ", "Thunder", "Rain falls and thunder"),
        ("A man talks", "TV noise", "A man talks and TV noise"),
        ("Rain", "I walk", "Rain and I walk"),
        ("a bird sings", "McDonald sings", "a bird sings and McDonald sings"),
    ],
)
def test_joined_captions_read_as_one(first, second, joined):
    assert join_captions(Caption(text=first), Caption(text=second)).text == joined


def test_what_cannot_be_mixed_is_refused(corpus):
    with pytest.raises(UserError, match="at least two captioned clips"):
        mixed(corpus, corpus.clips[:1])
    bare = corpus.with_clips(clip.model_copy(update={"captions": ()}) for clip in corpus.clips)
    with pytest.raises(UserError, match="at least two captioned clips"):
        mixed(bare)
    with pytest.raises(UserError, match=r"Set per_clip to 0\.5"):
        mixed(corpus, corpus.clips[1:3])
    whole = mixed(corpus, per_clip=0.4)
    assert not any(set(clip.parents) - {c.id for c in corpus.clips} for clip in whole.clips)
    again = add_mixtures(whole, whole.clips, MixtureConfig(per_clip=0.4, seed=9))
    ids = {clip.id for clip in corpus.clips}
    assert all(ids.issuperset(clip.parents) for clip in mixtures_of(again)), "none of mixtures"


def test_mixtures_of_silent_and_missing_parts_are_left_out_and_count_for_nothing(tmp_path, corpus):
    whole = mixed(corpus)
    silent, missing = corpus.clips[1], corpus.clips[2]
    soundfile.write(clip_path(corpus, silent), torch.zeros(2400).numpy(), RATE)
    clip_path(corpus, missing).unlink()
    of_silent = next(clip for clip in mixtures_of(whole) if silent.id in clip.parents)
    if missing.id not in of_silent.parents:
        with pytest.raises(AudioError, match="is silent") as caught:
            read_clip(whole, of_silent)
        assert caught.value.reason == "silent"
    # One bad clip of ten is borne, though more than one mixture cannot be made.
    store = encode_latents(whole, BandCodec(), tmp_path / "l", max_bad_rate=0.1)
    skipped = {item.clip_id: item.reason for item in store.skipped}
    damaged = {c.id for c in mixtures_of(whole) if {silent.id, missing.id} & set(c.parents)}
    assert skipped.keys() == damaged | {missing.id}
    assert len(damaged) > 2
    assert silent.id in store
    assert set(skipped.values()) == {"silent", "missing"}


@pytest.mark.parametrize("kills", [[8], [1, 9], [5, 4, 3]])
def test_latents_of_mixtures_survive_a_kill(tmp_path, corpus, kills):
    whole = mixed(corpus)
    encode_latents(whole, BandCodec(), tmp_path / "whole", batch=1)
    for kill in kills:
        with pytest.raises(KeyboardInterrupt):
            encode_latents(whole, BandCodec(stop_after=kill), tmp_path / "killed", batch=1)
    store = encode_latents(whole, BandCodec(), tmp_path / "killed", batch=1)
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
    train = select_clips(store.manifest, Selection(splits=("train",)))
    config = FrameSegmentConfig(batch=14, duration=0.3)
    batch = LatentSegments(store, config, seed=0, clips=train.clips)[0]
    joined = [text for text in batch.texts if " and " in text]
    assert len(joined) == len(mixtures_of(train)) == 7


@pytest.mark.parametrize("interval", [0.0, 1.0])
def test_whatever_is_on_the_disk_at_any_moment_is_continued(
    tmp_path, corpus, monkeypatch, interval
):
    """What `kill -9` would leave, at every batch, at silence and around the last files."""
    whole, out, left = mixed(corpus), tmp_path / "out", []

    def copy(at):
        place = tmp_path / f"killed-{len(left)}"
        shutil.copytree(out, place)
        left.append((at, place))

    class Watched(BandCodec):
        def encode(self, waveform):
            copy(self.calls)
            return super().encode(waveform)

    def watched(function):
        def run(*arguments):
            copy(function.__name__)
            function(*arguments)
            copy(function.__name__)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(journal, "COMMIT_INTERVAL_S", interval)
        for name in ("write_manifest", "write_index"):
            patch.setattr(encoding, name, watched(getattr(encoding, name)))
        codec = Watched()
        encode_latents(whole, codec, out, identity="bands", batch=3)
    assert len(left) == codec.calls + 4
    for at, place in left:
        last = BandCodec()
        encode_latents(whole, last, place, identity="bands", batch=3)
        assert digest(place) == digest(out), at
        if interval == 0.0 and isinstance(at, int):
            assert last.calls == codec.calls - at, "work that was done is not done again"
