"""One shard through one stage: what a worker does, wherever it runs."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from soundwright.core.errors import UserError
from soundwright.core.records import Clip
from soundwright.corpus.config import CorpusConfig
from soundwright.corpus.failures import Failure
from soundwright.corpus.parts import SEARCH, PartFolder, PartWriter, Receipt
from soundwright.corpus.records import Media
from soundwright.corpus.stage import Output, Stage
from soundwright.corpus.table import build_stage


@dataclass(frozen=True)
class Task:
    """A shard that is to go through a stage; small, since it travels to other machines."""

    root: str
    """The corpus's folder, the same on all machines."""
    config: str
    """JSON of the `CorpusConfig`."""
    stage: str
    folder: str
    """Name of the stage's folder, and its key."""
    key: str
    before: str
    """Name of the folder of the stage before, and its key."""
    before_key: str
    shard: int
    upstream: str
    """`content` of the shard in the stage before."""
    gathered: str | None = None
    """The file that `GatheringStage.gather` has written for this shard."""
    poison: tuple[str, ...] = ()
    """JSON of the failures of rows that have killed a worker: they are left out."""
    search: bool = False
    """Only find out which rows kill a worker or raise what no stage expects."""


@dataclass(frozen=True)
class Done:
    """A task's good end."""

    task: Task
    receipt: Receipt | None
    poison: tuple[str, ...] = ()
    """What a search has found."""


@dataclass(frozen=True)
class Lost:
    """A task that took its worker along, or raised what no stage expects."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Refused:
    """A task that met a person's mistake, such as a full disk: the run stops."""

    task: Task
    problem: str
    expected: str = ""
    change: str = ""


Outcome = Done | Lost | Refused


def run_task(task: Task) -> Outcome:
    """Do a task, in a worker.

    Nothing is raised but what ends a process: other exceptions come back as an `Outcome`.
    """
    # One thread, so that sums are the same however many workers there are.
    torch.set_num_threads(1)
    try:
        if task.search:
            return Done(task, None, _search(task))
        return Done(task, _process(task))
    except UserError as error:
        return Refused(task, error.problem, error.expected, error.change)
    except Exception as error:  # noqa: BLE001 (whatever it is, the driver looks for the row)
        return Lost(task, f"{type(error).__name__}: {error}")


def _process(task: Task) -> Receipt:
    stage, (before, folder) = _load(task), _folders(task)
    left_out = _poisoned(task)
    begun = time.perf_counter()
    with PartWriter(folder, task.shard, stage.name) as out:

        def read() -> Iterator[Media | Clip]:
            for row in before.rows(task.shard, stage.reads):
                out.count_read()
                if row.id in left_out:
                    out.fail(left_out[row.id])
                else:
                    yield row

        out.gathered = _gathered(task)
        stage.process(read(), out)
        _check_balance(out.counts)
        return out.finish(task.upstream, time.perf_counter() - begun)


def _check_balance(counts: Mapping[str, int]) -> None:
    """Make sure that every row that was read is somewhere."""
    kept, failed, absorbed = (counts.get(name, 0) for name in ("written", "failed", "absorbed"))
    if counts.get("read", 0) > kept + failed + absorbed:
        raise RuntimeError(f"of {counts['read']} rows {kept + failed + absorbed} came out")


def _search(task: Task) -> tuple[str, ...]:
    """Process row by row; each is noted before and after, so that a death names its row.

    The notes are those of this run: `PartFolder.sweep` has removed older ones, in which a row that
    was begun may only tell that somebody ended the run.
    """
    stage, (before, folder) = _load(task), _folders(task)
    path = folder.file(task.shard, SEARCH)
    path.parent.mkdir(parents=True, exist_ok=True)
    begun, ended = _read_notes(path)
    found = {key: reason for key, reason in ended.items() if reason}
    found |= dict.fromkeys(begun - set(ended), "crash")
    nowhere = _Nowhere()
    nowhere.gathered = _gathered(task)
    with path.open("a", encoding="utf-8") as notes:
        for row in before.rows(task.shard, stage.reads):
            if row.id in begun:
                continue
            _note(notes, {"begun": row.id})
            try:
                stage.process(iter([row]), nowhere)
                problem = ""
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 (the row is the culprit, and named)
                problem = f"{type(error).__name__}: {error}"
            if problem:
                found[row.id] = problem
            _note(notes, {"ended": row.id, "problem": problem})
    path.unlink()
    return tuple(
        Failure(
            item=key,
            stage=stage.name,
            kind="poison",
            reason="crash" if problem == "crash" else "exception",
            detail="the worker died" if problem == "crash" else problem,
        ).model_dump_json()
        for key, problem in sorted(found.items())
    )


def _note(file: object, values: Mapping[str, str]) -> None:
    print(json.dumps(values), file=file, flush=True)  # type: ignore[call-overload]


def _read_notes(path: Path) -> tuple[set[str], dict[str, str]]:
    """Rows that were begun, and those that came to an end with what they raised, if anything."""
    begun: set[str] = set()
    ended: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                note = json.loads(line)
            except json.JSONDecodeError:
                continue  # The death tore it.
            if "begun" in note:
                begun.add(note["begun"])
            else:
                ended[note["ended"]] = note["problem"]
    return begun, ended


def _folders(task: Task) -> tuple[PartFolder, PartFolder]:
    stages = Path(task.root) / "stages"
    return (
        PartFolder(stages / task.before, task.before_key),
        PartFolder(stages / task.folder, task.key),
    )


def _gathered(task: Task) -> Path | None:
    return Path(task.gathered) if task.gathered else None


def _poisoned(task: Task) -> dict[str, Failure]:
    found = (Failure.model_validate_json(text) for text in task.poison)
    return {failure.item: failure for failure in found}


def _load(task: Task) -> Stage:
    return _build(task.root, task.config, task.stage)


@functools.lru_cache(maxsize=1)
def _build(root: str, config: str, name: str) -> Stage:
    """The stage with its models, kept until the worker gets a task of another one."""
    return build_stage(name, CorpusConfig.model_validate_json(config), Path(root))


class _Nowhere(Output):
    """Forgets what a search produces."""

    def keep(self, row: Media | Clip) -> None:
        pass

    def fail(self, failure: Failure, *, counted: bool = True) -> None:
        pass

    def absorb(self, count: int = 1) -> None:
        pass

    def store_sound(self, name: str, content: bytes) -> tuple[str, int]:
        return name, len(content)

    def store_beside(self, content: bytes) -> None:
        pass
