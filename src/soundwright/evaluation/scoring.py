"""Metrics times rows: the system and its controls, each number with its card or with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.evaluation.cache import Recalled
from soundwright.evaluation.cards import MetricCard
from soundwright.evaluation.encoding import Ear
from soundwright.evaluation.measuring import measure
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.pairing import Pairing
from soundwright.evaluation.results import Score, Span, Unavailable
from soundwright.evaluation.sides import Described, Measured, Sides

MEASURED = "generated"
"""The row of the system itself, beside those of controls."""
WITHOUT_INTERVAL = ("silence", "noise", "shuffled prompts")
"""Rows of which nobody asks how sure they are."""


def score_rows(
    metrics: Sequence[Metric],
    rows: Mapping[str, Sides | str],
    ear: Ear,
    lacking: Mapping[str, str],
    pairing: Pairing,
) -> tuple[dict[str, tuple[Score, ...]], dict[str, dict[str, float]]]:
    """Compute every metric of every row of the report.

    Only one encoder's embeddings are in memory at a time.

    Args:
        metrics: In the order of the report.
        rows: The system under `MEASURED`, its subsets, and the controls; of a row that cannot be,
            the reason.
        ear: Has heard all sounds.
        lacking: Why an encoder cannot be had, by its name.
        pairing: Its rule stands on the cards.

    Returns:
        Scores by row, and the generated sounds' own numbers by metric.

    Raises:
        UserError: Embeddings are gone from the cache.
    """
    scores: dict[str, dict[str, Score]] = {name: {} for name in rows}
    values: dict[str, dict[str, float]] = {}
    keys = {key for sides in rows.values() if isinstance(sides, Sides) for key in sides.keys}
    for encoders in dict.fromkeys(metric.encoders for metric in metrics):
        missing = [lacking[name] for name in encoders if name in lacking]
        encoded = {} if missing else {name: ear.recall(name, keys) for name in encoders}
        for metric in metrics:
            if metric.encoders != encoders:
                continue
            for name, sides in rows.items():
                described = None
                found: Measured | str
                if missing:
                    found = missing[0]
                elif isinstance(sides, str):
                    found = sides
                elif name == "shuffled prompts" and not metric.facts.pairs:
                    found = "Prompts do not enter this metric."
                else:
                    described = _describe(metric, sides, ear, encoded)
                    found = _try_measure(metric, described)
                if isinstance(found, Measured) and name == MEASURED:
                    values[metric.name] = dict(found.clips)
                score = _score(metric, found, described, pairing)
                if isinstance(found, Measured) and name not in WITHOUT_INTERVAL:
                    score = score.model_copy(update={"interval": _span(found)})
                scores[name][metric.name] = score
    ordered = {
        name: tuple(by_metric[metric.name] for metric in metrics)
        for name, by_metric in scores.items()
    }
    return ordered, values


def _describe(metric: Metric, sides: Sides, ear: Ear, encoded: Mapping[str, Recalled]) -> Described:
    made, *real = (Described(sides, ear.encoders[name], encoded[name]) for name in metric.encoders)
    return replace(made, references=real[0]) if real else made


def _try_measure(metric: Metric, described: Described) -> Measured | str:
    try:
        return measure(metric, described)
    except UserError as error:
        return str(error)


def _score(
    metric: Metric,
    found: Measured | str,
    described: Described | None,
    pairing: Pairing,
) -> Score:
    better = metric.facts.better
    if isinstance(found, str) or described is None:
        return Score(metric=metric.name, better=better, unavailable=Unavailable(reason=str(found)))
    encoder, references = described.encoder, described.reference.encoder
    others = {
        f"{key} of references": fact
        for key, fact in references.facts.items()
        if fact != encoder.facts.get(key)
    }
    card = MetricCard(
        metric=metric.name,
        kind=metric.kind,
        revision=metric.facts.revision,
        encoder=encoder.name,
        encoder_identity=" and ".join(dict.fromkeys([encoder.identity, references.identity])),
        encoder_facts={**encoder.facts, **others},
        sample_rate=encoder.sample_rate,
        estimator=found.estimator,
        direction=found.direction,
        epsilon=found.epsilon,
        rows=found.rows,
        pairing=pairing.rule,
        generated_clips=found.generated_clips,
        generated_rows=found.generated_rows,
        reference_clips=found.reference_clips,
        reference_rows=found.reference_rows,
        reference_hash=hash_keys(described.sides.reference),
    )
    return Score(
        metric=metric.name,
        better=better,
        value=found.value,
        card=card,
        remark=found.remark,
    )


def _span(found: Measured) -> Span | None:
    interval = found.interval()
    return None if interval is None else Span.of(interval)


def hash_keys(keys: Sequence[str]) -> str:
    """Of a set of sounds, whatever their order and their names."""
    return hash_bytes("\n".join(sorted(keys)).encode())[:16]
