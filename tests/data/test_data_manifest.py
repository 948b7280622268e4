import json
import tracemalloc

import pytest
import torch
from data_sounds import RATE, make_sound
from hypothesis import given
from hypothesis import strategies as st

from soundwright.audio.files import read
from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import (
    Caption,
    Clip,
    Drop,
    Event,
    Licence,
    Location,
    Source,
)
from soundwright.data.clips import Draft, describe_clip, describe_clips, hash_samples
from soundwright.data.manifest import (
    Header,
    Manifest,
    clip_path,
    join_manifests,
    read_clip,
    read_manifest,
    relocated,
    write_manifest,
)
from soundwright.data.manifest_lines import stream_clips, write_line

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
times = st.floats(min_value=0, max_value=1e6, allow_nan=False)
records = st.builds(
    Clip,
    id=st.uuids().map(str),
    source=st.builds(Source, dataset=texts, item=texts, start=times),
    location=st.builds(Location, path=st.just("a/b.wav"), start=times),
    pcm_hash=texts,
    duration=st.floats(min_value=1e-3, max_value=1e5),
    sample_rate=st.integers(1, 192000),
    channels=st.integers(1, 8),
    captions=st.lists(
        st.builds(
            Caption,
            text=texts,
            kind=st.sampled_from(["human", "tags", "template"]),
            confidence=st.none() | times,
        ),
        max_size=3,
    ).map(tuple),
    tags=st.lists(texts, max_size=3).map(tuple),
    events=st.none()
    | st.lists(
        st.builds(Event, label=texts, onset=st.just(0.5), offset=st.floats(0.5, 9)), max_size=2
    ).map(tuple),
    licence=st.builds(Licence, name=texts, author=texts),
    split=texts,
    scores=st.dictionaries(texts, times, max_size=2),
    drops=st.lists(st.builds(Drop, stage=texts, reason=texts, value=st.none() | times)).map(tuple),
    metadata=st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=2),
)


@given(clips=st.lists(records, max_size=4, unique_by=lambda clip: clip.id))
def test_a_manifest_survives_its_file(tmp_path_factory, clips):
    folder = tmp_path_factory.mktemp("manifest")
    path = folder / "manifest.jsonl"
    manifest = Manifest(Header(facts={"name": "über"}), tuple(clips), folder)
    write_manifest(path, manifest)
    again = read_manifest(path)
    assert again == manifest
    first = path.read_bytes()
    write_manifest(path, again)
    assert path.read_bytes() == first


@pytest.fixture
def written(tmp_path, make_corpus):
    path = tmp_path / "corpus" / "manifest.jsonl"
    write_manifest(path, make_corpus([0.1, 0.2, 0.1]))
    return path


def change_line(path, number, change):
    lines = path.read_text().splitlines()
    values = json.loads(lines[number - 1])
    change(values)
    lines[number - 1] = json.dumps(values)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "change", "says"),
    [
        (3, lambda clip: clip.pop("duration"), ["line 3", "'duration'", "missing"]),
        (2, lambda clip: clip.update(duration=-1), ["line 2", "'duration'", "-1"]),
        (4, lambda clip: clip.update(licens="x"), ["line 4", "'licens'", "'licence'"]),
        (
            2,
            lambda clip: clip["captions"][0].update(kind="guess"),
            ["line 2", "captions.0.kind", "guess"],
        ),
        (1, lambda header: header.update(version=7), ["version 7", "up to 1"]),
        (1, lambda header: header.update(format="other"), ["no manifest"]),
        (1, lambda header: header.update(colour="red"), ["line 1", "'colour'"]),
    ],
)
def test_a_fault_is_named_with_line_and_key(written, line, change, says):
    change_line(written, line, change)
    with pytest.raises(UserError) as error:
        read_manifest(written)
    for words in says:
        assert words in str(error.value)


def test_a_repeated_id_names_both_lines(written):
    lines = written.read_text().splitlines()
    written.write_text("\n".join([*lines, lines[2]]) + "\n")
    with pytest.raises(UserError, match=r"line 5.*on line 3"):
        read_manifest(written)


def test_clips_are_streamed_as_they_are_read(written):
    manifest = read_manifest(written)
    header, clips = stream_clips(written.parent)
    assert header == manifest.header
    assert tuple(clips) == manifest.clips


def test_a_stream_names_a_fault_when_it_comes_to_it(written):
    change_line(written, 3, lambda clip: clip.update(duration=0))
    _, clips = stream_clips(written)
    next(clips)
    with pytest.raises(UserError, match=r"line 3, key 'duration'"):
        next(clips)
    with pytest.raises(UserError, match="does not exist"):
        stream_clips(written.with_name("no.jsonl"))


def test_a_stream_holds_no_more_than_a_clip(tmp_path):
    path = tmp_path / "manifest.jsonl"
    source = Source(dataset="d", item="i")
    clip = Clip(
        id="0", source=source, location=Location(path="x"), pcm_hash="", duration=1, sample_rate=1
    )
    lines = (write_line(clip.model_copy(update={"id": str(number)})) for number in range(10_000))
    path.write_bytes(b"".join([write_line(Header()), *lines]))
    tracemalloc.start()
    _, clips = stream_clips(path)
    assert sum(1 for _ in clips) == 10_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Short strings, up to a bound, stay in a cache of pydantic's.
    assert peak < 1_500_000 < path.stat().st_size


