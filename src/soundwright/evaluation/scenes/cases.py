"""The benchmark as records: prompts with the scenes that they describe, and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, write_text
from soundwright.core.records import Record, Scene

Axis = Literal[
    "presence", "absence", "count", "order", "overlap", "duration", "timestamp", "distance"
]
AXES: tuple[Axis, ...] = get_args(Axis)
FORMAT = "soundwright-scenes"
FORMAT_VERSION = 1
BENCHMARK_NAME = "benchmark.jsonl"
PROMPTS_NAME = "prompts.txt"


class Case(Record):
    """A prompt, and the scene that it describes: what is demanded of a sound follows from it."""

    id: str
    """`<axis>-<number>`, or `<axis>-pair-<number>-a` and `-b`: the name of its sounds."""
    axis: Axis
    """What the prompt is about."""
    prompt: str
    scene: Scene
    pair: str = ""
    """Two cases of one pair differ in one attribute; empty for a case that stands alone."""


class Header(Record):
    """First line of a benchmark's file: what follows, and what it was made from."""

    format: Literal["soundwright-scenes"] = FORMAT
    version: Literal[1] = FORMAT_VERSION
    seed: int
    labels: tuple[str, ...]
    """The sounds that its prompts name, sorted."""
    duration: float = Field(gt=0)
    """Seconds of every scene: how long the sounds are to be."""
    left_out: tuple[str, ...] = ()
    """What these labels cannot make: axes, counts."""


@dataclass(frozen=True)
class Benchmark:
    """Cases in the order of their axes; pairs behind."""

    header: Header
    cases: tuple[Case, ...]

    @property
    def singles(self) -> tuple[Case, ...]:
        """The cases that stand alone."""
        return tuple(case for case in self.cases if not case.pair)

    @property
    def pairs(self) -> tuple[tuple[Case, Case], ...]:
        """The minimal pairs, each in its order."""
        found: dict[str, list[Case]] = {}
        for case in self.cases:
            if case.pair:
                found.setdefault(case.pair, []).append(case)
        return tuple((pair[0], pair[1]) for pair in found.values())

    @property
    def prompts(self) -> tuple[str, ...]:
        """The different prompts, in order."""
        return tuple(dict.fromkeys(case.prompt for case in self.cases))

    @property
    def identity(self) -> str:
        """Hash of all records (12 hex digits)."""
        return hash_bytes(_lines(self).encode())[:12]


def write_benchmark(folder: Path, benchmark: Benchmark) -> None:
    """Write benchmark.jsonl, and prompts.txt for `soundwright generate --prompts`.

    Raises:
        UserError: The folder cannot be written.
    """
    write_text(folder / PROMPTS_NAME, "".join(f"{prompt}\n" for prompt in benchmark.prompts))
    write_text(folder / BENCHMARK_NAME, _lines(benchmark))


def read_benchmark(path: Path) -> Benchmark:
    """Read what `write_benchmark` wrote: the file, or its folder.

    Raises:
        UserError: There is none, it is no benchmark, of a newer format, or has faulty cases.
    """
    file = path / BENCHMARK_NAME if path.is_dir() else path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The benchmark {file} cannot be read.", change="Make one: soundwright scenes prompts."
        ) from error
    try:
        header = Header.model_validate_json(lines[0] if lines else "")
        cases = tuple(Case.model_validate_json(line) for line in lines[1:] if line.strip())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{file} is no benchmark of this version: {where or 'a line'}: {first['msg']}.",
            expected=f"{FORMAT} {FORMAT_VERSION}, as soundwright scenes prompts writes it",
        ) from error
    _check(file, cases)
    return Benchmark(header, cases)


def _lines(benchmark: Benchmark) -> str:
    records: Iterable[Record] = (benchmark.header, *benchmark.cases)
    return "".join(f"{record.model_dump_json()}\n" for record in records)


def _check(file: Path, cases: tuple[Case, ...]) -> None:
    change = "Make the benchmark again: soundwright scenes prompts."
    if not cases:
        raise UserError(f"{file} holds no case.", expected="at least one", change=change)
    for one, count in Counter(case.id for case in cases).items():
        if count > 1:
            raise UserError(
                f"{file} holds {one!r} {count} times.", expected="ids of their own", change=change
            )
    for pair, count in Counter(case.pair for case in cases if case.pair).items():
        if count != 2:
            raise UserError(
                f"The pair {pair!r} in {file} has {count} cases.", expected="two", change=change
            )
