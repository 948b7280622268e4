"""The whole run: two sets of sounds in, all numbers with their cards out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from soundwright.core.errors import MissingWeightsError, UserError
from soundwright.core.protocols import AudioEncoder
from soundwright.evaluation.collection import Collection, Item
from soundwright.evaluation.controls import (
    ROOT,
    control_sounds,
    replace_sounds,
    shuffle_prompts,
    split_reference,
)
from soundwright.evaluation.encoders import ENCODERS
from soundwright.evaluation.encoding import Ear, Hearing
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.pairing import Pairing, Rule, leave_unpaired, pair
from soundwright.evaluation.problems import count_problems, find_partnerless, find_problems
from soundwright.evaluation.results import (
    ClipRow,
    Results,
    SideSummary,
    SubsetScores,
)
from soundwright.evaluation.reuse import warn_of_overlap, warn_of_reuse
from soundwright.evaluation.scoring import MEASURED, hash_keys, score_rows
from soundwright.evaluation.sides import Sample, Sides
from soundwright.evaluation.subsets import (
    SPLITS,
    Split,
    read_counts,
    take_subsets,
    warn_of_promptless,
)

TOO_FEW = "There are too few sounds, or too few prompts, for this control."
NO_SOUND = "No generated sound has such a prompt."


@dataclass(frozen=True)
class Evaluation:
    """What was found, and what a comparison with a baseline needs besides."""

    results: Results
    sides: Sides
    ear: Ear
    metrics: tuple[Metric, ...]


def evaluate(
    generated: Collection,
    reference: Collection,
    metrics: Sequence[Metric],
    *,
    cache: Path,
    rule: Rule | None = None,
    split_by: Sequence[Split] = (),
    device: torch.device | None = None,
    workers: int = 2,
) -> Evaluation:
    """Measure a system's sounds against real ones, with control rows.

    Args:
        generated: The sounds in question.
        reference: The real ones.
        metrics: From `choose_metrics`.
        cache: Folder of embeddings.
        rule: How sounds are paired; None finds out.
        split_by: Splits of the prompts, whose subsets are measured by themselves, too.
        device: Where encoders work; None is the CPU.
        workers: Threads that decode.

    Raises:
        UserError: Nothing can be decoded, nothing pairs up although a metric or a split needs it,
            or the cache cannot be written.
    """
    needs_pairs = rule is not None or bool(split_by) or any(one.facts.pairs for one in metrics)
    pairing = _pair(generated.items, reference.items, rule, needed=needs_pairs)
    counts = read_counts(generated.items, reference.items, pairing) if split_by else {}
    encoders, lacking = _load_encoders(metrics, device or torch.device("cpu"))
    ear = Ear(encoders, cache, workers=workers)
    made = _listen(ear, generated, "generated")
    real = _listen(ear, reference, "reference")
    sides = _gather(generated, reference, made, real, pairing)
    controls = _controls(ear, sides, reference, real, pairing)
    subsets = take_subsets(sides, split_by, counts)
    rows = {
        MEASURED: sides,
        **{name: control or TOO_FEW for name, control in controls.items()},
        **{name: part if part.generated else NO_SOUND for name, part in subsets.items()},
    }
    scores, values = score_rows(metrics, rows, ear, lacking, pairing)
    problems = [
        *find_problems("generated", generated, made),
        *find_problems("reference", reference, real),
        *find_partnerless((generated, made), (reference, real), pairing),
    ]
    names = {name: encoder.name for name, encoder in encoders.items()}
    results = Results(
        generated=_summarise(generated, made),
        reference=_summarise(reference, real),
        pairing=pairing.rule,
        paired=len(pairing.partners.keys() & made.heard.keys()),
        scores=scores[MEASURED],
        controls={name: scores[name] for name in controls},
        subsets=tuple(
            SubsetScores(
                split=split,
                name=name,
                generated=len(subsets[name].generated),
                reference=len(subsets[name].reference),
                scores=scores[name],
            )
            for split in split_by
            for name in SPLITS[split]
        ),
        warnings=(
            *warn_of_reuse(metrics, names, generated.items),
            *warn_of_overlap(problems),
            *(warn_of_promptless(sides) if split_by else ()),
        ),
        problem_counts=count_problems(problems),
        problems=tuple(problems),
        clips=_clip_rows(generated.items, made, pairing, values),
    )
    return Evaluation(results, sides, ear, tuple(metrics))


def _pair(
    generated: Sequence[Item],
    reference: Sequence[Item],
    rule: Rule | None,
    *,
    needed: bool,
) -> Pairing:
    try:
        return pair(generated, reference, rule)
    except UserError as error:
        if needed:
            change = f"{error.change} Metrics of whole sets, such as kad, need no pairs."
            raise UserError(error.problem, expected=error.expected, change=change) from error
        return leave_unpaired(generated, reference)


def _load_encoders(
    metrics: Sequence[Metric], device: torch.device
) -> tuple[dict[str, AudioEncoder], dict[str, str]]:
    """The encoders that the metrics need; and of those that cannot be had, why."""
    encoders: dict[str, AudioEncoder] = {}
    lacking: dict[str, str] = {}
    for name in dict.fromkeys(name for metric in metrics for name in metric.encoders):
        try:
            encoders[name] = ENCODERS[name].load(device)
        except MissingWeightsError as error:
            lacking[name] = str(error)
    return encoders, lacking


def _listen(ear: Ear, collection: Collection, side: str) -> Hearing:
    root = str(collection.root.resolve())
    hearing = ear.listen(collection.items, root, title=f"hear {side}")
    if not hearing.heard:
        first = next(iter(hearing.faults.values()))
        raise UserError(
            f"None of the {len(collection.items)} sounds in {collection.root} can be measured.",
            expected="sounds that can be decoded",
            change=f"The first fault is: {first.problem}",
        )
    return hearing


def _gather(
    generated: Collection, reference: Collection, made: Hearing, real: Hearing, pairing: Pairing
) -> Sides:
    tags = {item.name: item.tags for item in reference.items}
    prompts = {item.name: item.prompts for item in reference.items}
    samples: list[Sample] = []
    for item in generated.items:
        if item.name not in made.heard:
            continue
        partners = [name for name in pairing.partners.get(item.name, ()) if name in real.heard]
        said = item.prompts or next((prompts[name] for name in partners if prompts[name]), ())
        samples.append(
            Sample(
                name=item.name,
                key=made.heard[item.name].pcm_hash,
                group=pairing.generated[item.name],
                prompt=said[0] if said else "",
                partners=tuple(sorted(real.heard[name].pcm_hash for name in partners)),
                labels=frozenset(tag for name in partners for tag in tags[name]),
            )
        )
    return Sides.of(samples, [heard.pcm_hash for heard in real.heard.values()])


def _controls(
    ear: Ear, sides: Sides, reference: Collection, real: Hearing, pairing: Pairing
) -> dict[str, Sides | None]:
    durations = sorted(heard.duration for heard in real.heard.values())
    sounds = control_sounds(durations[len(durations) // 2], len(sides.generated))
    heard = ear.listen(sounds, ROOT, title="hear controls").heard
    silence, *noises = (heard[sound.name].pcm_hash for sound in sounds)
    own = [
        Sample(
            name=item.name,
            key=real.heard[item.name].pcm_hash,
            group=next(iter(pairing.reference[item.name]), item.name),
            prompt=item.prompts[0] if item.prompts else "",
            labels=frozenset(item.tags),
        )
        for item in reference.items
        if item.name in real.heard
    ]
    return {
        "silence": replace_sounds(sides, [silence]),
        "noise": replace_sounds(sides, noises),
        "shuffled prompts": shuffle_prompts(sides),
        "real against real": split_reference(own),
    }


def _summarise(collection: Collection, hearing: Hearing) -> SideSummary:
    return SideSummary(
        path=str(collection.root),
        clips=len(collection.items) + len(collection.absent),
        measured=len(hearing.heard),
        hash=hash_keys([heard.pcm_hash for heard in hearing.heard.values()]),
    )


def _clip_rows(
    items: Sequence[Item],
    made: Hearing,
    pairing: Pairing,
    values: Mapping[str, Mapping[str, float]],
) -> tuple[ClipRow, ...]:
    return tuple(
        ClipRow(
            name=item.name,
            prompt=item.prompts[0] if item.prompts else "",
            group=pairing.generated[item.name],
            seed=item.seed,
            pcm_hash=made.heard[item.name].pcm_hash,
            references=pairing.partners.get(item.name, ()),
            values={
                metric: numbers[item.name]
                for metric, numbers in values.items()
                if item.name in numbers
            },
        )
        for item in items
        if item.name in made.heard
    )
