"""Measure a stream: how soon it sounds, how fast it goes on, and what memory it takes.

    python benchmarks/streaming.py [--model DIR] [--prompt TEXT] [--rounds NUMBER] [--short SECONDS]
        [--long SECONDS] [--out FILE]

The first sound is there when its samples stand in the file: the time runs from the call of
`Model.stream` on a loaded model to that moment. The first call after loading, which also prepares
what later ones find ready, stands apart from the median of the others. Processor time stands beside
it: on a machine that others use too, it says what a quiet one would need. The real-time factor is
seconds of sound a second over a whole stream that is written to a file. Peak memory is that of a
process of its own that loads the model and streams a short sound, or a long one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from soundwright.audio.wav_stream import WavStream
from soundwright.pipelines.generation import Model, load

MOST_FIRST_SOUND_MS = 300.0
MOST_GROWTH_MB = 16.0
"""Of a long stream over a short one: what an allocator may keep."""


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "live.wav"
        model = load(options.model)
        waits = [
            measure_first_sound(model, options.prompt, seed, path) for seed in range(options.rounds)
        ]
        speed = measure_speed(model, options.prompt, options.short, path)
        peaks = [
            measure_apart(options.model, options.prompt, seconds, path)
            for seconds in (options.short, options.long)
        ]
    walls, works = zip(*waits, strict=True)
    results: dict[str, Any] = {
        "model": model.name,
        "model_hash": model.hash,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "first_sound_ms": {
            "first_call": round(walls[0], 1),
            "median_of_others": round(median(walls[1:]), 1),
            "slowest_of_others": round(max(walls[1:]), 1),
            "bar": MOST_FIRST_SOUND_MS,
        },
        "first_sound_processor_ms": {
            "first_call": round(works[0], 1),
            "median_of_others": round(median(works[1:]), 1),
        },
        "real_time_factor": round(speed, 2),
        "peak_memory_mb": {
            f"{options.short:g} s": round(peaks[0], 1),
            f"{options.long:g} s": round(peaks[1], 1),
            "bar_for_growth": MOST_GROWTH_MB,
        },
        "passes": max(walls[0], median(walls[1:])) < MOST_FIRST_SOUND_MS
        and peaks[1] - peaks[0] < MOST_GROWTH_MB,
    }
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--prompt", default="rain falls steadily")
    parser.add_argument("--rounds", type=int, default=11, help="calls timed to their first sound")
    parser.add_argument("--short", type=float, default=15.0, help="seconds of the short stream")
    parser.add_argument("--long", type=float, default=150.0, help="seconds of the long one")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds is at least 2")
    return options


def measure_first_sound(model: Model, prompt: str, seed: int, path: Path) -> tuple[float, float]:
    """Milliseconds from the call to the first samples in the file, and of processor time."""
    begun, worked = perf_counter(), process_time()
    stream = model.stream(prompt, seed=seed, duration=10.0)
    with WavStream(path, stream.sample_rate, stream.channels) as file:
        file.write(next(stream))
        return 1000 * (perf_counter() - begun), 1000 * (process_time() - worked)


def measure_speed(model: Model, prompt: str, seconds: float, path: Path) -> float:
    """Seconds of sound a second."""
    begun = perf_counter()
    model.stream(prompt, duration=seconds).save(path)
    return seconds / (perf_counter() - begun)


def measure_apart(name: str, prompt: str, seconds: float, path: Path) -> float:
    """Peak memory in MB of a new process that streams so many seconds."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(stream_for_peak, name, prompt, seconds, path).result()


def stream_for_peak(name: str, prompt: str, seconds: float, path: Path) -> float:
    """Stream, and give this process's peak memory in MB."""
    load(name).stream(prompt, duration=seconds).save(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main()
