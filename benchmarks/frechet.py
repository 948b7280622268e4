"""Measure the Fréchet distance beside fadtk's routine and SciPy's matrix root, and its memory.

    python benchmarks/frechet.py [--width D] [--number N] [--rounds NUMBER] [--threads NUMBER ...]
        [--out FILE]

The routines take turns in one process, from the same means and covariances of the same embeddings;
the least time of each counts, and beside it the least processor time, which says on a busy machine
what a quiet one would need. fadtk's routine is read from an installed fadtk, whose other needs
are not touched: `python -m pip install --no-deps fadtk` is enough, and without it the rest is
measured. Embeddings are of two kinds: of an even spectrum, and of one that falls by 60 dB, as the
spectra of networks do.

The floor is the arithmetic that ours cannot do without (two Cholesky decompositions, the product of
their factors, its Gram matrix, the reduction to three diagonals: 5 d³) at the speed of one large
matrix product, measured in the same turns.

Memory is the peak of what NumPy holds while moments are gathered from a stream of embeddings.
"""

from __future__ import annotations

import argparse
import ast
import json
import logging
import os
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import scipy
from scipy import linalg
from threadpoolctl import threadpool_limits

from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.frechet import frechet_distance
from soundwright.evaluation.distances.moments import Moments, accumulate_moments, measure_moments

LEAST_RATIO = 10.0
MOST_DIFFERENCE = 1e-6
MOST_GROWTH = 1.1
"""Of peak memory from 1,000 to 100,000 embeddings."""
MISSING = "not installed: python -m pip install --no-deps fadtk"
Routine = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    fadtk = read_fadtk()
    results: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "fadtk": MISSING if fadtk is None else "its calc_frechet_distance",
        "width": options.width,
        "embeddings": options.number,
        "threads": {},
    }
    for threads in options.threads:
        with threadpool_limits(threads):
            results["threads"][str(threads)] = {
                kind: compare(kind, fadtk, options) for kind in ("even", "falling")
            }
    results["moments"] = measure_memory(options.width)
    results["passes"] = judge(results)
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--width", type=int, default=1024, help="D of the embeddings")
    parser.add_argument("--number", type=int, default=4000, help="embeddings on each side")
    parser.add_argument("--rounds", type=int, default=3, help="turns of all routines")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    options = parser.parse_args()
    if min(options.width, options.number - options.width, options.rounds, *options.threads) < 1:
        parser.error("numbers are at least 1, and there are more embeddings than dimensions")
    return options


def read_fadtk() -> Routine | None:
    """The routine of an installed fadtk, without what fadtk needs for sound; None without it."""
    package = find_spec("fadtk")
    if package is None or package.origin is None:
        return None
    source = ast.parse((Path(package.origin).parent / "fad.py").read_text())
    wanted = [
        node
        for node in source.body
        if isinstance(node, ast.FunctionDef) and node.name == "calc_frechet_distance"
    ]
    names: dict[str, Any] = {
        "np": np,
        "linalg": linalg,
        "scisqrt": np.lib.scimath.sqrt,
        "log": logging.getLogger("fadtk"),
    }
    exec(compile(ast.Module(wanted, []), "fadtk", "exec"), names)
    return names["calc_frechet_distance"]


def by_matrix_root(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other: np.ndarray
) -> float:
    """The distance as the formula stands, with `scipy.linalg.sqrtm`."""
    shared = np.trace(linalg.sqrtm(covariance @ other)).real
    apart = np.square(mean - other_mean).sum() + np.trace(covariance) + np.trace(other)
    return float(apart - 2 * shared)


