"""Small media with transcripts, and configurations of corpora over them."""

import json
from pathlib import Path

import numpy as np
import soundfile
import yaml

from soundwright.corpus.config import read_corpus_config
from soundwright.corpus.executors.local import LocalExecutor
from soundwright.corpus.layout import Corpus
from soundwright.corpus.running import run_corpus

RATE = 16_000
SPEECH = (4.0, 6.0)
"""Where each recording's transcript has its one cue."""


def write_media(folder: Path, count: int = 4, seconds: float = 10.0) -> Path:
    """Recordings of noise, each of another level, with one cue; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_recording(folder / f"take-{number}.wav", number, seconds)
        write_cues(folder / f"take-{number}.en.vtt", [SPEECH])
    return folder


def write_recording(path: Path, number: int, seconds: float = 10.0) -> None:
    rng = np.random.default_rng(number)
    level = 0.1 + 0.05 * number
    samples = rng.uniform(-level, level, round(seconds * RATE)).astype(np.float32)
    soundfile.write(path, samples, RATE, subtype="PCM_16")


def write_cues(path: Path, spans) -> None:
    lines = ["WEBVTT", ""]
    for start, end in spans:
        lines += [f"00:00:{start:06.3f} --> 00:00:{end:06.3f}", "some words", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


SMALL = {
    "name": "small",
    "ingest": {"shard_size": 2},
    "transcripts": {},
    "decode": {"sample_rate": RATE},
    "caption": {"plugin": "corpus_plugins:LoudnessCaptioner"},
    "merge": {},
    "keywords": {},
}


def write_config(root: Path, media: Path | None = None, **changes) -> Path:
    """A corpus of `media` whose stages take no model; `changes` replace whole keys."""
    root.mkdir(parents=True, exist_ok=True)
    given = {"folder": str(media or root / "media"), "licence": {"name": "CC0"}}
    path = root / "corpus.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "inputs": [given], **changes}), encoding="utf-8")
    return path


def open_corpus(config: Path, *overrides: str) -> Corpus:
    return Corpus(read_corpus_config(config, overrides), config.parent)


def run(config: Path, *overrides: str, workers: int = 0, until: str | None = None):
    """Run and assemble; gives the corpus and the states of its stages by name."""
    from soundwright.corpus.assembly import assemble

    corpus = open_corpus(config, *overrides)
    executor = LocalExecutor(workers)
    try:
        states = run_corpus(corpus, executor, lambda _: None, until=until)
    finally:
        executor.close()
    if until is None:
        assemble(corpus, states, corpus.root / "export")
    return corpus, {state.place.name: state for state in states}


def exported(root: Path) -> dict[str, bytes]:
    """Every file of an export by its name."""
    folder = root / "export"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def exported_records(root: Path, name: str = "export") -> list[dict]:
    lines = (root / name / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]
