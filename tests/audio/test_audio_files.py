from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundwright.audio.encoding import encode
from soundwright.audio.files import probe, read, read_metadata, write
from soundwright.audio.resampling import resample, resampled_length
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.core.seeding import torch_stream

SUFFIXES = [".wav", ".flac", ".ogg", ".mp3"]
LOSSLESS = [".wav", ".flac"]
STORY = json.dumps(
    {"prompt": "a dog (犬) barks – thrice ü " * 180, "seed": 7, "model": "0" * 64},
    ensure_ascii=False,
)


def make_sound(seconds: float = 2.0, rate: int = 16000, channels: int = 2) -> Sound:
    frames = round(seconds * rate)
    time_s = torch.arange(frames) / rate
    tones = [0.3 * torch.sin(2 * torch.pi * f * time_s) for f in (440.0, 1234.5)[:channels]]
    noise = torch.randn(channels, frames, generator=torch_stream(0, "noise"))
    return Sound((torch.stack(tones) + 0.02 * noise).float(), rate)


def reason_of(path: Path, **options: object) -> str:
    with pytest.raises(AudioError) as caught:
        read(path, **options)  # pyright: ignore[reportArgumentType]
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_sound_is_read_back(tmp_path: Path, suffix: str) -> None:
    sound = make_sound()
    path = tmp_path / f"a{suffix}"
    write(path, sound)
    info, back = probe(path), read(path)
    assert (info.frames, info.sample_rate, info.channels) == (32000, 16000, 2)
    assert info.duration == back.duration == 2.0
    error = (back.samples - sound.samples).square().mean().sqrt()
    assert error < (2e-5 if suffix in LOSSLESS else 0.03)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("bits", [16, 24])
