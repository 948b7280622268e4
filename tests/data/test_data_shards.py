import hashlib
import json
import tarfile

import pytest
import torch

from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Source
from soundwright.data import shards
from soundwright.data.clips import Draft, describe_clip
from soundwright.data.manifest import (
    Header,
    Manifest,
    clip_path,
    join_manifests,
    read_clip,
    read_manifest,
)
from soundwright.data.segments import AudioSegments, SegmentConfig
from soundwright.data.shards import read_shards, write_shards
from soundwright.data.verification import verify

LIMIT = 12_000


@pytest.fixture
def corpus(make_corpus, sound_file, tmp_path):
    files = make_corpus([0.1, 0.2, 0.1, 0.3, 0.1, 0.1, 0.2])
    clips = list(files.clips)
    for suffix in (".flac", ".ogg"):
        path = sound_file(f"corpus/audio/other{suffix}", seed=50, seconds=0.4)
        draft = Draft(path, Source(dataset="test", item=suffix))
        clips.append(describe_clip(draft, files.folder))
    cut = Draft(
        path, Source(dataset="test", item="cut", start=0.1, end=0.3), start=0.1, duration=0.2
    )
    clips.append(describe_clip(cut, files.folder))
    return files.with_clips(clips)


def digest(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_shards_hold_the_same_sounds(tmp_path, corpus):
    out = tmp_path / "shards"
    packed = write_shards(corpus, out, max_bytes=LIMIT)
    assert packed == read_manifest(out / "manifest.jsonl")
    assert packed.header.facts["shards"] == len(list(out.glob("*.tar"))) > 2
    assert verify(packed).sound
    originals = {clip.id: clip for clip in corpus.clips}
    assert {clip.id for clip in packed.clips} == set(originals)
    for clip in packed.clips:
        before = originals[clip.id]
        sound, expected = read_clip(packed, clip), read_clip(corpus, before)
        assert torch.equal(sound.samples, expected.samples)
        part = read_clip(packed, clip, start=0.05, duration=0.03)
        assert torch.equal(part.samples, expected.samples[:, 400:640])
        assert clip.captions == before.captions
    assert all(path.stat().st_size <= LIMIT + 10_240 for path in out.glob("*.tar"))


def test_shards_are_webdataset_tars(tmp_path, corpus):
    write_shards(corpus, tmp_path / "shards")
    with tarfile.open(tmp_path / "shards" / "shard-00000.tar") as tar:
        names = [entry.name for entry in tar]
        keys = [name.partition(".")[0] for name in names]
        assert keys[::2] == keys[1::2] == sorted(clip.id for clip in corpus.clips)
        assert {name.partition(".")[2] for name in names} == {"json", "wav", "flac", "ogg"}
        for entry in tar:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname) == (0, 0, 0, "")
        record = json.load(tar.extractfile(names[0]))
        assert record["id"] == keys[0]
        assert record["captions"]


