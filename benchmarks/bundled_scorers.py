"""Measure the scorers that ship beside the judge, on what they never heard.

    python benchmarks/bundled_scorers.py --manifest data/esc10/manifest.jsonl --work FOLDER
        [--tagger DIR] [--matcher DIR] [--detector DIR] [--scenes N] [--out FILE] [--cards]
        [--only tagger matcher detector]

Held-out scenes are composed as those of training were, from recordings of ESC-10 fold 4 and from
generators with other seeds, so with other parameters. The tagger also names the recordings of fold
4. The matcher picks each scene's caption among a hundred, and prefers it to one with another count,
order or source. The detector's events are compared with the true ones; a label's presence is fit to
be reported where sensitivity + specificity - 1 is at least one half. Its onset counter is asked for
every label with single happenings that a scene has, and for one that it has not; a label is fit to
be counted where four counts of five are exact and the interval stays above one half. What comes
through the bundled codec is heard too, since a generated sound comes through it. The manifest is
what `soundwright data import FOLDER --layout esc10` writes; scenes are made in FOLDER once. With
`--only`, what FILE says of the other scorers stays.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundwright.core.files import write_text
from soundwright.core.records import Event, Scene
from soundwright.core.seeding import numpy_stream
from soundwright.data.manifest import read_clip, read_manifest
from soundwright.data.selection import Selection, select_clips
from soundwright.evaluation.scenes.events import Matches, match_events, match_segments
from soundwright.evaluation.scenes.figures import ratio_figure
from soundwright.evaluation.statistics.proportions import is_fit, wilson
from soundwright.pipelines.models import CARD_FILE
from soundwright.pipelines.parts import Codec, load_codec
from soundwright.pipelines.scenes import SCENES_NAME, RecordingSource, make_scenes
from soundwright.pipelines.systems import read_recipe
from soundwright.scorers.detector import Detector, detector_folder
from soundwright.scorers.matching import Matcher, matcher_folder
from soundwright.scorers.tagger import Tagger, tagger2_folder
from soundwright.synthesis.captions import caption_scene, class_prompts
from soundwright.synthesis.contrasts import CONTRASTS, Contrast, content_of, contrast_scene

RATE = 16_000
SEED = 404
AMONG = 100
THROUGH_CODEC = 200
MANY = 5
"""True counts from here on stand in one row."""
COUNT_EXACT = 0.8
COUNT_LEAST = 0.5
CARD_HEADING = "## Measured"
Figures = dict[str, Any]
Count = tuple[str, int, int]
"""Label, true count, heard count."""


@dataclass(frozen=True)
class HeldOut:
    """A scene, its sound and its caption."""

    scene: Scene
    waveform: Tensor
    """[1, N] at 16 kHz."""
    caption: str


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    scenes = hold_out(options)
    recordings = select_clips(read_manifest(options.manifest), Selection(splits=("fold4",)))
    waveforms = [
        read_clip(recordings, clip, sample_rate=RATE, channels=1).samples
        for clip in recordings.clips
    ]
    truth = [clip.tags[0] for clip in recordings.clips]
    parts: dict[str, tuple[Path, Callable[[Path], Figures]]] = {
        "tagger": (
            options.tagger,
            lambda folder: measure_tagger(Tagger.load(folder), scenes, waveforms, truth),
        ),
        "matcher": (
            options.matcher,
            lambda folder: measure_matcher(Matcher.load(folder), scenes, waveforms, truth),
        ),
        "detector": (
            options.detector,
            lambda folder: measure_detector(
                Detector.load(folder), scenes, load_codec("bundled")[0]
            ),
        ),
    }
    results: Figures = {"held_out_scenes": len(scenes), "fold4_recordings": len(truth)}
    if options.only and options.out and options.out.is_file():
        kept = json.loads(options.out.read_text(encoding="utf-8"))
        if not results.items() <= kept.items():
            raise SystemExit(f"{options.out} tells of other scenes; measure all scorers.")
        results = kept
    for name in options.only or parts:
        folder, measure = parts[name]
        results[name] = measure(folder)
        print(json.dumps({name: results[name]}, indent=2), flush=True)
        if options.cards:
            card = folder / CARD_FILE
            before = card.read_text(encoding="utf-8").split(CARD_HEADING)[0].rstrip()
            write_text(card, f"{before}\n\n{describe(results[name])}\n")
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, default=Path("data/esc10/manifest.jsonl"))
    parser.add_argument("--work", type=Path, required=True, help="where held-out scenes are kept")
    parser.add_argument("--tagger", type=Path, default=tagger2_folder())
    parser.add_argument("--matcher", type=Path, default=matcher_folder())
    parser.add_argument("--detector", type=Path, default=detector_folder())
    parser.add_argument("--only", nargs="*", choices=("tagger", "matcher", "detector"))
    parser.add_argument("--scenes", type=int, default=800)
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    parser.add_argument("--cards", action="store_true", help="write the results into the cards")
    return parser.parse_args()


def hold_out(options: argparse.Namespace) -> list[HeldOut]:
    """Scenes as in training, but of fold 4 and of other seeds."""
    trained = read_recipe("detector").data.scenes
    assert trained is not None
    source = trained.model_copy(
        update={
            "clips": options.scenes,
            "seed": SEED,
            "validation": 0,
            "composer": trained.composer.model_copy(update={"blend": 0.0}),
            "recordings": RecordingSource(
                manifest=options.manifest, selection=Selection(splits=("fold4",))
            ),
        }
    )
    manifest = make_scenes(source, options.work, workers=1)
    lines = (options.work / SCENES_NAME).read_text(encoding="utf-8").splitlines()
    return [
        HeldOut(
            Scene.model_validate_json(line),
            read_clip(manifest, clip, sample_rate=RATE).samples,
            clip.captions[0].text,
        )
        for clip, line in zip(manifest.clips, lines, strict=True)
    ]


def measure_tagger(
    tagger: Tagger, scenes: Sequence[HeldOut], waveforms: Sequence[Tensor], truth: Sequence[str]
) -> Figures:
    """What the second tagger knows of recordings and of scenes with one label."""
    scores = tagger.score(waveforms, RATE)
    ten = sorted(set(truth))
    named = [max(ten, key=score.__getitem__) for score in scores]
    among_all = [max(score, key=score.__getitem__) for score in scores]
    one_label = [one for one in scenes if len(labels_of(one.scene)) == 1]
    heard = tagger.recognise([one.waveform for one in one_label], RATE)
    hits = [name == labels_of(one.scene)[0] for one, name in zip(one_label, heard, strict=True)]
    right = [name == label for name, label in zip(named, truth, strict=True)]
    return {
        "fold 4 recordings, among the ten": share(right),
        "fold 4 recordings, among all labels": share(
            [name == label for name, label in zip(among_all, truth, strict=True)]
        ),
        "scenes of one label, among all labels": share(hits),
        "fold 4 by class": by_label(truth, right),
    }


def measure_matcher(
    matcher: Matcher, scenes: Sequence[HeldOut], waveforms: Sequence[Tensor], truth: Sequence[str]
) -> Figures:
    """Retrieval among scenes that tell different things, contrasts, and classes of recordings."""
    distinct = list({content_of(one.scene): one for one in scenes}.values())
    distinct = distinct[: len(distinct) // AMONG * AMONG]
    sounds = vectors(matcher, [one.waveform for one in distinct])
    texts = matcher.embed_texts([one.caption for one in distinct])
    first: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(distinct), AMONG):
        cosines = sounds[start : start + AMONG] @ texts[start : start + AMONG].T
        for name, table in (("text of sound", cosines), ("sound of text", cosines.T)):
            ranks = (table > table.diagonal()[:, None]).sum(1)
            first[f"{name}, first of {AMONG}"] += (ranks == 0).tolist()
            first[f"{name}, within ten of {AMONG}"] += (ranks < 10).tolist()
    contrasts = {
        f"caption above one with another {kind}": share(prefer(matcher, scenes, kind))
        for kind in CONTRASTS
    }
    ten = sorted(set(truth))
    prompts = matcher.embed_texts([class_prompts(label)[0] for label in ten])
    chosen = (vectors(matcher, waveforms) @ prompts.T).argmax(1).tolist()
    right = [ten[place] == label for place, label in zip(chosen, truth, strict=True)]
    return {
        **{name: share(flags) for name, flags in first.items()},
        **contrasts,
        "class prompt of fold 4 recordings, among the ten": share(right),
    }


def prefer(matcher: Matcher, scenes: Sequence[HeldOut], kind: Contrast) -> list[bool]:
    """Whether a sound is nearer to its caption than to the same template telling something else."""
    sounds, right, wrong = [], [], []
    for one in scenes:
        rng = numpy_stream(one.scene.seed, "held out", kind)
        other = contrast_scene(one.scene, kind, rng)
        if other is None:
            continue
        seed = int(rng.integers(1 << 30))
        sounds.append(one.waveform)
        right.append(caption_scene(one.scene, 1, seed)[0].text)
        wrong.append(caption_scene(other, 1, seed)[0].text)
    embedded = vectors(matcher, sounds)
    own = (embedded * matcher.embed_texts(right)).sum(1)
    return (own > (embedded * matcher.embed_texts(wrong)).sum(1)).tolist()


def measure_detector(detector: Detector, scenes: Sequence[HeldOut], codec: Codec) -> Figures:
    """Events, segments, presence, counts and order, of scenes and of scenes through the codec."""
    few = scenes[:THROUGH_CODEC]
    coded = [replace(one, waveform=through(codec, one.waveform)) for one in few]
    return {
        **score_detector(detector, scenes),
        "through the codec": {
            name: value
            for name, value in score_detector(detector, coded).items()
            if name != "by label" and not name.endswith("exact by true count")
        },
    }


def score_detector(detector: Detector, scenes: Sequence[HeldOut]) -> Figures:
    """The figures of one hearing."""
    heard = detector.detect([one.waveform for one in scenes], RATE)
    pairs = [(one.scene.events, found) for one, found in zip(scenes, heard, strict=True)]
    onsets = [match_events(true, found, offsets=False) for true, found in pairs]
    both = [match_events(true, found) for true, found in pairs]
    segments = [match_segments(true, found) for true, found in pairs]
    present, absent = present_and_absent(detector, pairs)
    asked = [
        (place, label)
        for place, one in enumerate(scenes)
        for label in labels_of(one.scene)
        if label in detector.config.counted
    ]
    counts = count_events(scenes, heard, asked)
    onset_counts = count_onsets(detector, scenes, asked)
    absent_ones = [(place, absent_label(detector, one.scene)) for place, one in enumerate(scenes)]
    orders = [
        in_order(one.scene, found)
        for one, found in zip(scenes, heard, strict=True)
        if one.scene.form == "sequence"
    ]
    known = [order for order in orders if order is not None]
    return {
        "onset F1, 0.2 s": f1(onsets),
        "event F1, 0.2 s or a fifth": f1(both),
        "segment F1, 1 s": f1(segments),
        "presence, sensitivity": share([flag for flags in present.values() for flag in flags]),
        "presence, specificity": share([not flag for flags in absent.values() for flag in flags]),
        **score_counts(counts),
        "no event of an absent label": none_heard(count_events(scenes, heard, absent_ones)),
        "onset counter": {
            **score_counts(onset_counts),
            "no onset of an absent label": none_heard(count_onsets(detector, scenes, absent_ones)),
        },
        "order of sequences, missing is wrong": share([order is True for order in orders]),
        "order of sequences where all are heard": share([order is True for order in known]),
        "exact by true count": exact_by_true_count(counts),
        "onset counter, exact by true count": exact_by_true_count(onset_counts),
        "by label": {
            label: {
                **describe_label(label, present[label], absent[label], pairs),
                **describe_counts(label, counts, onset_counts),
            }
            for label in detector.labels
            if present[label]
        },
    }


def present_and_absent(
    detector: Detector, pairs: Sequence[tuple[Sequence[Event], Sequence[Event]]]
) -> tuple[dict[str, list[bool]], dict[str, list[bool]]]:
    """By label, whether it is heard in each scene that has it, and in each that has not."""
    present: dict[str, list[bool]] = {label: [] for label in detector.labels}
    absent: dict[str, list[bool]] = {label: [] for label in detector.labels}
    for true, found in pairs:
        there, named = {one.label for one in true}, {one.label for one in found}
        for label in detector.labels:
            (present if label in there else absent)[label].append(label in named)
    return present, absent


def count_events(
    scenes: Sequence[HeldOut],
    heard: Sequence[Sequence[Event]],
    asked: Sequence[tuple[int, str]],
) -> list[Count]:
    """How many events of a label are among all that were heard, for (scene, label) in `asked`."""
    return [
        (label, times(scenes[place].scene.events, label), times(heard[place], label))
        for place, label in asked
    ]


def count_onsets(
    detector: Detector, scenes: Sequence[HeldOut], asked: Sequence[tuple[int, str]]
) -> list[Count]:
    """The same from the onset counter, which is told the label."""
    return [
        (
            label,
            times(scenes[place].scene.events, label),
            detector.count_onsets([scenes[place].waveform], RATE, label)[0],
        )
        for place, label in asked
    ]


def times(events: Sequence[Event], label: str) -> int:
    """How many of the events have a label."""
    return sum(event.label == label for event in events)


def absent_label(detector: Detector, scene: Scene) -> str:
    """One of the labels with single happenings that a scene has not, drawn by its seed."""
    others = [one for one in detector.config.counted if one not in labels_of(scene)]
    return others[int(numpy_stream(scene.seed, "absent label").integers(len(others)))]


def none_heard(counts: Sequence[Count]) -> Figures:
    """The share of counts that are nought."""
    return share([heard == 0 for _, _, heard in counts])


def score_counts(counts: Sequence[Count]) -> Figures:
    """How near counts come to the true ones."""
    errors = np.array([heard - true for _, true, heard in counts])
    return {
        "count exact": share((errors == 0).tolist()),
        "count within one": share((abs(errors) <= 1).tolist()),
        "count, mean error": round(float(errors.mean()), 3),
        "count, mean absolute error": round(float(abs(errors).mean()), 3),
    }


def exact_by_true_count(counts: Sequence[Count]) -> Figures:
    """The share of exact counts where there is one event, where there are two ..."""
    flags: dict[str, list[bool]] = defaultdict(list)
    for _, true, heard in sorted(counts, key=lambda one: one[1]):
        flags[str(true) if true < MANY else f"{MANY} or more"].append(true == heard)
    return {count: share(one) for count, one in flags.items()}


def describe_counts(label: str, counts: Sequence[Count], onset_counts: Sequence[Count]) -> Figures:
    """How one label is counted among all events, and by the onset counter; nothing of a texture."""
    own, onsets = ([one for one in found if one[0] == label] for found in (counts, onset_counts))
    if not own:
        return {}
    scores = score_counts(onsets)
    exact = scores["count exact"]
    return {
        **score_counts(own),
        "onset counter": scores,
        "fit to be counted": exact["share"] >= COUNT_EXACT and exact["interval"][0] > COUNT_LEAST,
    }


def describe_label(
    label: str,
    present: Sequence[bool],
    absent: Sequence[bool],
    pairs: Sequence[tuple[Sequence[Event], Sequence[Event]]],
) -> Figures:
    """Presence and events of one label, and whether its presence may be reported."""
    own = [
        match_events(
            [one for one in true if one.label == label],
            [one for one in found if one.label == label],
            offsets=False,
        )
        for true, found in pairs
    ]
    parts = 2 * sum(one.both for one in own)
    wholes = parts + sum(one.only_true + one.only_heard for one in own)
    sensitivity, specificity = share(present), share([not flag for flag in absent])
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "fit": is_fit(sensitivity["share"], specificity["share"]),
        "onset F1": round(parts / wholes, 4),
    }


def in_order(scene: Scene, found: Sequence[Event]) -> bool | None:
    """Whether the labels of a sequence begin in its order; None where one is not heard."""
    onsets = [
        min((event.onset for event in found if event.label == label), default=None)
        for label in labels_of(scene)
    ]
    if None in onsets:
        return None
    return all(a < b for a, b in pairwise(onsets))


@torch.inference_mode()
def through(codec: Codec, waveform: Tensor) -> Tensor:
    """What the bundled codec leaves of a sound."""
    return codec.decode(codec.encode(waveform[None]))[0, :, : waveform.shape[1]]


def vectors(matcher: Matcher, waveforms: Sequence[Tensor]) -> Tensor:
    """[B, D]."""
    return torch.stack([one.vector for one in matcher.encode(waveforms)])


def labels_of(scene: Scene) -> tuple[str, ...]:
    """In the order of the groups, which is that of the caption."""
    return tuple(
        dict.fromkeys(one.label for one in sorted(scene.events, key=lambda one: one.group))
    )


def by_label(labels: Sequence[str], flags: Sequence[bool]) -> Figures:
    """Shares by label."""
    return {
        label: share([flag for one, flag in zip(labels, flags, strict=True) if one == label])
        for label in sorted(set(labels))
    }


def share(flags: Sequence[bool]) -> Figures:
    """A share with Wilson's interval of 95 %."""
    if not flags:
        return {"share": None, "of": 0}
    found = wilson(sum(flags), len(flags))
    return {
        "share": round(found.estimate, 4),
        "interval": [round(found.low, 4), round(found.high, 4)],
        "of": len(flags),
    }


