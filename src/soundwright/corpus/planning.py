"""What a run would do, and what a corpus of another size would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundwright.corpus.layout import Corpus, Place, State, made_from, names_until

HOURS_A_DAY = 24.0


@dataclass(frozen=True)
class StagePlan:
    """What a run would do in one stage."""

    name: str
    done: int
    """Shards."""
    pending: int
    why: str
    """Why shards are pending."""
    rows: int | None
    """To be read; None where that is not known before the stage ahead has run."""
    seconds: float | None
    """Of one worker's work, at this corpus's own rate; None where there is none yet."""


def plan_run(corpus: Corpus, until: str | None = None) -> list[StagePlan]:
    """What `run_corpus` would do now, stage by stage, if the inputs are as they were."""
    plans: list[StagePlan] = []
    before: State | None = None
    wanted = names_until(corpus.places, until)
    for state in corpus.survey():
        if state.place.name in wanted:
            plans.append(_plan_stage(state, before))
        before = state
    return plans


def _plan_stage(state: State, before: State | None) -> StagePlan:
    pending = state.pending
    rows: int | None = 0
    if pending and before is not None:
        receipts = [before.place.folder.receipt(shard) for shard in pending]
        ready = all(before.contents[shard] is not None for shard in pending)
        rows = sum(one.counts.written for one in receipts if one) if ready else None
    rate = state.counts.read / state.seconds if state.seconds and state.counts.read else None
    seconds = 0.0 if not pending else rows / rate if rate and rows is not None else None
    why = _explain(state, before) if pending or not state.contents else ""
    return StagePlan(
        state.place.name, len(state.contents) - len(pending), len(pending), why, rows, seconds
    )


def _explain(state: State, before: State | None) -> str:
    if not state.contents:
        return "the corpus has not been run yet"
    if not state.place.folder.path.is_dir():
        others = list(_siblings(state.place))
        return "its parameters, or those of a stage before, have changed" if others else "new"
    kept = [shard for shard in state.pending if state.place.folder.receipt(shard) is not None]
    if kept and any(made_from(state.place, before, shard) for shard in kept):
        return "what the stage before gives has changed"
    return "not finished"


def _siblings(place: Place) -> list[str]:
    """Folders of the same stage with other parameters."""
    stem = place.folder.path.name.rpartition("-")[0]
    parent = place.folder.path.parent
    return [one.name for one in parent.glob(f"{stem}-*")] if parent.is_dir() else []


@dataclass(frozen=True)
class StageCost:
    """What one stage costs for a corpus of a given size."""

    name: str
    rows: float
    rate: float
    """Rows a second and worker."""
    worker_hours: float
    bytes: float


@dataclass(frozen=True)
class Cost:
    """What a corpus of a given size costs."""

    clips: float
    """Exported."""
    stages: tuple[StageCost, ...]

    @property
    def worker_hours(self) -> float:
        """Of all stages."""
        return sum(stage.worker_hours for stage in self.stages)

    @property
    def bytes(self) -> float:
        """Of all stages' folders; an export shares its sound with the last one."""
        return sum(stage.bytes for stage in self.stages)

    def machines(self, workers: int, days: float) -> float:
        """Machines of so many workers that are done in so many days."""
        return self.worker_hours / (workers * days * HOURS_A_DAY)


def estimate_cost(states: Sequence[State], clips: float) -> Cost:
    """What `clips` exported clips cost, at the rates and shares that this corpus has shown.

    Args:
        states: Of a corpus of which every stage has run over at least some shards.
        clips: Wanted.
    """
    last = states[-1].counts.written
    assert last > 0, "nothing has been exported that could tell how much is kept"
    scale = clips / last
    costs = []
    for state in states:
        rows = state.counts.read * scale
        rate = state.counts.read / state.seconds if state.seconds else float("inf")
        costs.append(
            StageCost(state.place.name, rows, rate, rows / rate / 3600, state.size * scale)
        )
    return Cost(clips, tuple(costs))