def test_integer_samples_survive_exactly(tmp_path: Path, suffix: str, bits: int) -> None:
    limit = 1 << (bits - 1)
    whole = torch.tensor([[-limit, -limit + 1, -3, 0, 1, 2, limit // 2, limit - 2, limit - 1]])
    sound = Sound((whole.double() / limit).float(), 44100)
    write(tmp_path / f"a{suffix}", sound, bits=bits)  # pyright: ignore[reportArgumentType]
    assert torch.equal(read(tmp_path / f"a{suffix}").samples, sound.samples)


def test_float_wav_keeps_what_exceeds_full_scale(tmp_path: Path) -> None:
    sound = Sound(torch.tensor([[0.1, -2.5, 3.75]]), 8000)
    write(tmp_path / "a.wav", sound, bits=32)
    assert torch.equal(read(tmp_path / "a.wav").samples, sound.samples)
    write(tmp_path / "b.wav", sound)
    assert read(tmp_path / "b.wav").samples.abs().max() <= 1


def test_same_input_gives_same_bytes() -> None:
    def encode_all() -> list[bytes]:
        kinds = [(".wav", 16), (".wav", 32), (".flac", 24), (".ogg", 16), (".mp3", 16)]
        return [
            encode(sound, suffix, metadata={"comment": "x"}, bits=bits) for suffix, bits in kinds
        ]  # pyright: ignore[reportArgumentType]

    sound = make_sound(0.5)
    first = encode_all()
    time.sleep(1.1)  # libsndfile's stamps count seconds
    assert encode_all() == first


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_texts_of_any_length_and_script_are_read_back(tmp_path: Path, suffix: str) -> None:
    tags = {"title": "ünï 犬", "comment": STORY, "artist": "a", "album": "b", "date": "2026"}
    tags |= {"genre": "field", "copyright": "CC0 – nobody"}
    path = tmp_path / f"a{suffix}"
    write(path, make_sound(), metadata=tags)
    assert read_metadata(path) == tags
    assert json.loads(read_metadata(path)["comment"])["seed"] == 7
    assert read(path).duration == 2.0
    write(path, make_sound())
    assert read_metadata(path) == {}


def test_tags_are_seen_by_other_programs(tmp_path: Path) -> None:
    mutagen = pytest.importorskip("mutagen")
    tags = {"title": "ünï 犬", "comment": STORY}
    write(tmp_path / "a.mp3", make_sound(), metadata=tags)
    frames = mutagen.File(tmp_path / "a.mp3").tags
    assert frames["TIT2"].text == [tags["title"]]
    assert frames["COMM::und"].text == [STORY]
    write(tmp_path / "a.ogg", make_sound(), metadata=tags)
    assert mutagen.File(tmp_path / "a.ogg").tags["title"] == [tags["title"]]
    write(tmp_path / "a.wav", make_sound(), metadata={"title": "plain"})
    assert soundfile.SoundFile(tmp_path / "a.wav").title == "plain"


def test_unknown_tag_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'comment'"):
        encode(make_sound(), ".wav", metadata={"coment": "x"})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("start", [0.0, 0.123, 1.5])
def test_segment_equals_part_of_whole(tmp_path: Path, suffix: str, start: float) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, make_sound())
    whole = read(path).samples
    first = round(start * 16000)
    segment = read(path, start=start, duration=0.25).samples
    assert segment.shape == (2, 4000)
    assert (segment - whole[:, first : first + 4000]).abs().max() < 1e-6


def test_segments_of_an_mp3_with_full_bit_reservoir(tmp_path: Path) -> None:
    noise = torch.randn(1, 160000, generator=torch_stream(0, "mp3"))
    noise *= 0.1 * torch.linspace(0, 1, 160000) ** 3
    write(tmp_path / "a.mp3", Sound(noise, 16000))
    whole = read(tmp_path / "a.mp3").samples
    for first in range(1500, 150000, 7777):
        segment = read(tmp_path / "a.mp3", start=first / 16000, duration=0.2).samples
        assert (segment - whole[:, first : first + 3200]).abs().max() < 1e-6


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 16001])
def test_resampled_segment_equals_part_of_resampled_whole(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.flac"
    write(path, make_sound(), bits=24)
    whole = read(path, sample_rate=rate).samples
    assert whole.shape[1] == resampled_length(32000, 16000, rate)
    for start, duration in [(0.0, 0.3), (0.777, 0.4), (1.9, 5.0)]:
        segment = read(path, start=start, duration=duration, sample_rate=rate).samples
        expected = whole[:, round(start * rate) :][:, : round(duration * rate)]
        assert segment.shape == expected.shape
        assert (segment - expected).abs().max() < 1e-4


def test_segment_beyond_the_end_is_shorter_and_never_padded(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", make_sound(1.0))
    assert read(tmp_path / "a.wav", start=0.75, duration=2.0).frames == 4000
    assert reason_of(tmp_path / "a.wav", start=1.0) == "no-samples"


def test_channels_are_converted(tmp_path: Path) -> None:
    sound = make_sound()
    write(tmp_path / "a.wav", sound, bits=32)
    mono = read(tmp_path / "a.wav", channels=1).samples
    assert torch.allclose(mono, sound.samples.mean(0, keepdim=True))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_file_is_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    content = encode(make_sound(), suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[: int(len(content) * share)])
    assert reason_of(path) == "truncated"


def test_cut_mp3_without_stated_length_gives_what_is_there(tmp_path: Path) -> None:
    content = encode(make_sound(), ".mp3")
    frames = content[content.index(b"LAME") + 300 :]
    frames = frames[frames.index(content[:2]) :]
    path = tmp_path / "a.mp3"
    path.write_bytes(frames[: len(frames) // 2])
    assert 0.3 < read(path).duration < 1.2


def test_header_of_a_recorder_that_was_switched_off(tmp_path: Path) -> None:
    content = bytearray(encode(make_sound(), ".wav"))
    data = content.index(b"data")
    content[4:8] = content[data + 4 : data + 8] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    assert read(tmp_path / "a.wav").frames == 32000


def test_header_that_lies_about_the_length_allocates_nothing(tmp_path: Path) -> None:
    content = bytearray(encode(make_sound(), ".flac"))
    content[21] |= 0x0F
    content[22:26] = b"\xff\xff\xff\xff"
    (tmp_path / "a.flac").write_bytes(content)
    assert reason_of(tmp_path / "a.flac") == "too-long"
    assert reason_of(tmp_path / "a.flac", max_duration=None) == "truncated"
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(content)
    assert reason_of(tmp_path / "b.flac") == "unsupported"


def test_bad_files_have_stable_reasons(tmp_path: Path) -> None:
    def reason(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return reason_of(tmp_path / name)

    assert reason_of(tmp_path / "absent.wav") == "missing"
    assert reason_of(tmp_path) == "not-audio"
    assert reason("empty.wav", b"") == "empty"
    assert reason("text.wav", b"not a sound at all\n" * 50) == "not-audio"
    assert reason("zeros.flac", bytes(5000)) == "not-audio"
    assert reason("image.mp3", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20) == "not-audio"
    assert reason("header.wav", b"RIFF\x10\0\0\0WAVE") == "truncated"
    assert reason("header.flac", encode(make_sound(), ".flac")[:60]) == "truncated"
    with pytest.raises(AudioError, match="decoded: nothing in it is sound"):
        read(tmp_path / "image.mp3")


def test_wav_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), 16000)
    assert reason_of(tmp_path / "a.wav") == "no-samples"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, value: float) -> None:
    samples = np.zeros(1000, np.float32)
    samples[500] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert reason_of(tmp_path / "a.wav") == "not-finite"
    with pytest.raises(AudioError) as caught:
        write(tmp_path / "b.wav", Sound(torch.from_numpy(samples)[None], 16000))
    assert caught.value.reason == "not-finite"
    assert not (tmp_path / "b.wav").exists()


def test_limit_on_duration(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", make_sound(2.0))
    assert reason_of(tmp_path / "a.wav", max_duration=1.0) == "too-long"
    assert read(tmp_path / "a.wav", duration=1.0, max_duration=1.0).duration == 1.0


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "bits"),
    [(".xyz", 16000, 1, 16), ("", 16000, 1, 16), (".mp3", 16001, 1, 16), (".mp3", 16000, 3, 16),
     (".ogg", 16000, 1, 24), (".flac", 16000, 1, 32), (".flac", 16000, 9, 16)],
)  # fmt: skip
def test_what_a_format_cannot_hold(suffix: str, rate: int, channels: int, bits: int) -> None:
    with pytest.raises(AudioError) as caught:
        encode(Sound(torch.zeros(channels, 100), rate), suffix, bits=bits)  # pyright: ignore[reportArgumentType]
    assert caught.value.reason == "unsupported"
    assert caught.value.expected


def test_sound_without_samples_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        write(tmp_path / "a.wav", Sound(torch.zeros(1, 0), 16000))
    assert caught.value.reason == "no-samples"


def test_long_vorbis_is_written(tmp_path: Path) -> None:
    sound = Sound(torch.zeros(1, 3_000_000), 48000)
    write(tmp_path / "a.ogg", sound)
    assert probe(tmp_path / "a.ogg").frames == 3_000_000


@pytest.mark.parametrize(("given", "wanted"), [(44100, 16000), (16000, 44100), (8000, 48000)])
def test_resampling_keeps_a_tone_and_its_length(given: int, wanted: int) -> None:
    def tone(rate: int, frames: int) -> torch.Tensor:
        return torch.sin(2 * torch.pi * 997 * torch.arange(frames, dtype=torch.float64) / rate)

    for frames in (1, 2, 441, 10007):
        signal = tone(given, frames).float()
        result = resample(signal[None, None], given, wanted)
        assert result.shape == (1, 1, -(-frames * wanted // given))
        assert torch.equal(result, resample(signal[None, None], given, wanted))
    margin = wanted // 50
    expected = tone(wanted, result.shape[-1]).float()
    assert (result[0, 0] - expected)[margin:-margin].abs().max() < 1e-3


def test_resampling_a_channel_ignores_its_neighbours() -> None:
    noise = torch.randn(3, 5000, generator=torch_stream(1, "resample"))
    together = resample(noise, 16000, 22050)
    assert torch.equal(together[1:2], resample(noise[1:2], 16000, 22050))
    assert resample(torch.zeros(2, 0), 16000, 22050).shape == (2, 0)


def test_ogg_pages_keep_valid_checksums() -> None:
    content = encode(make_sound(0.5), ".ogg")
    serials, position = set(), 0
    while (position := content.find(b"OggS", position)) >= 0:
        serials.add(content[position + 14 : position + 18])
        position += 4
    assert len(serials) == 1
    # libogg refuses pages whose checksum is wrong.
    assert soundfile.read(io.BytesIO(content))[0].shape == (8000, 2)
    other = encode(make_sound(0.6), ".ogg")
    assert other[14:18] != content[14:18]
