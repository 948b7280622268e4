"""Sound of media files: where it is in time, cut to the sample, and what is wrong with it."""

import shutil
import tracemalloc
from fractions import Fraction
from itertools import repeat
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from soundwright.audio.channels import to_channels
from soundwright.audio.files import write
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.corpus.media_files import decoder_identity, open_media, read_pieces
from soundwright.corpus.media_pieces import cut_pieces
from soundwright.corpus.media_streams import Block, StreamInfo, drop_padding, place_blocks

HERE = Path("medium")
needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not on the PATH"
)
VIDEO_DECODERS = ["pyav", pytest.param("ffmpeg", marks=needs_ffmpeg)]
CODECS = {
    "a.mp4": ("aac", 44100),
    "b.mp4": ("libmp3lame", 44100),
    "c.webm": ("libopus", 48000),
    "d.mkv": ("libopus", 48000),
    "e.mkv": ("aac", 48000),
    "f.mkv": ("libmp3lame", 44100),
    "g.m4a": ("alac", 44100),
    "h.mov": ("pcm_s16le", 44100),
    "i.avi": ("pcm_s16le", 32000),
}


def make_samples(rate, seconds=2.3, channels=2):
    noise = np.random.default_rng(rate).standard_normal((channels, round(seconds * rate)))
    return (0.05 * lfilter([1.0], [1.0, -0.9], noise)).astype(np.float32)


