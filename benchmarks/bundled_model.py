"""Measure the bundled model: does it make what the words say, and is it its own?

    python benchmarks/bundled_model.py --recordings FOLDER [--model DIR] [--judge DIR]
        [--out FILE] [--card]

The judge (trained on folds 1-3 of ESC-10, never a reward, a filter or a checkpoint selector) names
fold 4, fold 4 after the codec, and ten class prompts x 24 sounds with the seeds 0-23 and the
defaults of `generate`, all of them, none selected. These prompts stand among the training captions;
beside them the classes are asked for in words that no caption has. A near-copy is a sound whose
resemblance to a training recording stands out more than that of 95 % of real recordings to those of
other folds; near_copies.py says how many copies that finds. 20 ordered and 20 counted prompts x 8
are scored beside the same sounds under shuffled prompts. Loudness, silence and bandwidth stand
beside those of the recordings.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor

from near_copies import Coder, measure_false_alarms, measure_sensitivity, open_coder
from soundwright.audio.loudness import bandwidth, integrated_loudness, rms_db
from soundwright.audio.sound import Sound
from soundwright.core.records import Clip
from soundwright.data.importers.esc import import_esc
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.generation import Model, load
from soundwright.pipelines.models import CARD_FILE, find_model, write_card
from soundwright.scorers.copies import CopyDetector, Reference
from soundwright.scorers.tagger import Tagger, judge_folder
from soundwright.synthesis.captions import class_prompts
from soundwright.synthesis.recordings import find_events

RATE = 16_000
LABELS = (
    "dog bark",
    "rain",
    "sea waves",
    "baby cry",
    "clock tick",
    "person sneeze",
    "helicopter",
    "chainsaw",
    "rooster",
    "fire crackling",
)
COUNTABLE = ("dog bark", "person sneeze", "rooster", "clock tick")
NUMBERS = ("", "once", "twice", "three times", "four times", "five times")
OTHER_WORDS = {
    "dog bark": "a puppy going woof",
    "rain": "a heavy downpour",
    "sea waves": "surf on a beach",
    "baby cry": "an upset infant wailing",
    "clock tick": "an old timepiece going tick tock",
    "person sneeze": "somebody with a cold going achoo",
    "helicopter": "a chopper overhead",
    "chainsaw": "a lumberjack felling a tree with a power saw",
    "rooster": "a cockerel crowing at dawn",
    "fire crackling": "logs burning at a campsite",
}
"""Words that the captions of `synthesis` never use."""
SAMPLES_A_CLASS = 24
SAMPLES_A_PROMPT = 8
CARD_HEADING = "## Measured"


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    folder = find_model(options.model)
    model = load(options.model)
    coder, _ = open_coder(options.model)
    judge = Tagger.load(options.judge)
    recordings = import_esc(options.recordings, subset="esc10").manifest
    train = [clip for clip in recordings.clips if is_shippable(clip) and clip.split != "fold4"]
    held_out = [clip for clip in recordings.clips if clip.split == "fold4"]

    results: dict[str, Any] = {"model": model.name, "model_hash": model.hash, "judge": judge.name}
    results["held_out"] = measure_held_out(judge, coder, recordings, held_out)
    report(results["held_out"])
    waveforms = {label: make(model, clause(label), SAMPLES_A_CLASS) for label in LABELS}
    results["class_prompts"] = measure_classes(judge, waveforms)
    report(results["class_prompts"])
    reworded = {label: make(model, OTHER_WORDS[label], SAMPLES_A_CLASS) for label in LABELS}
    results["other_words"] = measure_classes(judge, reworded)
    report(results["other_words"])
    results["near_copies"] = measure_copies(waveforms, recordings, train, coder)
    report(results["near_copies"])
    results["levels"] = measure_levels(waveforms, recordings, held_out)
    report(results["levels"])
    results["ordered"] = measure_ordered(judge, model)
    report(results["ordered"])
    results["counted"] = measure_counted(judge, model)
    report(results["counted"])

    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")
    if options.card:
        before = (folder / CARD_FILE).read_text(encoding="utf-8").split(CARD_HEADING)[0].rstrip()
        write_card(folder, f"{before}\n\n{describe(results)}\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).parents[2] / "shared" / "data" / "esc10"
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(os.environ.get("SOUNDWRIGHT_ESC10", beside)),
        help="ESC-10 or ESC-50, in its published layout or with a table metadata.csv",
    )
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--judge", type=Path, default=judge_folder())
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    parser.add_argument("--card", action="store_true", help="write the results into the card")
    return parser.parse_args()


def make(model: Model, prompt: str, count: int) -> list[Tensor]:
    """`count` sounds [C, N] with the seeds 0, 1, ... and the defaults."""
    sounds = model.generate(prompt, num_samples=count, seed=0, batch_size=count)
    return [sound.samples for sound in sounds]


def is_shippable(clip: Clip) -> bool:
    """Whether a clip may be part of what ships."""
    return clip.licence.name in ("CC0", "CC-BY")


def read_waveform(recordings: Manifest, clip: Clip) -> Tensor:
    """[1, N] at the judge's rate."""
    return read_clip(recordings, clip, sample_rate=RATE, channels=1).samples


