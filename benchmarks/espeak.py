"""Speech from espeak-ng, for tests and benchmarks: made where it is needed, known to the sample.

The library and its voices come with the package `espeakng-loader`. What espeak-ng makes of a text
depends on what it spoke before, so every text gets a process of its own. This file is also the
program that runs there, and therefore imports little.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundwright.audio.sound import Sound

VOICES = (
    *("en", "en-us", "en-029", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc"),
    *(f"en-us+m{number}" for number in range(1, 8)),
    *(f"en+f{number}" for number in range(1, 6)),
    *("en+Andy", "en-us+Annie", "en-us+Denis", "en+Alicia", "en+Hugo", "en-us+Mike"),
)
"""Accents of English, alone and with the timbre of a speaker; none whispers or is a robot."""
SENTENCES = (
    "The train to the coast leaves at noon.",
    "She put the kettle on and opened the window.",
    "Where did you leave the keys?",
    "We walked along the river until it was dark.",
    "Nobody had seen the old man since Thursday.",
    "Please turn left after the second bridge.",
    "It might rain later, so take a coat.",
    "Thank you all for coming tonight.",
    "That is the best soup I have ever had.",
    "Come on, hurry up!",
    "My brother repairs bicycles in a small shop.",
    "How many people live in this house?",
    "The meeting was moved to next week.",
    "I think the blue one suits you better.",
    "Watch your step, the floor is wet.",
    "They planted apple trees behind the school.",
)
SAMPLE_RATE = 22_050
"""Of all voices."""
SILENCE_DB = -40.0
"""What is this far below the peak is not yet speech, or no more."""

# Of espeak-ng's interface, speak_lib.h.
SYNCHRONOUS = 2
CHARACTERS_ARE_UTF8 = 1
SPEED, PITCH = 1, 3


@lru_cache(maxsize=256)
def speak(text: str, voice: str = "en-us", rate: int = 175, pitch: int = 50) -> Sound:
    """Speak a text; the same arguments give the same samples.

    Args:
        text: What is said.
        voice: A name that espeak-ng knows, such as one of `VOICES`.
        rate: Words a minute, 80 to 450.
        pitch: 0 to 99.

    Returns:
        [1, N] at 22050 Hz, from the first sample that is heard to the last one.

    Raises:
        ValueError: There is no such voice, or nothing to say.
    """
    import numpy as np
    import torch

    from soundwright.audio.sound import Sound

    done = subprocess.run(
        [sys.executable, __file__, voice, str(rate), str(pitch)],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip())
    samples = torch.from_numpy(np.frombuffer(done.stdout, "<i2").astype(np.float32)) / 2**15
    if not samples.any():
        raise ValueError(f"There is nothing to say in {text!r}.")
    level = samples.abs().amax() * 10 ** (SILENCE_DB / 20)
    heard = (samples.abs() > level).nonzero()[:, 0]
    return Sound(samples[None, heard[0] : heard[-1] + 1].clone(), SAMPLE_RATE)


def synthesise(text: bytes, voice: str, rate: int, pitch: int) -> bytes:
    """The samples of a text in UTF-8, 16 bits each: to be called once in a process."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    if library.espeak_Initialize(SYNCHRONOUS, 0, data, 0) != SAMPLE_RATE:
        sys.exit(f"espeak-ng cannot use its data in {data.decode()}.")
    # Breath is noise, whose generator was just seeded with the second of the day.
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    samples = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def take(block: int | None, count: int, _events: int | None) -> int:
        if block:
            samples.extend(ctypes.string_at(block, 2 * count))
        return 0

    library.espeak_SetSynthCallback(take)
    if library.espeak_SetVoiceByName(voice.encode()):
        sys.exit(f"espeak-ng knows no voice {voice!r}.")
    library.espeak_SetParameter(SPEED, rate, 0)
    library.espeak_SetParameter(PITCH, pitch, 0)
    size = ctypes.c_size_t(len(text) + 1)
    library.espeak_Synth(text, size, 0, 0, 0, CHARACTERS_ARE_UTF8, None, None)
    library.espeak_Synchronize()
    return bytes(samples)


if __name__ == "__main__":
    sys.stdout.buffer.write(
        synthesise(sys.stdin.buffer.read(), sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    )
