"""WAVs that grow: whole at every moment, and in the end those of `write`."""

import io
import os
import resource
import shutil

import pytest
import torch

from soundwright.audio.files import read, read_metadata, write
from soundwright.audio.sound import Sound
from soundwright.audio.wav_stream import WavStream, check_wav_length, pour_wav
from soundwright.core.errors import AudioError, UserError
from soundwright.core.seeding import torch_stream

RATE = 8_000
TAGS = {"title": "rain", "comment": '{"seed": 7, "prompt": "Regen, überall"}'}


@pytest.fixture(params=[1, 2])
def sound(request):
    stream = torch_stream(0, "test")
    return Sound(torch.rand(request.param, 1000, generator=stream) * 2.4 - 1.2, RATE)


def test_it_is_whole_at_every_moment_and_in_the_end_as_if_written_at_once(sound, tmp_path):
    path, pieces = tmp_path / "new" / "live.wav", sound.samples.split([1, 400, 0, 599], dim=1)
    with WavStream(path, RATE, sound.channels) as file:
        done = 0
        for piece in pieces:
            file.write(piece)
            done += piece.shape[1]
            # What a reader, or a machine that lost its power, finds then.
            shutil.copy(path, tmp_path / "copy.wav")
            there = read(tmp_path / "copy.wav")
            assert there.sample_rate == RATE
            write(tmp_path / "part.wav", Sound(sound.samples[:, :done], RATE))
            assert torch.equal(there.samples, read(tmp_path / "part.wav").samples)
            assert file.frames == done
        file.finish(TAGS)
    write(tmp_path / "once.wav", sound, metadata=TAGS)
    assert path.read_bytes() == (tmp_path / "once.wav").read_bytes()
    assert read_metadata(path)["title"] == "rain"


def test_a_pipe_gets_the_same_bytes(sound, tmp_path):
    pipe = io.BytesIO()
    pour_wav(pipe, sound.samples.split(300, dim=1), 1000, RATE, sound.channels, TAGS)
    write(tmp_path / "once.wav", sound, metadata=TAGS)
    assert pipe.getvalue() == (tmp_path / "once.wav").read_bytes()


def test_what_is_not_finite_is_refused_and_what_was_there_stays(tmp_path):
    path = tmp_path / "live.wav"
    with WavStream(path, RATE, 1) as file:
        file.write(torch.zeros(1, 100))
        with pytest.raises(AudioError, match="not finite"):
            file.write(torch.full((1, 5), torch.nan))
        file.finish({})
    assert read(path).samples.shape == (1, 100)


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
def test_a_full_disk_is_said_and_what_fitted_stays_playable(tmp_path):
    path = tmp_path / "live.wav"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with WavStream(path, RATE, 1) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            file.write(torch.zeros(1, 1000))
            with pytest.raises(UserError, match=r"live.wav cannot be written(.|\n)*Free some"):
                file.write(torch.zeros(1, 2000))
            assert read(path).samples.shape == (1, 1000)
            file.finish({"title": "rain"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read(path).samples.shape == (1, 1000)
    assert read_metadata(path)["title"] == "rain"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with (
        pytest.raises(UserError, match=r"live.wav cannot be written"),
        WavStream(tmp_path / "taken" / "live.wav", RATE, 1),
    ):
        pass


@pytest.mark.parametrize("channels", [1, 2])
def test_what_no_wav_can_hold_is_refused(channels):
    most = ((1 << 32) - (1 << 20)) // (2 * channels)
    check_wav_length(most, channels)
    with pytest.raises(AudioError, match="do not fit into a WAV"):
        check_wav_length(most + 1, channels)
