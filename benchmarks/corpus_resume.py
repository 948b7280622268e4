"""A corpus that is killed again and again, and one made by other workers: the same bytes?

    python benchmarks/corpus_resume.py CONFIG --work DIR [--kills N] [--seed N] [--ray] [--out FILE]

Runs a corpus undisturbed, with one worker and with two (and on a local Ray cluster), then once more
with `kill -9` at random moments, and compares the exports byte by byte. Printed too is how much
faster two workers are than one in each stage, by the clock from its first receipt's begin to its
last one's end.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from time import perf_counter
from typing import Any

from soundwright.core.files import hash_file, write_json


def main() -> None:
    """Run, kill, compare, print, write."""
    options = read_options()
    results: dict[str, Any] = {"exports": {}, "seconds": {}}
    ways = {"one worker": ("--workers", "1"), "two workers": ("--workers", "2")}
    if options.ray:
        ways["ray"] = ("--executor", "ray", "--address", "local", "--workers", "2")
    stages: dict[str, dict[str, float]] = {}
    for name, arguments in ways.items():
        root = prepare(options.config, options.work / name.replace(" ", "-"))
        stages[name] = run_stage_by_stage(root, arguments)
        results["seconds"][name] = round(sum(stages[name].values()), 1)
        results["exports"][name] = digest(root)
        print(f"{name}: {results['seconds'][name]} s, export {results['exports'][name][:16]}")
    results["speedup"] = {
        stage: round(stages["one worker"][stage] / seconds, 2)
        for stage, seconds in stages["two workers"].items()
        if seconds > options.least
    }
    print("two workers against one:", results["speedup"])
    root = prepare(options.config, options.work / "killed")
    results["kills"] = kill_and_resume(root, options, results["seconds"]["two workers"])
    results["exports"]["killed"] = digest(root)
    results["identical"] = len(set(results["exports"].values())) == 1
    print(f"{results['kills']} kills; all exports identical: {results['identical']}")
    if options.out:
        write_json(options.out, results)


def prepare(config: Path, root: Path) -> Path:
    """A fresh folder with the configuration, in which relative inputs are found again."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for entry in config.resolve().parent.iterdir():
        if entry.name not in ("stages", "export", ".lock", config.name):
            (root / entry.name).symlink_to(entry)
    shutil.copy(config, root / "corpus.yaml")
    return root


def command(root: Path, *arguments: str) -> list[str]:
    """A run of the corpus in `root`."""
    return [sys.executable, "-m", "soundwright.cli", "corpus", "run", str(root), *arguments]


def run_stage_by_stage(root: Path, arguments: tuple[str, ...]) -> dict[str, float]:
    """Run to the end; gives the seconds of each stage, without those of starting Python."""
    from soundwright.corpus.config import read_corpus_config
    from soundwright.corpus.layout import Corpus

    corpus = Corpus(read_corpus_config(root / "corpus.yaml"), root.resolve())
    begun = time.time()
    subprocess.run(command(root, *arguments), check=True, stdout=subprocess.DEVNULL)
    seconds: dict[str, float] = {}
    for place in corpus.places:
        marks = sorted(place.folder.path.glob("part-*.ok"))
        times = [mark.stat().st_mtime for mark in marks]
        seconds[place.name] = max(times) - begun if times else 0.0
        begun = max(times, default=begun)
    return seconds


def kill_and_resume(root: Path, options: argparse.Namespace, seconds: float) -> int:
    """Kill the run at random moments until it has been killed often enough, then let it end."""
    rng = random.Random(options.seed)
    kills = 0
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    while kills < options.kills:
        process = subprocess.Popen(
            command(root, "--workers", "2"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        begun = perf_counter()
        limit = options.start + rng.uniform(0, 2 * seconds / options.kills)
        while process.poll() is None and perf_counter() - begun < limit:
            time.sleep(0.05)
        if process.poll() is not None:
            # It came to its end: what is left of the kills falls on its last stages.
            shutil.rmtree(root / "export", ignore_errors=True)
            for folder in sorted((root / "stages").iterdir())[rng.randrange(1, 6) :]:
                for mark in folder.glob("*.ok"):
                    mark.unlink()
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run(command(root, "--workers", "2"), check=True, stdout=subprocess.DEVNULL)
    return kills


def digest(root: Path) -> str:
    """One hash over names and contents of the export."""
    import hashlib

    whole = hashlib.sha256()
    folder = root / "export"
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(f"{path.relative_to(folder).as_posix()} {hash_file(path)}\n".encode())
    return whole.hexdigest()


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path, help="corpus.yaml")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=float, default=4.0, help="seconds before the first kill")
    parser.add_argument("--least", type=float, default=10.0, help="seconds of a stage that is told")
    parser.add_argument("--ray", action="store_true", help="also on a local Ray cluster")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