@pytest.mark.parametrize("content", [b"", b"file,caption\n", b"\xff\xfe\x00", b"[1]\n"])
def test_another_file_is_no_manifest(tmp_path, content):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError):
        read_manifest(path)


def test_missing_and_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_manifest(tmp_path / "no.jsonl")
    with pytest.raises(UserError, match=r"is a folder without manifest\.jsonl"):
        read_manifest(tmp_path)


def test_a_folder_stands_for_the_manifest_in_it(make_corpus, tmp_path):
    corpus = make_corpus([1000, 2000])
    write_manifest(tmp_path / "manifest.jsonl", corpus)
    assert read_manifest(tmp_path) == read_manifest(tmp_path / "manifest.jsonl")


def test_a_line_that_is_not_json_is_named(written):
    written.write_text(written.read_text() + '{"id": \n')
    with pytest.raises(UserError, match="line 5: not valid JSON"):
        read_manifest(written)


def test_locations_follow_the_manifest(tmp_path, make_corpus):
    manifest = make_corpus([0.1])
    assert manifest.clips[0].location.path == "audio/000.wav"
    above = relocated(manifest, tmp_path)
    assert above.clips[0].location.path == "corpus/audio/000.wav"
    beside = relocated(above, tmp_path / "elsewhere")
    assert clip_path(beside, beside.clips[0]).is_absolute()
    for seen in (manifest, above, beside):
        assert clip_path(seen, seen.clips[0]).resolve() == (
            tmp_path / "corpus" / "audio" / "000.wav"
        )
    assert relocated(beside, manifest.folder) == manifest


def test_a_corpus_folder_can_be_moved(tmp_path, written):
    (tmp_path / "corpus").rename(tmp_path / "moved")
    manifest = read_manifest(tmp_path / "moved" / "manifest.jsonl")
    assert read_clip(manifest, manifest.clips[1]).duration == pytest.approx(0.2)


def test_joined_manifests_keep_every_clip(tmp_path, make_corpus):
    one = make_corpus([0.1, 0.2], "one")
    two = make_corpus([0.1], "two")
    with pytest.raises(UserError, match="2 times"):
        join_manifests([one, two], tmp_path)
    renamed = two.with_clips(clip.model_copy(update={"id": "z"}) for clip in two.clips)
    joined = join_manifests([one, renamed], tmp_path)
    assert [clip.id for clip in joined.clips][-1] == "z"
    assert all(clip_path(joined, clip).is_file() for clip in joined.clips)


def test_reading_part_of_a_clip_equals_cutting_it(sound_file, tmp_path):
    path = sound_file("long.wav", seconds=2.0)
    draft = Draft(path, Source(dataset="d", item="long", start=0.5, end=1.5), start=0.5, duration=1)
    clip = describe_clip(draft, tmp_path)
    manifest = Manifest(Header(), (clip,), tmp_path)
    whole = read(path).samples
    assert clip.duration == 1.0
    assert torch.equal(read_clip(manifest, clip).samples, whole[:, RATE // 2 : RATE * 3 // 2])
    part = read_clip(manifest, clip, start=0.25, duration=0.5)
    assert torch.equal(part.samples, whole[:, RATE * 3 // 4 : RATE * 5 // 4])
    end = read_clip(manifest, clip, start=0.9, duration=5.0)
    assert end.frames == RATE // 10
    other = read_clip(manifest, clip, sample_rate=4000, channels=2)
    assert other.samples.shape == (2, 4000)


def test_a_file_that_became_shorter_is_truncated(sound_file, tmp_path):
    path = sound_file("a.wav", seconds=1.0)
    clip = describe_clip(Draft(path, Source(dataset="d", item="a")), tmp_path)
    sound_file("a.wav", seconds=0.6)
    with pytest.raises(AudioError) as error:
        read_clip(Manifest(Header(), (clip,), tmp_path), clip)
    assert error.value.reason == "truncated"


def test_the_hash_covers_samples_and_rate():
    sound = make_sound(1, channels=2)
    samples = sound.samples.clone()
    samples[0, 3] += 1e-6
    kinds = [
        hash_samples(sound),
        hash_samples(type(sound)(samples, RATE)),
        hash_samples(type(sound)(sound.samples, RATE + 1)),
        hash_samples(type(sound)(sound.samples.flip(0), RATE)),
    ]
    assert len(set(kinds)) == 4


@pytest.mark.parametrize("workers", [0, 3])
def test_bad_files_are_skipped_in_order(sound_file, tmp_path, workers):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not a sound")
    names = ["a.wav", "empty.wav", "b.wav", "gone.wav", "text.wav", "a.wav"]
    for seed, name in enumerate(["a.wav", "b.wav"]):
        sound_file(name, seed=seed)
    drafts = [Draft(tmp_path / name, Source(dataset="d", item=name)) for name in names]
    clips, skips = describe_clips(drafts, tmp_path, workers=workers)
    assert [clip.source.item for clip in clips] == ["a.wav", "b.wav"]
    assert [skip.reason for skip in skips] == ["empty", "missing", "not-audio", "duplicate"]
    with pytest.raises(AudioError, match="empty"):
        describe_clips(drafts, tmp_path, strict=True, workers=workers)