def f1(matches: Sequence[Matches]) -> Figures:
    """F1 over all scenes, with a bootstrap interval over scenes."""
    parts = np.array([2.0 * one.both for one in matches])
    wholes = parts + np.array([float(one.only_true + one.only_heard) for one in matches])
    found = ratio_figure(parts, wholes)
    return {
        "share": round(found.value, 4),
        "interval": [round(found.low, 4), round(found.high, 4)],
        "of": len(matches),
    }


def describe(results: Figures) -> str:
    """A scorer's results as its card's section."""
    text = (
        f"{CARD_HEADING}\n\nBy `python benchmarks/bundled_scorers.py`: recordings of ESC-10 fold "
        "4, and scenes composed of them and of generators with other seeds. Intervals of 95 %.\n\n"
        "| what | figure | interval | of |\n|---|---|---|---|\n" + "\n".join(describe_rows(results))
    )
    if "by label" in results:
        text += "\n\n" + describe_labels(results["by label"])
    return text


def describe_rows(results: Figures, within: str = "") -> list[str]:
    """A row for each figure, but those of labels."""
    rows: list[str] = []
    for name, value in results.items():
        if not isinstance(value, dict):
            rows.append(f"| {within}{name} | {value} | | |")
        elif "share" in value:
            rows.append(f"| {within}{name} | {describe_share(value)} |")
        elif name != "by label":
            rows += describe_rows(value, f"{within}{name}: ")
    return rows


