"""The stage that pairs: candidates of each strategy, and those that all judges find good enough."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from soundwright.audio.channels import to_channels
from soundwright.audio.files import read
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.preference.judges import Judge, check_judge
from soundwright.preference.record_files import (
    PAIRS_NAME,
    REJECTED_NAME,
    RecordFile,
    is_written,
    read_pairs,
    read_records,
    write_records,
)
from soundwright.preference.records import (
    Candidate,
    Pair,
    Reason,
    Rejected,
    RejectionKind,
    Rollout,
    Scores,
    Side,
)
from soundwright.preference.scoring import NOT_FINITE, Score, find_faults, score_rollouts
from soundwright.preference.thresholds import Selection, find_reasons, settle_limits

SAME = 1 - 1e-4
"""Two sounds whose samples correlate so much are one, at another level perhaps."""
SHOWN = 5


@dataclass(frozen=True)
class Hearing:
    """All that was found out about sounds, by id of the rollout."""

    faults: Mapping[str, Sequence[RejectionKind]]
    scores: Mapping[str, Mapping[str, Score]]
    """By judge; the first finds the winner among several samples."""


def pair_rollouts(
    rollouts: RecordFile[Rollout], judges: Sequence[Judge], selection: Selection, out: Path
) -> RecordFile[Pair]:
    """Score sounds, pair them, and write pairs and rejected candidates to the folder `out`.

    Scores are kept beside the sounds, so that other thresholds need no judge again.

    Args:
        rollouts: From `rollouts.read_rollouts`.
        judges: Those of the selection.
        selection: Their rules.
        out: The folder; nothing is done again where it holds these pairs.

    Raises:
        UserError: A judge must not choose; `out` holds other pairs; or no candidate is left, in
            which case the rejected ones are written all the same.
    """
    for judge in judges:
        check_judge(judge)
    asked = {judge.name: judge.identity for judge in judges}
    made_of = json.dumps([rollouts.fingerprint, selection.plain(), asked])
    fingerprint = hash_bytes(made_of.encode())[:16]
    path = out / PAIRS_NAME
    if not is_written(path, "pairs", fingerprint):
        hearing = Hearing(
            find_faults(rollouts), {judge.name: score_rollouts(rollouts, judge) for judge in judges}
        )
        pairs, rejected, settled = select_pairs(rollouts, hearing, selection, out)
        facts = {
            **{
                key: rollouts.facts[key] for key in ("model", "model_hash") if key in rollouts.facts
            },
            "rollouts": rollouts.fingerprint,
            "judges": asked,
            "selection": selection.plain(),
            "limits": settled.plain(),
            "candidates": len(pairs) + len(rejected),
            "pairs": len(pairs),
        }
        write_records(out / REJECTED_NAME, "rejected", fingerprint, facts, rejected)
        if not pairs:
            raise _nothing_left(rejected, out)
        write_records(path, "pairs", fingerprint, facts, pairs)
    return read_pairs(path)


def read_rejected(folder: Path) -> RecordFile[Rejected]:
    """The rejected candidates that `pair_rollouts` wrote to a folder.

    Raises:
        UserError: The file is missing or holds something else.
    """
    return read_records(folder / REJECTED_NAME, "rejected", Rejected)


def select_pairs(
    rollouts: RecordFile[Rollout], hearing: Hearing, selection: Selection, out: Path
) -> tuple[list[Pair], list[Rejected], Selection]:
    """Pairs, rejected candidates, and the selection with its limits as numbers.

    Args:
        rollouts: The sounds.
        hearing: What was found out about them.
        selection: What judges ask.
        out: Folder from which the paths of the sounds are written.
    """
    drafts = [
        (_describe(winner, loser, hearing, rollouts.folder, out), _compare(winner, loser, hearing))
        for winner, loser in propose(rollouts.items, hearing)
    ]
    settled = settle_limits(selection, [candidate for candidate, faults in drafts if not faults])
    pairs, rejected = [], []
    for candidate, faults in drafts:
        reasons = [*faults, *_judged(candidate, faults, hearing, settled)]
        if not reasons and is_same_sound(out / candidate.winner.path, out / candidate.loser.path):
            reasons = [Reason(kind="equal sounds")]
        values = candidate.model_dump()
        if reasons:
            rejected.append(Rejected(**values, reasons=tuple(reasons)))
        else:
            pairs.append(Pair(**values))
    return pairs, rejected, settled


def propose(items: Sequence[Rollout], hearing: Hearing) -> Iterator[tuple[Rollout, Rollout]]:
    """Winners and losers of every caption and strategy.

    Of the samples of one prompt (S1) the best one wins against all others. The sound of a caption
    (S2, S3) is to win against those of its perturbations.
    """
    groups: dict[tuple[str, str], list[Rollout]] = {}
    for item in items:
        groups.setdefault((item.strategy, item.caption), []).append(item)
    for group in groups.values():
        winner = _best(group, hearing)
        yield from ((winner, item) for item in group if item is not winner)


def is_same_sound(one: Path, other: Path) -> bool:
    """Whether the samples of two files are equal but for their level."""
    first, second = (to_channels(read(path).samples, 1)[0].double() for path in (one, other))
    if len(first) != len(second):
        return False
    first, second = first - first.mean(), second - second.mean()
    norm = torch.linalg.vector_norm(first) * torch.linalg.vector_norm(second)
    return bool(norm > 0 and (first @ second) / norm >= SAME)


def _best(group: Sequence[Rollout], hearing: Hearing) -> Rollout:
    if not group[0].strategy.startswith("S1"):
        return next((item for item in group if not item.is_perturbed), group[0])

    def rank(item: Rollout) -> tuple[bool, list[float], int]:
        said = [scores.get(item.id) for scores in hearing.scores.values()]
        numbers = [one if isinstance(one, float) else float("-inf") for one in said]
        return not hearing.faults[item.id], numbers, -item.number

    return max(group, key=rank)


def _compare(winner: Rollout, loser: Rollout, hearing: Hearing) -> list[Reason]:
    """What forbids a pair, whatever the judges say."""
    reasons = [
        Reason(kind=kind, about=about)
        for about, item in (("winner", winner), ("loser", loser))
        for kind in hearing.faults[item.id]
    ]
    if winner.prompt != loser.prompt:
        reasons.append(Reason(kind="other prompt"))
    if winner.sample_rate != loser.sample_rate:
        reasons.append(Reason(kind="other sample rate"))
    if winner.duration != loser.duration:
        reasons.append(Reason(kind="wrong duration"))
    if winner.pcm_hash and winner.pcm_hash == loser.pcm_hash:
        reasons.append(Reason(kind="equal sounds"))
    return reasons


def _judged(
    candidate: Candidate, faults: Sequence[Reason], hearing: Hearing, selection: Selection
) -> list[Reason]:
    sides = (candidate.winner.rollout, candidate.loser.rollout)
    broken = [
        Reason(kind="score not finite", about=name)
        for name, scores in hearing.scores.items()
        if NOT_FINITE in [scores.get(side) for side in sides]
    ]
    if broken:
        return broken
    # Judges are not asked about sounds that cannot be heard.
    return [] if faults and not candidate.scores else find_reasons(candidate.scores, selection)


def _describe(
    winner: Rollout, loser: Rollout, hearing: Hearing, folder: Path, out: Path
) -> Candidate:
    scores = {}
    for name, said in hearing.scores.items():
        first, second = said.get(winner.id), said.get(loser.id)
        if isinstance(first, float) and isinstance(second, float):
            scores[name] = Scores(winner=first, loser=second)
    identity = f"{winner.id} {winner.pcm_hash} {loser.id} {loser.pcm_hash}"
    return Candidate(
        id=hash_bytes(identity.encode())[:20],
        caption=winner.caption,
        prompt=winner.prompt,
        strategy=winner.strategy,
        duration=winner.duration,
        sample_rate=winner.sample_rate,
        winner=_side(winner, folder, out),
        loser=_side(loser, folder, out),
        scores=scores,
    )


def _side(item: Rollout, folder: Path, out: Path) -> Side:
    path, there = (folder / item.path).resolve(), out.resolve()
    shown = path.relative_to(there) if path.is_relative_to(there) else path
    return Side(
        rollout=item.id,
        path=shown.as_posix(),
        pcm_hash=item.pcm_hash,
        seed=item.seed,
        steps=item.steps,
        temperature=item.temperature,
        asked=item.asked,
    )


def _nothing_left(rejected: Sequence[Rejected], out: Path) -> UserError:
    counts = Counter(reason.kind for one in rejected for reason in one.reasons)
    told = ", ".join(f"{kind} {count}" for kind, count in counts.most_common(SHOWN))
    return UserError(
        f"None of {len(rejected)} candidates is left: {told}.",
        expected="candidates on which all judges agree",
        change=f"See {out / REJECTED_NAME}; lower the thresholds (--set), choose others "
        "(--thresholds), or make more sounds.",
    )