def compare(kind: str, fadtk: Routine | None, options: argparse.Namespace) -> dict[str, Any]:
    """Times in milliseconds and values of all routines on the same embeddings."""
    first, second = (
        measure_moments(make_embeddings(kind, side, options.number, options.width))
        for side in ("reference", "generated")
    )
    given = (first.mean, first.covariance, second.mean, second.covariance)
    square = given[1]
    routines: dict[str, Callable[[], float]] = {
        "ours": lambda: frechet_distance(first, second).value,
        "scipy": lambda: by_matrix_root(*given),
        "product": lambda: float((square @ square)[0, 0]),
    }
    if fadtk is not None:
        routines["fadtk"] = lambda: float(fadtk(*given))
    times: dict[str, float] = dict.fromkeys(routines, float("inf"))
    works = dict(times)
    values: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(options.rounds):
            for name, routine in routines.items():
                begun, worked = perf_counter(), process_time()
                values[name] = routine()
                times[name] = min(times[name], perf_counter() - begun)
                works[name] = min(works[name], process_time() - worked)
    peers = [name for name in routines if name not in ("ours", "product")]
    floor = 2.5 * times["product"]
    return {
        "milliseconds": {name: round(1000 * times[name], 1) for name in ("ours", *peers)},
        "processor_milliseconds": {name: round(1000 * works[name], 1) for name in ("ours", *peers)},
        "floor_milliseconds": round(1000 * floor, 1),
        "ours_over_floor": round(times["ours"] / floor, 2),
        "values": {name: values[name] for name in ("ours", *peers)},
        "faster_than": {name: round(times[name] / times["ours"], 1) for name in peers},
        "faster_than_by_processor_time": {
            name: round(works[name] / works["ours"], 1) for name in peers
        },
        "relative_difference": {
            name: abs(values[name] - values["ours"]) / values["ours"] for name in peers
        },
    }


def make_embeddings(kind: str, side: str, number: int, width: int) -> np.ndarray:
    """[number, width] normal embeddings, whose spectrum is even or falls."""
    stream = numpy_stream(0, "frechet benchmark", kind, side)
    turn = numpy_stream(0, "frechet benchmark", "turn").standard_normal((width, width))
    spread = 10.0 ** (-3 * np.arange(width) / width) if kind == "falling" else np.ones(width)
    wider, shift = (1.0, 0.0) if side == "reference" else (1.2, 0.1)
    rows = stream.standard_normal((number, width)) * spread * wider + shift * spread
    return rows @ np.linalg.qr(turn)[0]


def measure_memory(width: int) -> dict[str, Any]:
    """Peak megabytes while moments of few and of many embeddings are gathered."""
    peaks = {str(number): measure_peak(number, width) for number in (1_000, 100_000)}
    few, many = peaks.values()
    return {
        "peak_megabytes": {number: round(peak, 1) for number, peak in peaks.items()},
        "growth": round(many / few, 3),
    }


def measure_peak(number: int, width: int) -> float:
    """Peak megabytes for `number` embeddings, ten at a time, as the windows of clips come."""
    tracemalloc.start()
    gathered: Moments = accumulate_moments(stream_embeddings(number, width))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if gathered.n != number:
        raise RuntimeError(f"{gathered.n} of {number} embeddings were counted")
    return peak / 1e6


def stream_embeddings(number: int, width: int) -> Iterator[np.ndarray]:
    """Clips of ten windows each, one after another."""
    stream = numpy_stream(0, "frechet benchmark", "stream")
    for _ in range(number // 10):
        yield stream.standard_normal((10, width), dtype=np.float32)


def judge(results: dict[str, Any]) -> dict[str, bool | None]:
    """Which bars are passed; None where fadtk is not installed."""
    cases = [case for kinds in results["threads"].values() for case in kinds.values()]
    known = all("fadtk" in case["faster_than"] for case in cases)
    return {
        f"{LEAST_RATIO:g} times as fast as fadtk": (
            all(case["faster_than"]["fadtk"] >= LEAST_RATIO for case in cases) if known else None
        ),
        f"equal to peers within {MOST_DIFFERENCE:g}": all(
            difference <= MOST_DIFFERENCE
            for case in cases
            for difference in case["relative_difference"].values()
        ),
        "memory flat": results["moments"]["growth"] <= MOST_GROWTH,
    }


if __name__ == "__main__":
    main()