def describe_labels(labels: Figures) -> str:
    """The detector's table of labels."""
    rows = "\n".join(
        f"| {label} | {percent(one['sensitivity'])} | {percent(one['specificity'])} | "
        f"{100 * one['onset F1']:.0f} | {one['sensitivity']['of']} | "
        f"{'yes' if one['fit'] else 'no'} | {describe_counted(one)} |"
        for label, one in labels.items()
    )
    return (
        "Presence may be reported where sensitivity + specificity - 1 is at least 0.5 (fit). The "
        "columns from `count exact` on are about counts, and all but the first of them about the "
        "onset counter; it may be used where four counts of five are exact and the interval "
        "stays above one half.\n\n"
        "| label | sensitivity | specificity | onset F1 | scenes | fit | count exact "
        "| counter: exact | interval | within one | mean error | mean absolute error "
        "| to be counted |\n"
        f"|{'---|' * 13}\n{rows}"
    )


def describe_counted(label: Figures) -> str:
    """The cells about counts of a label, empty for a texture."""
    if "onset counter" not in label:
        return " | " * 6
    counter = label["onset counter"]
    low, high = counter["count exact"]["interval"]
    return (
        f"{percent(label['count exact'])} | {percent(counter['count exact'])} | "
        f"{100 * low:.0f} to {100 * high:.0f} | {percent(counter['count within one'])} | "
        f"{counter['count, mean error']:.2f} | {counter['count, mean absolute error']:.2f} | "
        f"{'yes' if label['fit to be counted'] else 'no'}"
    )


def describe_share(value: Figures) -> str:
    """Share, interval and number as cells."""
    low, high = value["interval"]
    return f"{100 * value['share']:.1f} % | {100 * low:.1f} to {100 * high:.1f} | {value['of']}"


def percent(value: Figures) -> str:
    """A share as a cell, empty where there is none."""
    return f"{100 * value['share']:.0f}" if value["share"] is not None else ""


if __name__ == "__main__":
    main()