@torch.inference_mode()
def measure_held_out(
    judge: Tagger, coder: Coder, recordings: Manifest, clips: Sequence[Clip]
) -> dict[str, Any]:
    """What the judge knows of recordings that it never heard, before and after the codec."""
    waveforms = [read_waveform(recordings, clip) for clip in clips]
    coded = [coder(waveform) for waveform in waveforms]
    truth = [clip.tags[0] for clip in clips]
    names = ("recordings", "after_codec")
    known = {
        name: [judge.recognise([waveform], RATE)[0] == label for waveform, label in pairs]
        for name, pairs in zip(
            names,
            (list(zip(waveforms, truth, strict=True)), list(zip(coded, truth, strict=True))),
            strict=True,
        )
    }
    return {"clips": len(clips), **{name: share(known[name]) for name in names}}


def measure_classes(judge: Tagger, waveforms: dict[str, list[Tensor]]) -> dict[str, Any]:
    """How often the judge hears the class that was asked for."""
    heard = {label: judge.recognise(made, RATE) for label, made in waveforms.items()}
    by_class = {label: share([name == label for name in names]) for label, names in heard.items()}
    confusions = {
        label: dict(Counter(name for name in names if name != label).most_common(3))
        for label, names in heard.items()
    }
    every = [name == label for label, names in heard.items() for name in names]
    return {
        "sounds": len(every),
        "recognised": share(every),
        "interval": interval(every),
        "by_class": by_class,
        "heard_instead": confusions,
    }


def measure_copies(
    waveforms: dict[str, list[Tensor]], recordings: Manifest, train: Sequence[Clip], coder: Coder
) -> dict[str, Any]:
    """How many sounds are near-copies of training recordings, and how many copies are found."""
    references = [
        Reference(clip.id, read_waveform(recordings, clip), clip.tags[0], clip.split)
        for clip in train
    ]
    detector = CopyDetector(references, RATE)
    copied = {
        label: [match.is_copy for match in detector.find(made, RATE)]
        for label, made in waveforms.items()
    }
    every = [flag for flags in copied.values() for flag in flags]
    sensitivity = measure_sensitivity(detector, references, coder)
    return {
        "near_copies": share(every),
        "interval": interval(every),
        "by_class": {label: share(flags) for label, flags in copied.items()},
        "false_alarms": measure_false_alarms(references)["share"],
        "sensitivity": {
            name: sensitivity[name] for name in ("overall", "whole", "part", "by_class")
        },
    }


def measure_levels(
    waveforms: dict[str, list[Tensor]], recordings: Manifest, held_out: Sequence[Clip]
) -> dict[str, Any]:
    """Median loudness, silent part and bandwidth of each class, made and recorded."""
    recorded = defaultdict(list)
    for clip in held_out:
        recorded[clip.tags[0]].append(read_waveform(recordings, clip))
    return {
        label: {"made": describe_levels(made), "recorded": describe_levels(recorded[label])}
        for label, made in waveforms.items()
    }


def describe_levels(waveforms: Sequence[Tensor]) -> dict[str, float]:
    """Medians over sounds."""
    return {
        "loudness_lufs": round(median(integrated_loudness(w, RATE) for w in waveforms), 1),
        "silent_part": round(median(silent_part(w) for w in waveforms), 2),
        "bandwidth_hz": round(median(bandwidth(w, RATE) for w in waveforms)),
    }


