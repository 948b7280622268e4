"""Pictures of sounds for a page: a spectrogram as PNG, a waveform as an SVG path."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from soundwright.audio.mel import LogMel, MelConfig, mel_bands
from soundwright.audio.sound import Sound

RANGE_DB = 70.0
BANDS = 128
COLUMNS = 480
_PALETTE = ((8, 6, 15), (61, 20, 96), (166, 41, 102), (246, 128, 62), (255, 244, 214))
"""Red, green and blue at even distances from silence to the loudest."""


def draw_spectrogram(sound: Sound) -> bytes:
    """A PNG of the mel spectrogram: low frequencies below, 70 dB from dark to light."""
    mel = LogMel(_front_end(sound))
    levels = mel(sound.samples.mean(0)).numpy()
    heights = (levels - levels.max()) / RANGE_DB + 1
    pixels = (heights.clip(0, 1) * 255).round().astype(np.uint8)
    return encode_png(pixels[::-1], _palette())


def frequency_marks(sound: Sound) -> list[tuple[str, float]]:
    """Labels of round frequencies and their heights in the spectrogram, from 0 below to 1."""
    config = _front_end(sound)
    centres = mel_bands(config).argmax(0).numpy() * config.sample_rate / config.n_fft
    marks = [("250 Hz", 250), ("1 kHz", 1000), ("4 kHz", 4000), ("10 kHz", 10000)]
    return [
        (label, float(np.searchsorted(centres, hertz)) / BANDS)
        for label, hertz in marks
        if hertz < 0.9 * config.top
    ]


def draw_waveform(sound: Sound, columns: int = COLUMNS) -> str:
    """The `d` of an SVG path: the envelope in [-100, 100], one column after another."""
    samples = sound.samples.mean(0).numpy()
    parts = np.array_split(samples, min(columns, len(samples)))
    upper = [f"{number} {-100 * max(part.max(), 0.004):.1f}" for number, part in enumerate(parts)]
    lower = [f"{number} {-100 * min(part.min(), -0.004):.1f}" for number, part in enumerate(parts)]
    return "M" + "L".join([*upper, *reversed(lower)]) + "Z"


def encode_png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Encode [H, W] indices into a palette [256, 3] as a PNG file."""
    height, width = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows, 9))]
    body = b"".join(_chunk(name, content) for name, content in [*chunks, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _front_end(sound: Sound) -> MelConfig:
    window = 2 ** round(np.log2(0.05 * sound.sample_rate))
    return MelConfig(
        sample_rate=sound.sample_rate,
        n_fft=2 * window,
        win_length=window,
        hop_length=max(1, sound.frames // COLUMNS),
        n_mels=BANDS,
        f_min=40.0,
        norm="peak",
        log="decibel",
        floor=1e-6,
    )


def _palette() -> NDArray[np.uint8]:
    colours = np.array(_PALETTE, dtype=np.float64)
    places, steps = np.linspace(0, 1, len(colours)), np.linspace(0, 1, 256)
    channels = [np.interp(steps, places, channel) for channel in colours.T]
    return np.stack(channels, 1).round().astype(np.uint8)