def encode(path, samples, rate, codec, *, pictures=True, jumps=((0, 0.0),), options=None):
    """Write a medium. `jumps`: from which sample on the sound is heard how much later, seconds."""
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(str(path), "w", options=options or {}) as container:
        if pictures:
            video = container.add_stream("mpeg4" if path.suffix != ".webm" else "libvpx", rate=10)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        stream = container.add_stream(codec, rate=rate, layout=layout) if codec else None
        if pictures:
            for index in range(23):
                picture = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuv420p")
                picture.pts = index
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
        if stream is None:
            return
        resampler = av.AudioResampler(stream.format.name, layout, rate)
        bounds = [*(first for first, _ in jumps), samples.shape[1]]
        for (first, later), last in zip(jumps, bounds[1:], strict=True):
            part = np.ascontiguousarray(samples[:, first:last])
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = first + round(later * rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    for name, (codec, rate) in CODECS.items():
        encode(folder / name, make_samples(rate), rate, codec)
    return folder


def lag_between(given, found):
    """How many samples later `found` has what `given` has."""
    size = 1 << 18
    spectrum = np.conj(np.fft.rfft(given[0], size)) * np.fft.rfft(found[0], size)
    lag = int(np.fft.irfft(spectrum).argmax())
    return lag if lag < size // 2 else lag - size


def reason_of(path, **options):
    with pytest.raises(AudioError) as caught:
        open_media(path, **options).read()
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("decoder", VIDEO_DECODERS)
@pytest.mark.parametrize("name", CODECS)
def test_sound_is_where_it_was(media, name, decoder):
    rate = CODECS[name][1]
    given = make_samples(rate)
    reader = open_media(media / name, decoders=["soundfile", decoder])
    assert (reader.decoder, reader.sample_rate, reader.channels) == (decoder, rate, 2)
    assert reader.duration == pytest.approx(2.3, abs=0.1)
    found = reader.read().samples.numpy()
    # Matroska rounds to milliseconds, and ffmpeg 5.1 places a sound where it says.
    lag = lag_between(given, found)
    assert 0 <= lag <= (rate // 2000 if decoder == "ffmpeg" and name.endswith(".mkv") else 0)
    found = found[:, lag:]
    frames = given.shape[1]
    assert found.shape[1] >= frames
    error = np.sqrt(np.square(found[:, :frames] - given).mean() / np.square(given).mean())
    assert error < (1e-3 if CODECS[name][0] in ("alac", "pcm_s16le") else 0.5)


@pytest.mark.parametrize("name", ["a.mp4", "b.mp4", "g.m4a", "h.mov"])
def test_padding_of_encoders_is_left_out_where_the_end_is_stated(media, name):
    reader = open_media(media / name)
    assert reader.read().frames == round(2.3 * CODECS[name][1])
    assert reader.duration == 2.3


@pytest.mark.parametrize("decoder", VIDEO_DECODERS)
@pytest.mark.parametrize("name", ["a.mp4", "c.webm", "f.mkv"])
@pytest.mark.parametrize(("rate", "channels"), [(None, None), (16000, 1), (44100, 2)])
def test_pieces_are_parts_of_the_whole(media, name, decoder, rate, channels):
    reader = open_media(media / name, decoders=[decoder])
    whole = reader.read(sample_rate=rate, channels=channels)
    spans = [(0.0, 0.5), (0.31, 1.0), (0.4, 0.45), (1.2345, 2.0), (2.1, 9.0), (2.2, None)]
    pieces = list(reader.read_pieces(spans, sample_rate=rate, channels=channels))
    for (start, end), piece in zip(spans, pieces, strict=True):
        assert isinstance(piece, Sound)
        first = round(start * whole.sample_rate)
        length = round(((9.0 if end is None else end) - start) * whole.sample_rate)
        expected = whole.samples[:, first : first + length]
        # soxr rounds by where its blocks begin.
        torch.testing.assert_close(piece.samples, expected, rtol=0, atol=3e-7 if rate else 0)
        assert piece.sample_rate == whole.sample_rate
    alone = reader.read(1.2345, 2.0 - 1.2345, sample_rate=rate, channels=channels)
    assert torch.equal(alone.samples, pieces[3].samples)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_pieces_of_sound_files_equal_the_samples_written(tmp_path, suffix):
    given = torch.from_numpy(make_samples(44100))
    path = tmp_path / f"a{suffix}"
    write(path, Sound(given, 44100), bits=24)
    reader = open_media(path)
    assert (reader.decoder, reader.duration) == ("soundfile", 2.3)
    spans = [(0.1, 0.6), (0.5, 1.7), (2.0, None)]
    whole = reader.read().samples
    assert (whole - given).abs().max() < 2**-23
    for (start, end), piece in zip(spans, reader.read_pieces(spans), strict=True):
        last = given.shape[1] if end is None else round(end * 44100)
        assert torch.equal(piece.samples, whole[:, round(start * 44100) : last])
    mono = to_channels(resample(whole, 44100, 16000), 1)
    (piece,) = read_pieces(path, [(0.7, 1.2)], sample_rate=16000, channels=1)
    torch.testing.assert_close(piece.samples, mono[:, 11200:19200], rtol=0, atol=3e-7)


@pytest.mark.parametrize("decoder", VIDEO_DECODERS)
@pytest.mark.parametrize("name", ["a.mp4", "c.webm"])
def test_sound_that_begins_late_is_preceded_by_silence(tmp_path, name, decoder):
    codec, rate = CODECS[name]
    given = make_samples(rate)
    encode(tmp_path / name, given, rate, codec, jumps=[(0, 0.5)])
    found = open_media(tmp_path / name, decoders=[decoder]).read().samples.numpy()
    # Both containers round the beginning to milliseconds.
    assert lag_between(given, found) / rate == pytest.approx(0.5, abs=0.0011)
    assert not found[:, : round(0.45 * rate)].any()


def test_a_piece_with_a_hole_in_it_is_refused(tmp_path):
    given = make_samples(8000)
    encode(tmp_path / "a.mkv", given, 8000, "pcm_s16le", jumps=[(0, 0.0), (8000, 0.25)])
    spans = [(0.0, 1.0), (0.9, 1.1), (1.2, 1.3), (1.25, 1.5)]
    before, across, within, after = read_pieces(tmp_path / "a.mkv", spans)
    assert np.abs(before.samples.numpy() - given[:, :8000]).max() < 2**-15
    assert (across.reason, within.reason) == ("truncated", "truncated")
    assert "hole at 1.000 s" in str(across)
    assert np.abs(after.samples.numpy() - given[:, 8000:10000]).max() < 2**-15


def test_blocks_follow_their_timestamps_only_where_those_are_exact_enough():
    def place(*times):
        timed = [(time, np.full((1, 100), index + 1.0, np.float32)) for index, time in times]
        return list(place_blocks(HERE, timed, 1000, tick=0.001))

    # Within a tick of the beginning, and within 0.1 s later on, the count of samples decides.
    assert [len(block.samples[0]) for block in place((0, 0.001), (1, 0.15), (2, None))] == [100] * 3
    late = place((0, 0.05), (1, 0.35))
    assert [len(block.samples[0]) for block in late] == [50, 100, 200, 100]
    assert [block.missing for block in late] == [False, False, True, False]
    early = place((0, -0.25), (1, -0.15), (2, -0.05), (3, 0.05))
    assert np.concatenate([block.samples[0] for block in early]).tolist() == [3] * 50 + [4] * 100
    with pytest.raises(AudioError, match=r"heard at 0.200 s says that it is heard at 0.050 s"):
        place((0, 0.0), (1, 0.1), (2, 0.05))


@pytest.mark.parametrize(("blocks", "kept"), [(9, 900), (10, 1000), (12, 1050), (60, 6000)])
def test_only_what_fills_a_last_block_is_padding(blocks, kept):
    stream = repeat(Block(np.ones((2, 100), np.float32)), blocks)
    info = StreamInfo(1000, 2, 1.05, "exact")
    assert sum(block.samples.shape[1] for block in drop_padding(stream, info)) == kept
    stream = repeat(Block(np.ones((2, 100), np.float32)), 12)
    stated = StreamInfo(1000, 2, 1.05, "stated")
    assert sum(block.samples.shape[1] for block in drop_padding(stream, stated)) == 1200


def test_memory_does_not_grow_with_the_length_of_the_medium():
    def decode():
        for _ in range(10 * 3600 // 8):
            yield Block(np.zeros((1, 64000), np.float32))

    info = StreamInfo(8000, 1, 36000.0, "exact")
    spans = [(3600.0 * hour, 3600.0 * hour + 10) for hour in range(10)]
    tracemalloc.start()
    pieces = cut_pieces(HERE, info, decode(), spans)
    assert [piece.frames for piece in pieces if isinstance(piece, Sound)] == [80000] * 10
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 4 * 80000


def test_spans_beyond_the_end_and_too_long_ones_are_told(media):
    reader = open_media(media / "a.mp4")
    found = list(reader.read_pieces([(0.0, 3601.0), (2.0, 2.5), (2.3, 3.0), (50.0, 51.0)]))
    assert [getattr(piece, "reason", "") for piece in found] == [
        "too-long",
        "",
        "no-samples",
        "no-samples",
    ]
    assert found[1].duration == pytest.approx(0.3)


@pytest.mark.parametrize("decoder", VIDEO_DECODERS)
def test_what_a_cut_file_still_has_is_read_and_the_rest_is_refused(tmp_path, decoder):
    path = tmp_path / "a.mp4"
    given = make_samples(16000, 8.0, channels=1)
    encode(path, given, 16000, "aac", pictures=False, options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    reader = open_media(path, decoders=[decoder])
    spans = [(0.0, 4.0), (5.0, 7.0), (7.0, 7.5), (7.3, None)]
    there, *lost = reader.read_pieces(spans)
    assert lag_between(given, there.samples.numpy()) == 0
    assert [error.reason for error in lost] == ["truncated"] * 3


@pytest.mark.parametrize("decoder", VIDEO_DECODERS)
def test_what_holds_no_sound_is_named_by_reason(media, tmp_path, decoder):
    encode(tmp_path / "silent.mp4", make_samples(8000), 8000, None)
    (tmp_path / "cut.mp4").write_bytes((media / "a.mp4").read_bytes()[:2000])
    (tmp_path / "text.mp4").write_text("no medium, only words " * 40)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes(b"RIFF\x00\x01\x00\x00WAVEfmt ")
    decoders = ["soundfile", decoder]
    reasons = {
        name: reason_of(tmp_path / name, decoders=decoders)
        for name in ("silent.mp4", "cut.mp4", "text.mp4", "empty.mp4", "absent.mp4", "cut.wav")
    }
    assert reasons == {
        "silent.mp4": "no-audio-stream",
        "cut.mp4": "truncated",
        "text.mp4": "not-audio",
        "empty.mp4": "empty",
        "absent.mp4": "missing",
        "cut.wav": "truncated",
    }
    assert reason_of(tmp_path, decoders=decoders) == "not-audio"


def test_samples_that_are_no_numbers_are_refused_where_they_are(tmp_path):
    given = make_samples(8000)
    given[1, 9000] = np.nan
    encode(tmp_path / "a.mkv", given, 8000, "pcm_f32le")
    before, there = read_pieces(tmp_path / "a.mkv", [(0.0, 1.0), (1.0, 2.0)])
    assert torch.equal(before.samples, torch.from_numpy(given[:, :8000]))
    assert there.reason == "not-finite"


def test_without_a_decoder_for_videos_the_error_says_what_to_install(media, tmp_path):
    with pytest.raises(UserError, match=r"soundwright\[corpus\].*ffmpeg") as caught:
        open_media(media / "a.mp4", decoders=["soundfile"])
    assert not isinstance(caught.value, AudioError)
    (tmp_path / "text.mp4").write_text("words")
    assert reason_of(tmp_path / "text.mp4", decoders=["soundfile"]) == "not-audio"


@pytest.mark.parametrize("decoder", VIDEO_DECODERS)
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {file}\n",
    ],
)
def test_a_list_of_files_opens_none_of_them(media, tmp_path, text, decoder):
    shutil.copy(media / "a.mp4", tmp_path / "a.mp4")
    (tmp_path / "list.m3u8").write_text(text.format(file="a.mp4"))
    assert reason_of(tmp_path / "list.m3u8", decoders=["soundfile", decoder]) == "not-audio"


def test_the_identity_names_what_decodes():
    assert f"pyav {av.__version__} libavformat" in decoder_identity()
    assert "pyav" not in decoder_identity(["soundfile"])
    assert decoder_identity(["soundfile"]).startswith("soundfile ")
    assert decoder_identity([]).startswith("soxr ")


@pytest.fixture(scope="module")
def short_media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short")
    samples = make_samples(16000, 0.4, channels=1)
    encode(folder / "a.mp4", samples, 16000, "aac", options={"movflags": "faststart"})
    opus = make_samples(48000, 0.4, channels=1)
    encode(folder / "b.webm", opus, 48000, "libopus", pictures=False)
    write(folder / "c.wav", Sound(torch.from_numpy(samples), 16000))
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)
@given(data=st.data())
def test_damaged_media_give_a_sound_or_a_reason(short_media, tmp_path, data):
    name, content = data.draw(st.sampled_from(short_media))
    damaged = bytearray(content)
    # Most of a file's structure stands at its start, and most of a video's bytes elsewhere.
    position = st.one_of(st.integers(0, 999), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=8)):
        damaged[place] = value
    size = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    path = tmp_path / name
    path.write_bytes(damaged[:size])
    try:
        pieces = list(read_pieces(path, [(0.0, 0.2), (0.1, None)], sample_rate=8000, channels=1))
    except AudioError:
        return
    for piece in pieces:
        assert isinstance(piece, Sound | AudioError)
        if isinstance(piece, Sound):
            assert piece.frames > 0
            assert torch.isfinite(piece.samples).all()
