"""How clean is a corpus? The builder over media of which the truth is known.

    python benchmarks/corpus_study.py --recordings FOLDER --work DIR [--files N] [--seed N]
        [--captioner NAME] [--train] [--set KEY=VALUE ...] [--out FILE]

Makes media with imperfect transcripts (`corpus_media.py`), runs the preset `autorecap` over them,
and compares the clips with the truth: how much of their time is speech after `gaps` alone and after
`tag`, and how much of the true ambient time is still there. With --train, the small language model
then trains on the export, with no step between.

The operating point of the voice detector was chosen on other sounds (`speech_detection.py`). A run
that is killed goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from corpus_media import Span, make_media
from soundwright.core.config import merge, parse_override
from soundwright.core.files import write_json, write_text
from soundwright.core.records import Clip
from soundwright.core.seeding import numpy_stream
from soundwright.corpus.clip_values import clip_values
from soundwright.corpus.config import read_corpus_config
from soundwright.corpus.expressions import parse_expression
from soundwright.corpus.layout import Corpus, State

DRAWS = 2000


def main() -> None:
    """Make media, run, compare, print, write."""
    options = read_options()
    make_media(options.recordings, options.work, options.files, options.seed)
    config = write_config(options)
    call("corpus", "run", config, "--workers", "2")
    corpus = Corpus(read_corpus_config(config), config.resolve().parent)
    truth = read_truth(options.work / "truth.jsonl")
    states = {state.place.name: state for state in corpus.survey()}
    results: dict[str, Any] = {
        "files": options.files,
        "seed": options.seed,
        "hours": round(sum(one["duration"] for one in truth.values()) / 3600, 3),
        "select": corpus.config.select.where,
        "after gaps": measure(rows(states["decode"]), truth),
        "after tag": measure(voiceless(rows(states["tag"]), corpus), truth),
        "exported": measure(rows(states["export"]), truth),
        "stages": {
            name: {**state.counts.model_dump(), "worker_seconds": round(state.seconds, 1)}
            for name, state in states.items()
        },
    }
    for name in ("after gaps", "after tag", "exported"):
        found = results[name]
        print(
            f"{name}: {found['clips']} clips, speech {found['speech_share']:.2%} of their time, "
            f"ambient kept {found['ambient_kept']:.1%}"
        )
    if options.train:
        results["trained"] = train(options.work)
    if options.out:
        write_json(options.out, results)


def write_config(options: argparse.Namespace) -> Path:
    """The preset, over the media."""
    config = options.work / "corpus.yaml"
    values: dict[str, Any] = {
        "extends": "autorecap",
        "name": "corpus study",
        "inputs": [{"folder": "media", "licence": {"name": "generated"}}],
        "ingest": {"shard_size": 50},
        "caption": {"model": options.captioner},
    }
    for text in options.set:
        values = merge(values, parse_override(text))
    write_text(config, yaml.safe_dump(values, sort_keys=False))
    return config


def call(*arguments: object) -> None:
    """Run a command of Soundwright's."""
    subprocess.run([sys.executable, "-m", "soundwright.cli", *map(str, arguments)], check=True)


def read_truth(path: Path) -> dict[str, dict[str, Any]]:
    """What is true of each file, by its name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {one["file"]: one for one in map(json.loads, lines)}


def rows(state: State) -> Iterator[Clip]:
    """The clips behind a stage."""
    for shard in range(len(state.contents)):
        yield from state.place.folder.rows(shard, Clip)


def voiceless(clips: Iterable[Clip], corpus: Corpus) -> Iterator[Clip]:
    """Those that speech would not leave out: neither the stage nor a clause of the selection."""
    clauses = [
        one for one in parse_expression(corpus.config.select.where).clauses if "speech" in one.text
    ]
    for clip in clips:
        values = clip_values(clip)
        heard = any(drop.stage == "tag" for drop in clip.drops)
        if not heard and all(clause.breach(values) is None for clause in clauses):
            yield clip


def measure(clips: Iterable[Clip], truth: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Speech in the clips, and the ambient time that they hold of all there is."""
    names = {name: row for row, name in enumerate(truth)}
    seconds = np.zeros((len(names), 3))
    count = with_speech = 0
    for clip in clips:
        assert clip.source.end is not None, "pieces have ends"
        row = names[clip.source.item]
        piece = (clip.source.start, clip.source.end)
        heard = overlap(piece, truth[clip.source.item]["speech"])
        seconds[row, 0] += heard
        seconds[row, 1] += piece[1] - piece[0]
        count += 1
        with_speech += heard > 0
    for name, row in names.items():
        said = sum(end - start for start, end in truth[name]["speech"])
        seconds[row, 2] = truth[name]["duration"] - said
    speech, kept, ambient = seconds.sum(0)
    return {
        "clips": count,
        "clips_with_speech": with_speech,
        "seconds": round(float(kept), 2),
        "speech_seconds": round(float(speech), 2),
        "ambient_seconds": round(float(ambient), 2),
        **interval("speech_share", seconds, lambda sums: sums[0] / max(sums[1], 1e-9)),
        **interval("ambient_kept", seconds, lambda sums: (sums[1] - sums[0]) / sums[2]),
    }


def interval(
    name: str, seconds: np.ndarray, share: Callable[[np.ndarray], float]
) -> dict[str, Any]:
    """A share of the sums, and its interval of 95 % by a bootstrap over files."""
    rng = numpy_stream(0, "corpus study")
    drawn = [
        share(seconds[rng.integers(len(seconds), size=len(seconds))].sum(0)) for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    found = float(share(seconds.sum(0)))
    return {name: round(found, 5), f"{name}_95": [round(float(low), 5), round(float(high), 5)]}


def overlap(piece: Span, spans: Iterable[Span]) -> float:
    """Seconds of a piece that disjoint spans cover."""
    return sum(max(0.0, min(piece[1], end) - max(piece[0], start)) for start, end in spans)


def train(work: Path) -> str:
    """Train the small language model on the export; gives the model's folder."""
    manifest = (work / "export" / "manifest.jsonl").resolve()
    out = work / "trained"
    call("train", "finetune", "--set", f"data.manifests=[{manifest}]", "--set",
         "training.steps=20", "--out", out)  # fmt: skip
    return str(out.name)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, help="folder of ESC-10")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--captioner", default="bundled-captioner")
    parser.add_argument("--train", action="store_true", help="train on the export")
    parser.add_argument("--set", action="append", default=[], help="overrides of the preset")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
