"""What batching brings a server: as many sounds alone and together, and the same bytes.

    python benchmarks/serving_batches.py [--model NAME] [--sounds 8] [--rounds 3] [--duration 5]
        [--listeners 10] [--out FILE]

Starts a server of its own. In turn, `--sounds` requests with seeds of their own are sent one after
the other, each when the one before is answered, and all at once, from as many clients. The files
must be the same, byte by byte, and those of `soundwright generate`. Then, with nothing else to do,
listeners stream one sound after the other: how long after the request their first samples are
there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import soundwright
from serving_process import ServerProcess
from soundwright.core.files import write_json
from soundwright.serving.client import Client

PROMPTS = (
    "a dog barks twice", "rain falls", "a clock ticks", "sea waves", "a rooster crows",
    "a baby cries", "fire crackling", "a person sneezes",
)  # fmt: skip
WAV_HEADER_BYTES = 44


def main() -> None:
    """Measure, print, write."""
    options = read_options()
    work = [(PROMPTS[number % len(PROMPTS)], number) for number in range(options.sounds)]
    with serving(options.model) as address:
        client = Client(address)
        client.generate("warming up", duration=1.0, seed=0)
        rounds = [measure_round(client, work, options) for _ in range(options.rounds)]
        first = [time_first_sound(client, seed, options) for seed in range(options.listeners)]
    same_as_library = compare_with_library(rounds[0]["files"], work, options)
    found = {
        "model": options.model,
        "sounds": options.sounds,
        "seconds_each": options.duration,
        "one_after_the_other_s": [round(one["alone_s"], 3) for one in rounds],
        "together_s": [round(one["together_s"], 3) for one in rounds],
        "times_faster": round(median(one["alone_s"] / one["together_s"] for one in rounds), 2),
        "same_bytes": all(one["same"] for one in rounds),
        "same_as_the_python_interface": same_as_library,
        "first_sound_ms": {
            "median": round(1000 * median(first), 1),
            "most": round(1000 * max(first), 1),
            "of": len(first),
        },
    }
    for name, value in found.items():
        print(f"{name:30} {value}")
    if options.out:
        write_json(options.out, found)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--sounds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--listeners", type=int, default=10)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


@contextmanager
def serving(model: str) -> Iterator[str]:
    """The address of a server that is ready."""
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder), "--model", model, "--rate", "0")
        try:
            yield server.wait_until_ready()
        finally:
            server.stop()


def measure_round(
    client: Client, work: list[tuple[str, int]], options: argparse.Namespace
) -> dict[str, Any]:
    """The same work one after the other, and at once."""

    def make(item: tuple[str, int]) -> bytes:
        prompt, seed = item
        return client.generate(prompt, seed=seed, duration=options.duration)[0].content

    began = time.perf_counter()
    alone = [make(item) for item in work]
    between = time.perf_counter()
    with ThreadPoolExecutor(len(work)) as pool:
        together = list(pool.map(make, work))
    end = time.perf_counter()
    return {
        "alone_s": between - began,
        "together_s": end - between,
        "same": alone == together,
        "files": alone,
    }


def time_first_sound(client: Client, seed: int, options: argparse.Namespace) -> float:
    """Seconds from a request to the first samples of its stream."""
    began, size, first = time.perf_counter(), 0, None
    for piece in client.stream(PROMPTS[seed % len(PROMPTS)], seed=seed, duration=options.duration):
        size += len(piece)
        if first is None and size > WAV_HEADER_BYTES:
            first = time.perf_counter() - began
    assert first is not None, "a stream without samples"
    return first


def compare_with_library(
    files: list[bytes], work: list[tuple[str, int]], options: argparse.Namespace
) -> bool:
    """Whether the Python interface writes the same files."""
    model = soundwright.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        for content, (prompt, seed) in zip(files, work, strict=True):
            [sound] = model.generate(prompt, seed=seed, duration=options.duration)
            if sound.save(Path(folder) / "sound.wav").read_bytes() != content:
                return False
    return True


if __name__ == "__main__":
    main()
