"""Measure the near-copy detector: which copies of recordings does it find, and what else?

    python benchmarks/near_copies.py --recordings FOLDER [--model DIR] [--clips NUMBER]
        [--held-out] [--out FILE]

The share of near-copies among generated sounds says little if the detector overlooks copies. Here
it is given copies that are known to be some: training recordings (folds 1-3 of ESC-10), whole or in
part, played at other speeds, equalised, and sent through the model's codec, which every generated
sound leaves through. A part is what a model would learn: 2 s of a texture, or one event, which
stands at another time in silence. A false alarm is a recording of one fold in which the detector
finds a copy of recordings of the other two; with --held-out, fold 4 is tested against all three.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.records import Clip
from soundwright.core.seeding import numpy_stream
from soundwright.data.importers.esc import import_esc
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.models import ModelRecord, find_model, read_record
from soundwright.pipelines.parts import load_codec, load_latent_codec
from soundwright.scorers.copies import CopyDetector, Reference
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.recordings import STYLES, EventStyle, find_events

RATE = 16_000
SECONDS = 5
"""Length of the recordings, and of the silence into which an event is placed."""
PART_SECONDS = 2
SPEEDS = (0.8, 0.9, 1.1, 1.25)
GAIN = 0.3
EQUALISER_DB = 6.0
CLIPS_A_CLASS = 8
UNCODED = "whole, without the codec"
TRAINING_FOLDS = ("fold1", "fold2", "fold3")
Coder = Callable[[Tensor], Tensor]
"""Sends a waveform [1, N] through a codec and back."""


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    coder, record = open_coder(options.model)
    recordings = import_esc(options.recordings, subset="esc10").manifest
    every = [read_reference(recordings, clip) for clip in recordings.clips if is_shippable(clip)]
    references = [item for item in every if item.group in TRAINING_FOLDS]
    detector = CopyDetector(references, RATE)
    results = {
        "codec": record.name,
        "sensitivity": measure_sensitivity(detector, references, coder, options.clips),
        "false_alarms": measure_false_alarms(references),
    }
    if options.held_out:
        held_out = [item for item in every if item.group not in TRAINING_FOLDS]
        results["false_alarms_held_out"] = measure_alarms(detector, held_out)
    print_sensitivity(results["sensitivity"])
    print(json.dumps({name: value for name, value in results.items() if "false" in name}, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    beside = Path(__file__).parents[2] / "shared" / "data" / "esc10"
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(os.environ.get("SOUNDWRIGHT_ESC10", beside)),
        help="ESC-10 or ESC-50, in its published layout or with a table metadata.csv",
    )
    parser.add_argument("--model", default="bundled", help="whose codec is used")
    parser.add_argument("--clips", type=int, default=CLIPS_A_CLASS, help="copied ones of a class")
    parser.add_argument("--held-out", action="store_true", help="test fold 4, for a report")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def is_shippable(clip: Clip) -> bool:
    """Whether a clip may be part of what ships."""
    return clip.licence.name in ("CC0", "CC-BY")


def read_reference(recordings: Manifest, clip: Clip) -> Reference:
    """A clip as what may have been copied; its fold is its group."""
    waveform = read_clip(recordings, clip, sample_rate=RATE, channels=1).samples
    return Reference(clip.id, waveform, clip.tags[0], clip.split)


def measure_sensitivity(
    detector: CopyDetector,
    references: Sequence[Reference],
    coder: Coder,
    clips_a_class: int = CLIPS_A_CLASS,
) -> dict[str, Any]:
    """Which copies of its references a detector finds.

    Args:
        detector: What is measured.
        references: Its references, [1, N] at 16 kHz each.
        coder: Through which the copies are sent.
        clips_a_class: References of each label that are copied, spread over the list.

    Returns:
        Shares of the copies in which a near-copy of any recording is found: `by_change` (a change
        by label), and over the changes behind the codec `whole`, `part`, `by_class` and `overall`;
        `right_recording`: of what is found, the share in which the recording is the right one.
    """
    chosen = choose(references, clips_a_class)
    copies = make_copies(chosen, coder)
    every = iter(detector.find([waveform for made in copies.values() for waveform in made], RATE))
    found, right = {}, []
    for change in copies:
        matches = list(islice(every, len(chosen)))
        found[change] = [match.is_copy for match in matches]
        pairs = zip(matches, chosen, strict=True)
        right += [match.reference == item.id for match, item in pairs if match.is_copy]
    labels = sorted({item.label for item in chosen})
    members = {name: [n for n, item in enumerate(chosen) if item.label == name] for name in labels}
    coded = {change: flags for change, flags in found.items() if change != UNCODED}
    return {
        "copied_recordings": len(chosen),
        "overall": share([flag for flags in coded.values() for flag in flags]),
        "right_recording": share(right),
        **{
            form: share([f for change, flags in coded.items() if form in change for f in flags])
            for form in ("whole", "part")
        },
        "by_class": {
            label: share([flags[n] for flags in coded.values() for n in numbers])
            for label, numbers in members.items()
        },
        "by_change": {
            change: {
                "all": share(flags),
                **{label: share([flags[n] for n in where]) for label, where in members.items()},
            }
            for change, flags in found.items()
        },
    }


def measure_false_alarms(references: Sequence[Reference]) -> dict[str, Any]:
    """How many recordings of each fold seem copies of those of the other folds, which they are not.

    Each fold meets a detector that never saw it, so that its threshold comes from other pairs.
    """
    results = {}
    for fold in sorted({item.group for item in references}):
        others = [item for item in references if item.group != fold]
        held_out = [item for item in references if item.group == fold]
        results[fold] = measure_alarms(CopyDetector(others, RATE), held_out)
    sounds = sum(result["sounds"] for result in results.values())
    alarms = sum(result["share"] * result["sounds"] for result in results.values())
    return {"share": round(alarms / sounds, 4), "by_fold": results}


def measure_alarms(detector: CopyDetector, recordings: Sequence[Reference]) -> dict[str, Any]:
    """How many of these recordings seem copies, and of which labels they are."""
    matches = detector.find([item.waveform for item in recordings], RATE)
    wrong = [item.label for item, match in zip(recordings, matches, strict=True) if match.is_copy]
    share_wrong = round(len(wrong) / len(recordings), 4)
    return {"sounds": len(recordings), "share": share_wrong, "labels": dict(Counter(wrong))}


def choose(references: Sequence[Reference], clips_a_class: int) -> list[Reference]:
    """So many of each label, spread evenly over those in the order of their names."""
    chosen = []
    for label in sorted({item.label for item in references}):
        kin = sorted((item for item in references if item.label == label), key=lambda one: one.id)
        count = min(clips_a_class, len(kin))
        chosen += [kin[number * len(kin) // count] for number in range(count)]
    return chosen


def equalise(waveform: Tensor) -> Tensor:
    """Quieter, with a rise and a fall of 6 dB every five octaves."""
    spectrum = torch.fft.rfft(waveform)
    hertz = torch.linspace(0, RATE / 2, spectrum.shape[-1]).clamp(min=20)
    level = EQUALISER_DB * torch.sin(2 * torch.pi * torch.log2(hertz / 20) / 5)
    return GAIN * torch.fft.irfft(spectrum * 10 ** (level / 20), n=waveform.shape[-1])


def play(waveform: Tensor, speed: float) -> Tensor:
    """`speed` times as fast, and so much higher."""
    return resample(waveform, round(RATE * speed), RATE)


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda waveform: waveform,
    "equalised": equalise,
    **{f"speed {speed}": lambda waveform, speed=speed: play(waveform, speed) for speed in SPEEDS},
}


def cut_part(waveform: Tensor, label: str, rng: np.random.Generator) -> Tensor:
    """One event of a recording, or 2 s of it where its label has no events."""
    if entry_of(label).countable:
        events = find_events(Sound(waveform, RATE), STYLES.get(label, EventStyle()))
        if events:
            onset, offset = events[int(rng.integers(len(events)))]
            return waveform[:, round(onset * RATE) : round(offset * RATE)]
    length = PART_SECONDS * RATE
    sounding = waveform[:, : int(waveform[0].nonzero().amax()) + 1]
    start = int(rng.integers(max(1, sounding.shape[1] - length)))
    return sounding[:, start : start + length]


def place(part: Tensor, label: str, rng: np.random.Generator) -> Tensor:
    """An event at some time in silence; a part of a texture as it is."""
    if not entry_of(label).countable:
        return part
    whole = part.new_zeros(1, SECONDS * RATE)
    part = part[:, : whole.shape[1]]
    start = int(rng.integers(whole.shape[1] - part.shape[1] + 1))
    whole[:, start : start + part.shape[1]] = part
    return whole


@torch.inference_mode()
def make_copies(recordings: Sequence[Reference], coder: Coder) -> dict[str, list[Tensor]]:
    """Copies [1, N] of each recording, by what was done to it."""
    copies = defaultdict(list)
    for item in recordings:
        whole = torch.atleast_2d(item.waveform)
        rng = numpy_stream(0, "near copies", item.id)
        part = cut_part(whole, item.label, rng)
        copies[UNCODED].append(whole)
        for name, change in CHANGES.items():
            changed = change(whole)[:, : SECONDS * RATE]
            copies[f"whole, {name}"].append(coder(changed))
            copies[f"part, {name}"].append(coder(place(change(part), item.label, rng)))
    return dict(copies)


def open_coder(name: str) -> tuple[Coder, ModelRecord]:
    """What a model's sounds leave through: a codec of tokens or one of latents, and its record."""
    if "codec" in read_record(find_model(name)).parts:
        tokens, record, _ = load_codec(name)

        def decode(waveform: Tensor) -> Tensor:
            return tokens.decode(tokens.encode(waveform))
    else:
        latents, record, _ = load_latent_codec(name)

        def decode(waveform: Tensor) -> Tensor:
            return latents.decode(latents.encode(waveform).mean)

    return lambda waveform: decode(waveform[None])[0, :, : waveform.shape[1]], record


def print_sensitivity(results: Mapping[str, Any]) -> None:
    """One row a change, one column a class."""
    labels = list(results["by_class"])
    width = max(map(len, results["by_change"]))
    print(" " * width, *(f"{name.split()[0][:8]:>8}" for name in ["all", *labels]))
    for change, parts in results["by_change"].items():
        print(f"{change:{width}}", *(f"{100 * part:8.0f}" for part in parts.values()))
    row = [results["overall"], *results["by_class"].values()]
    print(f"{'all behind the codec':{width}}", *(f"{100 * part:8.0f}" for part in row))
    print(f"whole {100 * results['whole']:.1f} %, part {100 * results['part']:.1f} %")


def share(flags: Sequence[bool]) -> float:
    """Part of the flags that are set, to four digits; 0 of none."""
    return round(sum(flags) / max(1, len(flags)), 4)


if __name__ == "__main__":
    main()
