"""The corpus builder at scale: a million records through the stages that need no sound.

    python benchmarks/corpus_scale.py --work DIR [--records N ...] [--workers N] [--out FILE]

Writes lists of intervals in the layout of AutoReCap's manifest, of made-up videos with made-up
captions, and runs ingest, gaps, decode, merge, keywords, select and export over them. Printed are
for each size the seconds and rows a second of each stage, the most memory that the driver and any
worker ever held, and what the planner, asked after the smallest size, foretold for the largest.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from soundwright.core.files import write_json

SUBJECTS = ("a dog", "rain", "a man", "an engine", "wind", "a crowd", "water", "a bird", "a guitar")
VERBS = ("barks", "falls on a roof", "speaks", "idles", "blows", "cheers", "runs", "sings", "plays")
INTERVALS_A_VIDEO = 3


def main() -> None:
    """Run each size in a process of its own, print, write."""
    options = read_options()
    if options.one:
        print(json.dumps(run_one(options.work, options.workers)))
        return
    results: dict[str, Any] = {"workers": options.workers, "sizes": []}
    for records in sorted(options.records):
        folder = options.work / f"records-{records}"
        shutil.rmtree(folder, ignore_errors=True)
        prepare(folder, records)
        command = [sys.executable, __file__, "--one", "--work", str(folder)]
        command += ["--workers", str(options.workers)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = {"records": records, **json.loads(done.stdout.splitlines()[-1])}
        results["sizes"].append(found)
        show(found)
    if len(results["sizes"]) > 1:
        results["planned"] = compare(options.work, results["sizes"])
        print(results["planned"])
    if options.out:
        write_json(options.out, results)


def prepare(folder: Path, records: int) -> None:
    """A list of so many intervals, and the configuration of a corpus over it."""
    folder.mkdir(parents=True)
    rng = random.Random(records)
    with (folder / "intervals.jsonl").open("w", encoding="utf-8") as file:
        for first in range(0, records, INTERVALS_A_VIDEO):
            intervals = [
                {
                    "start": 20.0 * place,
                    "end": 20.0 * place + rng.uniform(1.5, 10.0),
                    "text": f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)}",
                    "CLAP_SIM": rng.random(),
                }
                for place in range(min(INTERVALS_A_VIDEO, records - first))
            ]
            file.write(json.dumps({f"v{first:010d}": {"intervals": intervals}}) + ",\n")
    config = {
        "name": f"{records} intervals",
        "inputs": [{"intervals": "intervals.jsonl", "dataset": "made-up"}],
        "ingest": {"shard_size": 2000},
        "decode": {"sound": "none"},
        "probe": None,
        "merge": {},
        "keywords": {},
        "select": {
            "where": "not dropped and published_clap >= 0.1",
            "subsets": {"MQ": "published_clap >= 0.4", "HQ": "published_clap >= 0.5"},
        },
        "export": {"format": "manifest"},
    }
    (folder / "corpus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def run_one(folder: Path, workers: int) -> dict[str, Any]:
    """Run a corpus; gives times and memory of this process and of its children."""
    from soundwright.corpus.assembly import assemble
    from soundwright.corpus.config import read_corpus_config
    from soundwright.corpus.executors.local import LocalExecutor
    from soundwright.corpus.layout import Corpus
    from soundwright.corpus.running import run_corpus

    begun = perf_counter()
    corpus = Corpus(read_corpus_config(folder / "corpus.yaml"), folder.resolve())
    executor = LocalExecutor(workers)
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    states = run_corpus(corpus, executor, lambda line: print(line, file=sys.stderr))
    ran = perf_counter()
    census = assemble(corpus, states, corpus.root / "export")
    ended = perf_counter()
    executor.close()
    return {
        "seconds": round(ended - begun, 1),
        "assembly_seconds": round(ended - ran, 1),
        "clips": census.clips,
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "driver_before_mb": idle // 1024,
        "worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "bytes": sum(state.size for state in states),
        "stages": {
            state.place.name: {
                "rows": state.counts.read,
                "worker_seconds": round(state.seconds, 2),
                "rows_a_second": round(state.counts.read / state.seconds)
                if state.seconds
                else None,
            }
            for state in states
        },
    }


def compare(work: Path, sizes: list[dict[str, Any]]) -> dict[str, float]:
    """What the planner says of the largest size after the second largest, and what was."""
    from soundwright.corpus.config import read_corpus_config
    from soundwright.corpus.layout import Corpus
    from soundwright.corpus.planning import estimate_cost

    known, largest = sizes[-2], sizes[-1]
    folder = work / f"records-{known['records']}"
    corpus = Corpus(read_corpus_config(folder / "corpus.yaml"), folder.resolve())
    cost = estimate_cost(list(corpus.survey()), largest["clips"])
    spent = sum(stage["worker_seconds"] for stage in largest["stages"].values()) / 3600
    return {
        "from_records": known["records"],
        "planned_worker_hours": round(cost.worker_hours, 4),
        "spent_worker_hours": round(spent, 4),
        "planned_bytes": round(cost.bytes),
        "spent_bytes": largest["bytes"],
    }


def show(found: dict[str, Any]) -> None:
    """Print one size."""
    print(
        f"{found['records']} records: {found['seconds']} s, driver {found['driver_mb']} MB, "
        f"workers {found['worker_mb']} MB, {found['clips']} clips"
    )
    for name, stage in found["stages"].items():
        print(f"  {name:12} {stage['rows']:>9} rows  {stage['rows_a_second']} rows/s a worker")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
