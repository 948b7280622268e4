"""Metrics that give every generated sound a number: by itself, beside its reference, its prompt.

Intervals draw prompts again, with all sounds of a prompt: they are no independent evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from soundwright.core.errors import UserError
from soundwright.core.protocols import TextAudioEncoder
from soundwright.evaluation.distances.alignment import measure_alignment
from soundwright.evaluation.distances.divergences import CONVENTIONS, measure_divergence
from soundwright.evaluation.sides import Described, Measured
from soundwright.evaluation.statistics.intervals import Interval
from soundwright.evaluation.statistics.paired import mean_interval
from soundwright.scorers.tagger import Tagger


def measure_kl(heard: Described, convention: str) -> Measured:
    """The divergence of a sound's classes from those of its references.

    Raises:
        UserError: No sound has a reference, or the convention cannot compare their windows.
    """
    how, reference = CONVENTIONS[convention], heard.reference
    pairs = [
        (sample, partner)
        for sample in heard.samples
        for partner in sample.partners
        if reference.has_windows(partner)
    ]
    if not pairs:
        raise UserError("No generated sound has a reference to be compared with.")
    found = measure_divergence(
        [reference.logits_of(partner) for _, partner in pairs],
        [heard.logits_of(sample.key) for sample, _ in pairs],
        convention,
    )
    numbers: defaultdict[str, list[float]] = defaultdict(list)
    weights: defaultdict[str, list[int]] = defaultdict(list)
    for (sample, _), number, rows in zip(pairs, found.clips, found.rows, strict=True):
        numbers[sample.name].append(float(number))
        weights[sample.name].append(int(rows))
    clips = {name: float(np.mean(values)) for name, values in numbers.items()}
    rows = [float(np.mean(weights[name])) for name in clips]
    return Measured(
        value=float(np.average(list(clips.values()), weights=rows)),
        estimator=f"mean over sounds, of the mean over their references; {how.windows}",
        rows="a pair of sounds",
        generated_rows=len(pairs),
        reference_rows=len(pairs),
        generated_clips=len(clips),
        reference_clips=len({partner for _, partner in pairs}),
        interval=lambda: _over_groups(clips, heard),
        clips=clips,
        direction=how.direction,
        epsilon=how.epsilon,
    )


def measure_match(heard: Described) -> Measured:
    """The cosine between a sound and its prompt in a space of both.

    Raises:
        UserError: No sound has a prompt.
    """
    encoder = heard.encoder
    assert isinstance(encoder, TextAudioEncoder), f"{encoder.name} does not embed texts"
    samples = [sample for sample in heard.samples if sample.prompt]
    if not samples:
        raise UserError("No generated sound has a prompt.")
    prompts = sorted({sample.prompt for sample in samples})
    rows = dict(zip(prompts, encoder.embed_texts(prompts).double().numpy(), strict=True))
    vectors = heard.vectors_of([sample.key for sample in samples])
    sounding = np.abs(vectors).sum(1) > 0
    clips = dict.fromkeys((sample.name for sample in samples), 0.0)
    if sounding.any():
        texts = np.stack([rows[sample.prompt] for sample in samples])
        found = measure_alignment(texts[sounding], vectors[sounding]).clips
        names = [
            sample.name for sample, heard_it in zip(samples, sounding, strict=True) if heard_it
        ]
        clips |= dict(zip(names, map(float, found), strict=True))
    measured = _per_clip(clips, "mean cosine", heard)
    silent = int((~sounding).sum())
    remark = f"{silent} sounds have no direction, since nothing is heard; they count as 0."
    return replace(measured, remark=remark) if silent else measured


def measure_accuracy(heard: Described) -> Measured:
    """Whether the judge hears the label of a sound's references.

    Raises:
        UserError: No sound has just one label that the judge knows.
    """
    encoder = heard.encoder
    assert isinstance(encoder, Tagger), f"{encoder.name} is no tagger"
    clips: dict[str, float] = {}
    for sample in heard.samples:
        wanted = sample.labels & set(encoder.labels)
        if len(wanted) == 1:
            logits = heard.logits_of(sample.key).mean(0)
            place = encoder.labels.index(next(iter(wanted)))
            # A sound of which nothing is said, such as silence, has equal logits for all.
            clips[sample.name] = float((logits[place] > np.delete(logits, place)).all())
    if not clips:
        raise UserError(
            "No generated sound has a reference with just one tag that the judge knows: "
            + ", ".join(encoder.labels)
            + "."
        )
    return _per_clip(clips, "share of sounds whose likeliest label is the reference's", heard)


def measure_mark(heard: Described, place: int) -> Measured:
    """The mean of one of the marks that an encoder gives each sound.

    Raises:
        UserError: There is no sound.
    """
    samples = heard.samples
    if not samples:
        raise UserError("No generated sound is long enough to be marked.")
    marks = heard.vectors_of([sample.key for sample in samples])[:, place]
    names = [sample.name for sample in samples]
    return _per_clip(dict(zip(names, map(float, marks), strict=True)), "mean mark", heard)


def _per_clip(clips: dict[str, float], estimator: str, heard: Described) -> Measured:
    return Measured(
        value=float(np.mean(list(clips.values()))),
        estimator=estimator,
        rows="a sound",
        generated_rows=len(clips),
        reference_rows=0,
        generated_clips=len(clips),
        reference_clips=0,
        interval=lambda: _over_groups(clips, heard),
        clips=clips,
    )


def _over_groups(clips: Mapping[str, float], heard: Described) -> Interval | None:
    """The interval of the mean over sounds, drawing prompts again with all their sounds."""
    sums: defaultdict[str, float] = defaultdict(float)
    for sample in heard.sides.generated:
        if sample.name in clips:
            sums[sample.group] += clips[sample.name]
    if len(sums) < 2:
        return None
    shares = np.array([sums[group] for group in sorted(sums)]) * len(sums) / len(clips)
    return mean_interval(shares)
