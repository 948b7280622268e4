"""A run: stage after stage, the shards that are not done yet, on whatever executor."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, read_json, write_json
from soundwright.core.progress import Meter
from soundwright.corpus.executors.protocol import Executor
from soundwright.corpus.ingest import Ingested, ingest
from soundwright.corpus.layout import Corpus, Place, State, made_from, names_until, survey_stage
from soundwright.corpus.parts import Receipt
from soundwright.corpus.stage import GatheringStage
from soundwright.corpus.work import Lost, Outcome, Refused, Task

MARK = "gathered.json"
SHOWN = 3

Say = Callable[[str], None]


def run_corpus(
    corpus: Corpus, executor: Executor, say: Say, *, until: str | None = None
) -> list[State]:
    """Bring a corpus up to date.

    Args:
        corpus: Which.
        executor: Does the work.
        say: Takes what a person should know, line by line.
        until: The last stage to be run; None runs all.

    Returns:
        How the stages that were run stand.

    Raises:
        UserError: An input is missing, too much fails, a worker cannot be kept alive, the disk is
            full, or there is no stage `until`. What is done stays done.
    """
    wanted = names_until(corpus.places, until)
    ingested = ingest(corpus.config.inputs, corpus.config.ingest, corpus.root)
    say(_tell(ingested))
    states = [survey_stage(corpus.places[0], None, ingested.shards)]
    for place in corpus.places[1:]:
        if place.name in wanted:
            states.append(_StageRun(corpus, place, states[-1], executor).finish())
    return states


def run_export(corpus: Corpus, executor: Executor) -> list[State]:
    """Bring the last stage alone up to date: what is exported, and how, may be asked anew.

    Args:
        corpus: Of which all stages before the last are done; its inputs are not looked at.
        executor: Does the work.

    Returns:
        How all stages stand.

    Raises:
        UserError: A stage before the last is not done; else as `run_corpus`.
    """
    states = list(corpus.survey())[:-1]
    for state in states:
        if state.pending or not state.contents:
            done = f"{state.receipts} of {len(state.contents)} shards are done"
            raise UserError(
                f"The stage {state.place.name} is not done with these settings: "
                f"{done if state.contents else 'the corpus has not been run'}.",
                change="Do it first: soundwright corpus run, with the same --set and --limit.",
            )
    return [*states, _StageRun(corpus, corpus.places[-1], states[-1], executor).finish()]


def _tell(ingested: Ingested) -> str:
    text = f"{ingested.media} recordings in {ingested.shards} shards"
    if not ingested.fresh:
        return text + ", as before"
    for name in ("added", "removed", "changed"):
        if count := getattr(ingested, name):
            text += f", {count} {name}"
    if ingested.examples:
        text += (
            f" ({', '.join(ingested.examples)} ...)"
            if ingested.changed > len(ingested.examples)
            else f" ({', '.join(ingested.examples)})"
        )
    return text + (f", {ingested.failures} refused" if ingested.failures else "")


class _Queue:
    """Tasks that are still to be handed out; more may come while it is read."""

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if not self.waiting:
            raise StopIteration
        return self.waiting.popleft()


@dataclass
class _StageRun:
    """One stage of one run."""

    corpus: Corpus
    place: Place
    before: State
    executor: Executor
    attempts: Counter[int] = field(default_factory=Counter)
    """By shard: how often it has taken its worker along."""

    def finish(self) -> State:
        """Do all shards that are not done; gives the state in which the stage then is."""
        place, before = self.place, self.before
        place.folder.sweep()
        if place.gathered is not None:
            self._gather(place.gathered)
        state = survey_stage(place, before, len(before.contents))
        # A run that was stopped for too many failures stops again when it is only repeated.
        self._check_rate(state)
        queue = _Queue()
        queue.waiting.extend(self._task(shard) for shard in state.pending)
        if not queue.waiting:
            return state
        with Meter(place.name, before.counts.written, done=state.counts.read, unit="row") as meter:
            while queue.waiting:
                for outcome in self.executor.run(queue):
                    receipt = self._settle(outcome, queue)
                    if receipt is not None:
                        state.add(receipt)
                        self._check_rate(state)
                        failed = state.counts.failed
                        meter.advance(
                            receipt.counts.read, note=f"{failed} failed" if failed else None
                        )
        return state

    def _gather(self, folder: Path) -> None:
        """Look over all shards, unless that has been done for these."""
        shards = range(len(self.before.contents))
        upstream = hash_bytes(repr(self.before.contents).encode())
        mark = self.place.folder.path / MARK
        if mark.is_file() and read_json(mark)["upstream"] == upstream:
            return
        assert isinstance(self.place.stage, GatheringStage), "only these have a folder for it"
        folder.mkdir(parents=True, exist_ok=True)
        self.place.stage.gather(self.before.place.folder, shards, folder)
        write_json(mark, {"upstream": upstream})

    def _task(self, shard: int) -> Task:
        upstream = made_from(self.place, self.before, shard)
        assert upstream is not None, f"shard {shard} has nothing to be made from"
        gathered = self.place.gathered_file(shard)
        return Task(
            root=str(self.corpus.root),
            config=json.dumps(self.corpus.config.plain()),
            stage=self.place.name,
            folder=self.place.folder.path.name,
            key=self.place.folder.key,
            before=self.before.place.folder.path.name,
            before_key=self.before.place.folder.key,
            shard=shard,
            upstream=upstream,
            gathered=None if gathered is None else str(gathered),
        )

    def _settle(self, outcome: Outcome, queue: _Queue) -> Receipt | None:
        """The receipt of a shard that is done; else what is to be done about it is queued."""
        task = outcome.task
        if isinstance(outcome, Refused):
            raise UserError(outcome.problem, expected=outcome.expected, change=outcome.change)
        if isinstance(outcome, Lost):
            queue.waiting.append(self._try_again(task, outcome))
            return None
        if task.search:
            queue.waiting.append(replace(task, search=False, poison=outcome.poison))
            return None
        return outcome.receipt

    def _try_again(self, task: Task, outcome: Lost) -> Task:
        self.attempts[task.shard] += 1
        if task.search or self.attempts[task.shard] < self.corpus.config.execution.attempts:
            return task
        if not task.poison and self.attempts[task.shard] == self.corpus.config.execution.attempts:
            return replace(task, search=True)
        raise UserError(
            f"Shard {task.shard} cannot be brought through the stage {task.stage}: "
            f"{outcome.reason}, though none of its rows alone does that.",
            change="If memory is short, use fewer --workers; else report this as a bug.",
        )

    def _check_rate(self, state: State) -> None:
        execution = self.corpus.config.execution
        failed, read = state.counts.failed, state.counts.read
        if failed <= execution.at_least or failed <= execution.max_error_rate * read:
            return
        examples: list[str] = []
        for shard, content in enumerate(state.contents):
            if content is not None and len(examples) < SHOWN:
                found = self.place.folder.failures(shard)
                examples += [f"\n  {one.item}: {one.reason}: {one.detail}" for one in found]
        raise UserError(
            f"{failed} of {read} rows failed in the stage {state.place.name}."
            + "".join(examples[:SHOWN]),
            expected=f"at most {execution.max_error_rate:.0%} (execution.max_error_rate)",
            change="Look at `soundwright corpus errors`, mend what is wrong and let it be tried "
            "again: soundwright corpus retry --all; or raise the limit.",
        )