def silent_part(waveform: Tensor) -> float:
    """Part of the 50 ms frames that lie 50 dB or more below the loudest one."""
    frames = waveform[0].unfold(0, RATE // 20, RATE // 20)
    levels = torch.tensor([rms_db(frame[None]) for frame in frames])
    return (levels < levels.max() - 50).float().mean().item()


def measure_ordered(judge: Tagger, model: Model) -> dict[str, Any]:
    """Prompts "A, then B": whether A is heard in the first part and B in the second."""
    pairs = [
        (a, b) for i, a in enumerate(LABELS) for b in (LABELS[(i + 3) % 10], LABELS[(i + 7) % 10])
    ]
    halves = []
    for first, second in pairs:
        prompt = f"{clause(first)}, then {clause(second)}"
        made = make(model, prompt, SAMPLES_A_PROMPT)
        halves.append([hear_halves(judge, samples) for samples in made])
    shuffled = random.Random(0).sample(pairs, len(pairs))
    return {
        "prompts": len(pairs),
        "asked": score_order(halves, pairs),
        "shuffled_prompts": score_order(halves, shuffled),
    }


def hear_halves(judge: Tagger, waveform: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """The judge's scores of the first and of the second half."""
    middle = waveform.shape[1] // 2
    first, second = judge.score([waveform[:, :middle], waveform[:, middle:]], RATE)
    return first, second


def score_order(
    halves: Sequence[Sequence[tuple[dict[str, float], dict[str, float]]]],
    pairs: Sequence[tuple[str, str]],
) -> dict[str, float]:
    """Both heard in their places; and, of the two orders, the right one likelier."""
    both, order = [], []
    for made, (a, b) in zip(halves, pairs, strict=True):
        for first, second in made:
            both.append(
                max(first, key=first.__getitem__) == a and max(second, key=second.__getitem__) == b
            )
            order.append(first[a] * second[b] > first[b] * second[a])
    return {"both_in_place": share(both), "right_order_likelier": share(order)}


def measure_counted(judge: Tagger, model: Model) -> dict[str, Any]:
    """Prompts such as "a dog barks three times": the class, and how many events are found."""
    asked = [(label, count) for label in COUNTABLE for count in (1, 2, 3, 4, 5)]
    heard = []
    for label, count in asked:
        prompt = f"{clause(label)} {NUMBERS[count]}"
        heard.append(
            [
                (judge.recognise([samples], RATE)[0], len(find_events(Sound(samples, RATE))))
                for samples in make(model, prompt, SAMPLES_A_PROMPT)
            ]
        )
    shuffled = random.Random(1).sample(asked, len(asked))
    return {
        "prompts": len(asked),
        "asked": score_counts(heard, asked),
        "shuffled_prompts": score_counts(heard, shuffled),
    }


def score_counts(
    heard: Sequence[Sequence[tuple[str, int]]], asked: Sequence[tuple[str, int]]
) -> dict[str, float]:
    """Class, exact count and mean distance from the count asked for."""
    pairs = [
        (name, found, label, count)
        for made, (label, count) in zip(heard, asked, strict=True)
        for name, found in made
    ]
    return {
        "class": share([name == label for name, _, label, _ in pairs]),
        "exact_count": share([found == count for _, found, _, count in pairs]),
        "mean_distance": round(
            sum(abs(found - count) for _, found, _, count in pairs) / len(pairs), 2
        ),
    }


def clause(label: str) -> str:
    """A sentence without its full stop: "a dog barks"."""
    return class_prompts(label)[0]


def share(flags: Sequence[bool]) -> float:
    """Part of the flags that are set, to four digits."""
    return round(sum(flags) / len(flags), 4)


def interval(flags: Sequence[bool]) -> tuple[float, float]:
    """Wilson's interval of 95 % for the share, over sounds of this one model."""
    found = binomtest(sum(flags), len(flags)).proportion_ci(method="wilson")
    return round(found.low, 4), round(found.high, 4)


def report(values: dict[str, Any]) -> None:
    """Print one result as it comes."""
    print(json.dumps(values, indent=2), flush=True)


def describe(results: dict[str, Any]) -> str:
    """The results as the card's section."""
    held_out, classes = results["held_out"], results["class_prompts"]
    reworded, copies = results["other_words"], results["near_copies"]
    ordered, counted = results["ordered"], results["counted"]
    rows = [
        ("judge on fold 4, recordings", held_out["recordings"], None),
        ("judge on fold 4 after the codec", held_out["after_codec"], None),
        (
            "class prompts recognised (10 x 24, seeds 0-23)",
            classes["recognised"],
            classes["interval"],
        ),
        *((f"- {label}", part, None) for label, part in classes["by_class"].items()),
        ("classes in words of no caption", reworded["recognised"], reworded["interval"]),
        ("near-copies of training recordings", copies["near_copies"], copies["interval"]),
        ("- found among known copies of them", copies["sensitivity"]["overall"], None),
        ("- found among real recordings of other origin", copies["false_alarms"], None),
        ("A, then B: both in place", ordered["asked"]["both_in_place"], None),
        ("- under shuffled prompts", ordered["shuffled_prompts"]["both_in_place"], None),
        ("counted: the right class", counted["asked"]["class"], None),
        ("counted: the exact count", counted["asked"]["exact_count"], None),
        ("- under shuffled prompts", counted["shuffled_prompts"]["exact_count"], None),
    ]
    table = "\n".join(
        f"| {name} | {100 * part:.1f} %{describe_interval(span)} |" for name, part, span in rows
    )
    return (
        f"{CARD_HEADING}\n\nBy `python benchmarks/bundled_model.py`, on ESC-10; the judge is "
        f"{results['judge']}.\n\n| what | share |\n|---|---|\n{table}"
    )


def describe_interval(span: tuple[float, float] | None) -> str:
    """The interval in brackets, where there is one."""
    return f" ({100 * span[0]:.0f} to {100 * span[1]:.0f})" if span else ""


if __name__ == "__main__":
    main()