def test_shards_are_the_same_bytes_in_any_order(tmp_path, corpus):
    write_shards(corpus, tmp_path / "one", max_bytes=LIMIT, workers=0)
    turned = corpus.with_clips(reversed(corpus.clips))
    write_shards(turned, tmp_path / "two", max_bytes=LIMIT, workers=3)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    write_shards(corpus, tmp_path / "one", max_bytes=LIMIT)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_killed_run_continues(tmp_path, corpus, stop, monkeypatch):
    broken = sorted(corpus.clips, key=lambda clip: clip.id)[3]
    if broken.location.start == 0:
        clip_path(corpus, broken).write_bytes(b"")
    write_shards(corpus, tmp_path / "whole", max_bytes=LIMIT, max_bad_rate=0.5)
    add, left = shards._add, [stop * 2]

    def killed(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return add(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_add", killed)
        with pytest.raises(KeyboardInterrupt):
            write_shards(corpus, tmp_path / "killed", max_bytes=LIMIT, max_bad_rate=0.5)
    write_shards(corpus, tmp_path / "killed", max_bytes=LIMIT, max_bad_rate=0.5)
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


def test_the_index_can_be_made_again(tmp_path, corpus):
    packed = write_shards(corpus, tmp_path / "shards", max_bytes=LIMIT)
    assert read_shards(tmp_path / "shards").clips == packed.clips


def test_shards_can_be_packed_again(tmp_path, corpus):
    packed = write_shards(corpus, tmp_path / "one", max_bytes=LIMIT)
    again = write_shards(packed, tmp_path / "two")
    assert again.header.facts["shards"] == 1
    write_shards(corpus, tmp_path / "three")
    assert digest(tmp_path / "two") == digest(tmp_path / "three")


def test_training_reads_shards_as_it_reads_files(tmp_path, corpus):
    packed = write_shards(corpus, tmp_path / "shards")
    ordered = corpus.with_clips(sorted(corpus.clips, key=lambda clip: clip.id))
    config = SegmentConfig(batch=5, duration=0.15)
    files, tars = (
        AudioSegments(manifest, config, sample_rate=8000, seed=1) for manifest in (ordered, packed)
    )
    for index in range(3):
        assert torch.equal(files[index].waveform, tars[index].waveform)


def test_bad_clips_are_left_out_and_named(tmp_path, corpus):
    victim = corpus.clips[0]
    clip_path(corpus, victim).unlink()
    packed = write_shards(corpus, tmp_path / "shards", max_bad_rate=0.1)
    assert packed.header.facts["skipped_clips"] == {victim.id: "missing"}
    assert victim.id not in {clip.id for clip in packed.clips}
    with pytest.raises(UserError, match="1 of 10"):
        write_shards(corpus, tmp_path / "strict", max_bad_rate=0)


def test_another_corpus_is_not_mixed_in(tmp_path, corpus):
    out = tmp_path / "shards"
    write_shards(corpus, out)
    before = digest(out)
    changed = [clip.model_copy(update={"split": "x"}) for clip in corpus.clips]
    for other in (corpus.with_clips(corpus.clips[:4]), corpus.with_clips(changed)):
        with pytest.raises(UserError, match="another corpus"):
            write_shards(other, out)
    assert digest(out) == before


def test_damaged_shards_are_named(tmp_path, corpus):
    out = tmp_path / "shards"
    packed = write_shards(corpus, out)
    tar = out / "shard-00000.tar"
    content = tar.read_bytes()
    last = packed.clips[-1]
    tar.write_bytes(content[: last.location.offset + 20])
    with pytest.raises(AudioError, match="cut off") as error:
        read_clip(packed, last)
    assert error.value.reason == "truncated"
    with pytest.raises(UserError, match="damaged"):
        read_shards(out)
    first = packed.clips[0].location
    tar.write_bytes(
        content[: first.offset] + b"x" * first.length + content[first.offset + first.length :]
    )
    with pytest.raises(AudioError, match=rf"clip {packed.clips[0].id} in .*shard-00000.tar"):
        read_clip(packed, packed.clips[0])
    with pytest.raises(UserError, match="no shards"):
        read_shards(tmp_path)


def test_a_foreign_tar_is_refused(tmp_path, sound_file):
    path = sound_file("a.wav")
    with tarfile.open(tmp_path / "shard-00000.tar", "w") as tar:
        tar.add(path, "a.wav")
    with pytest.raises(UserError, match="no shard of this program"):
        read_shards(tmp_path)


def test_files_and_shards_join_in_one_manifest(tmp_path, corpus, make_corpus):
    packed = write_shards(corpus.with_clips(corpus.clips[:3]), tmp_path / "shards")
    rest = corpus.with_clips(corpus.clips[3:])
    joined = join_manifests([packed, rest], tmp_path)
    assert verify(joined).sound
    assert isinstance(joined.header, Header)
    assert isinstance(joined, Manifest)
