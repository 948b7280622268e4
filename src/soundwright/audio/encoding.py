"""Sounds as the bytes of a file: the same sound and the same texts always give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from soundwright.audio.containers import clear_peak_time, renumber_ogg
from soundwright.audio.sound import Sound
from soundwright.audio.tags import append_info, check_tags, id3_header
from soundwright.core.errors import AudioError
from soundwright.core.files import hash_bytes

Bits = Literal[16, 24, 32]

BLOCK_FRAMES = 1 << 18
WAV_MAX_BYTES = 1 << 32
FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
SUBTYPES: Mapping[tuple[str, int], str] = {
    ("WAV", 16): "PCM_16",
    ("WAV", 24): "PCM_24",
    ("WAV", 32): "FLOAT",
    ("FLAC", 16): "PCM_16",
    ("FLAC", 24): "PCM_24",
    ("OGG", 16): "VORBIS",
    ("MP3", 16): "MPEG_LAYER_III",
}
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MAX_CHANNELS = {"WAV": 64, "FLAC": 8, "OGG": 8, "MP3": 2}


def encode(
    sound: Sound, suffix: str, *, metadata: Mapping[str, str] | None = None, bits: Bits = 16
) -> bytes:
    """Encode a sound for a file with the suffix `suffix`.

    Args:
        sound: Samples beyond [-1, 1] are clipped, except in a WAV of 32 bits.
        suffix: .wav, .flac, .ogg (Vorbis) or .mp3.
        metadata: Texts by name, the names from `tags.TAGS`: title, comment ...
        bits: Of a sample: 16, 24 (WAV and FLAC) or 32 (WAV, floating point).

    Raises:
        AudioError: no-samples, not-finite, unsupported or too-long for the format.
        UserError: An unknown tag.
    """
    container = _check_writable(sound, suffix, bits)
    tags = check_tags(metadata or {})
    samples = sound.samples.detach().cpu().T.contiguous().numpy()
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer,
        mode="w",
        samplerate=sound.sample_rate,
        channels=sound.channels,
        format=container,
        subtype=SUBTYPES[container, bits],
    ) as file:
        if container in ("FLAC", "OGG"):
            for name, text in tags.items():
                setattr(file, name, text)
        lossy = container in ("OGG", "MP3")
        coded = samples.clip(-1, 1) if lossy else _to_integers(samples, bits)
        # In one call, a long sound overflows the stack of libsndfile's Vorbis encoder.
        for begin in range(0, len(coded), BLOCK_FRAMES):
            file.write(coded[begin : begin + BLOCK_FRAMES])
    content = bytearray(buffer.getvalue())
    if container == "WAV":
        clear_peak_time(content)
        append_info(content, tags)
    elif container == "OGG":
        renumber_ogg(content, int(hash_bytes(samples.tobytes())[:8], 16))
    elif container == "MP3":
        content[:0] = id3_header(tags)
    return bytes(content)


def _check_writable(sound: Sound, suffix: str, bits: int) -> str:
    container = FORMATS.get(suffix.lower())
    if container is None:
        raise AudioError(
            f"Sound cannot be written to a {suffix or 'nameless'} file.",
            reason="unsupported",
            expected=", ".join(FORMATS),
        )
    if (container, bits) not in SUBTYPES:
        fitting = [str(given) for name, given in SUBTYPES if name == container]
        raise _unwritable(container, f"samples of {bits} bits", f"{' or '.join(fitting)} bits")
    if sound.channels > MAX_CHANNELS[container]:
        limit = MAX_CHANNELS[container]
        raise _unwritable(container, f"{sound.channels} channels", f"at most {limit}")
    if container == "MP3" and sound.sample_rate not in MP3_RATES:
        rates = ", ".join(map(str, MP3_RATES))
        raise _unwritable(container, f"a sample rate of {sound.sample_rate} Hz", rates)
    _check_samples(sound, container, bits)
    return container


def _check_samples(sound: Sound, container: str, bits: int) -> None:
    if sound.samples.numel() == 0:
        raise AudioError("A sound without samples cannot be written.", reason="no-samples")
    if not bool(torch.isfinite(sound.samples).all()):
        raise AudioError(
            "A sound with samples that are not finite cannot be written.", reason="not-finite"
        )
    if container == "WAV" and sound.samples.numel() * bits // 8 >= WAV_MAX_BYTES - (1 << 20):
        raise AudioError(
            f"A sound of {sound.duration:.0f} s does not fit into a WAV file.",
            reason="too-long",
            change="Write a FLAC file.",
        )


def _unwritable(container: str, given: str, expected: str) -> AudioError:
    return AudioError(
        f"{container} does not take {given}.", reason="unsupported", expected=expected
    )


def _to_integers(samples: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Whole numbers k such that reading gives k / 2^(bits - 1); 32 bits stay floating point.

    16-bit samples that are read and written again stay as they were: libsndfile's own conversion
    multiplies by 2^15 - 1 and divides by 2^15.
    """
    if bits == 32:
        return samples
    limit = 1 << (bits - 1)
    whole = np.clip(np.rint(samples.astype(np.float64) * limit), -limit, limit - 1)
    if bits == 16:
        return whole.astype(np.int16)
    # libsndfile takes the upper 24 bits of 32.
    return whole.astype(np.int32) << 8
