"""The stage that makes captions wrong: each caption is asked about once, whatever happens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.core.journal import Journal, journal_of
from soundwright.core.progress import Meter
from soundwright.preference.perturbation.perturber import (
    PerturbationError,
    PerturbedStrategy,
    Perturber,
)
from soundwright.preference.record_files import (
    RecordFile,
    is_written,
    read_records,
    write_records,
)
from soundwright.preference.records import Perturbation, SelectedCaption
from soundwright.text.chat import ChatError

KIND = "perturbations"
GIVE_UP = 3
"""After so many captions in a row that got no answer, the endpoint is asked no more."""
UNASKED = "not asked any more"
UNANSWERED = ("no answer", "no whole answer", "status")
"""How the failures begin that are the endpoint's, and not the answer's."""


class PerturbingChoice(Config):
    """Which captions are perturbed, and how often."""

    strategies: tuple[PerturbedStrategy, ...] = ("S2", "S3")
    """S2 perturbs the captions that were selected for being different, S3 those that tell of
    time."""
    count: Annotated[int, Field(ge=1, le=20)] = 5
    """For each caption and strategy."""


class Job(NamedTuple):
    """One caption to be perturbed."""

    caption: SelectedCaption
    strategy: PerturbedStrategy


def perturb_captions(
    captions: RecordFile[SelectedCaption],
    out: Path,
    perturber: Perturber,
    choice: PerturbingChoice,
    fallback: Perturber | None = None,
) -> dict[str, Any]:
    """Perturb captions and write what came out to `out`, unless that is done.

    What was answered is noted at once, so that a killed run asks nothing twice.

    Args:
        captions: From `captions.read_selected`.
        out: The file; its journal stands beside it.
        perturber: Is asked.
        choice: For what.
        fallback: Takes the place of a chat model that is down, slow, or answers nonsense; None
            stops there.

    Returns:
        Numbers of captions and perturbations, who made how many, and which failures there were.

    Raises:
        UserError: No caption fits the strategies; the perturber fails and there is no fallback; or
            `out` holds something else.
    """
    jobs = plan_jobs(captions.items, choice)
    made_of = [
        [[job.caption.id, job.caption.text, job.strategy] for job in jobs],
        # Without the fallback: a run that has stopped may go on with one.
        perturber.identity,
        choice.count,
    ]
    fingerprint = hash_bytes(json.dumps(made_of).encode())[:16]
    if not is_written(out, KIND, fingerprint):
        with Journal(journal_of(out), fingerprint) as journal:
            _work(jobs, journal, perturber, choice.count, fallback)
            notes = journal.entries
        items = [
            Perturbation(
                caption=note["caption"],
                strategy=note["strategy"],
                number=number,
                text=text,
                by=note["by"],
            )
            for note in notes
            for number, text in enumerate(note["texts"], start=1)
        ]
        facts = {
            "captions": len({item.caption for item in items}),
            "perturbations": len(items),
            "by": dict(Counter(item.by for item in items)),
            "failures": dict(Counter(note["failure"] for note in notes if note["failure"])),
        }
        write_records(out, KIND, fingerprint, facts, items)
    return dict(read_perturbations(out).facts)


def read_perturbations(path: Path) -> RecordFile[Perturbation]:
    """Read what `perturb_captions` wrote.

    Raises:
        UserError: The file is missing or holds something else.
    """
    return read_records(path, KIND, Perturbation)


def plan_jobs(captions: Sequence[SelectedCaption], choice: PerturbingChoice) -> list[Job]:
    """What is to be perturbed, strategy by strategy.

    Raises:
        UserError: Nothing is.
    """
    jobs = [
        Job(caption, strategy)
        for strategy in choice.strategies
        for caption in captions
        if (caption.temporal if strategy == "S3" else caption.cluster is not None)
    ]
    if not jobs:
        raise UserError(
            f"None of the {len(captions)} captions is one for {' or '.join(choice.strategies)}.",
            expected="for S2 captions with a cluster, for S3 captions with a word of time",
        )
    return jobs


def _work(
    jobs: Sequence[Job],
    journal: Journal,
    perturber: Perturber,
    count: int,
    fallback: Perturber | None,
) -> None:
    with Meter("perturb", len(jobs), done=len(journal.entries), unit="caption") as meter:
        for job in jobs[len(journal.entries) :]:
            failure = UNASKED if _is_given_up(journal) else ""
            note: dict[str, Any] = {"by": perturber.name, "texts": [], "failure": failure}
            try:
                if not failure:
                    note["texts"] = perturber.perturb(job.caption.text, job.strategy, count)
            except (ChatError, PerturbationError) as error:
                if isinstance(error, ChatError) and fallback is None:
                    raise _stop(job, error) from error
                # Without the words of an answer: failures are counted.
                note["failure"] = str(error).partition(":")[0]
            if note["failure"] and fallback is not None:
                note |= _fall_back(job, fallback, count)
            journal.append({"caption": job.caption.id, "strategy": job.strategy, **note})
            meter.advance(note=note["failure"])


def _fall_back(job: Job, fallback: Perturber, count: int) -> dict[str, Any]:
    try:
        return {
            "by": fallback.name,
            "texts": fallback.perturb(job.caption.text, job.strategy, count),
        }
    except PerturbationError:
        return {}


def _is_given_up(journal: Journal) -> bool:
    """Whether the endpoint gave no answer for the last captions, or is given up already."""
    last = [note["failure"] for note in journal.entries[-GIVE_UP:]]
    unanswered = [one.startswith(UNANSWERED) for one in last]
    return UNASKED in last[-1:] or (len(last) == GIVE_UP and all(unanswered))


def _stop(job: Job, error: ChatError) -> UserError:
    return UserError(
        f"The chat model gave nothing for {job.caption.text!r}: {error}.",
        change="Repeat the command to go on here, or add --on-failure rules.",
    )
