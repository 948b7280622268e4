"""What the small captioner hears in recordings that nothing of it has heard, fold by fold.

    python benchmarks/captioner_study.py --recordings FOLDER --work DIR [--fold N ...]
        [--row NAME ...] [--scenes N] [--seed N] [--shipped-towers] [--out FILE] [--ship DIR]

FOLDER holds ESC-10. For each of its folds 1 to 4 everything that hears is trained on the three
others, by the recipes of what ships, all on the captioner's scenes, with a fixed number of steps:
tagger and detector (the audio tower), matcher (in CLAP's place), the captioner's two stages. Its
language model reads texts alone and is trained once. Rows are the captioner as it ships and the
paper's ablations.

Each row captions the recordings of the left-out fold, with and without their titles, and scenes of
two events composed of them. An event is named where a caption has its words. Printed are shares
over all folds with Wilson's intervals of 95 %, and sound by sound how often a row names what the
whole one does not and the reverse, with the exact sign test, over the folds that both have and
adjusted by Holm for all that is compared. DIR keeps all; the same command goes on. FILE keeps
what each sound's caption named, and takes in further folds and rows as they come. With --ship, the
captioner that has not heard fold 4 is put into a folder with what was measured in its card: the one
that is part of the package.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from soundwright.audio.sound import Sound
from soundwright.captioner.metadata import read_metadata
from soundwright.core.files import read_json, write_json
from soundwright.core.records import Scene
from soundwright.core.seeding import derive_seed
from soundwright.data.manifest import MANIFEST_NAME, Manifest, read_clip, read_manifest
from soundwright.data.selection import Selection, select_clips
from soundwright.evaluation.captioning.events import named_events
from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.captioning.scoring import score_captions
from soundwright.evaluation.statistics.multiple import holm
from soundwright.evaluation.statistics.proportions import binomial_test, wilson
from soundwright.pipelines.captioning import CaptioningModel, load_captioner
from soundwright.pipelines.folders import folder_replaced
from soundwright.pipelines.models import RECORD_FILE, read_card, write_card
from soundwright.pipelines.recipe import compose_recipe
from soundwright.pipelines.scenes import RecordingSource, open_bank
from soundwright.pipelines.training import RECIPE_FILE, train_recipe
from soundwright.synthesis.captions import caption_scene
from soundwright.synthesis.lexicon import LEXICON
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.scenes import ComposerConfig, compose_scene

RATE = 16_000
FOLDS = (1, 2, 3, 4)
SHIPPED_FOLD = 4
OUTSIDE = ("CC-Sampling+",)
"""Licences of clips that nothing which ships has heard."""
METRICS = ("rouge_l", "cider_d")
ASKED = ("recordings", "recordings, titles told", "scenes")
REFERENCES = 5
"""Captions of a scene that another one is compared with."""


@dataclass(frozen=True)
class Row:
    """A captioner: what its two stages are trained with beside the recipes."""

    name: str
    overrides: tuple[str, ...] = ()
    recipe: str = "bundled-captioner"


ROWS = (
    Row("whole"),
    Row("no CLAP", ("clap=null",)),
    Row("no stage 1", ("start=null",)),
    Row("no stage 2", (), "bundled-captioner-stage1"),
    Row("no metadata", ("bridge.fields=[]",)),
)


class Fold:
    """One left-out fold: what is trained without it, and what it is asked.

    Args:
        number: Of the fold.
        manifest: Of all recordings.
        options: The command line.
    """

    def __init__(self, number: int, manifest: Path, options: argparse.Namespace) -> None:
        self.number, self.manifest = number, manifest.absolute()
        self.place = options.work / f"fold-{number}"
        self.options = options

    def measure(self, row: Row) -> dict[str, Any]:
        """Train a row, where that is not done, and ask it everything."""
        path = self.place / f"{row.name.replace(' ', '-')}.json"
        if path.is_file():
            return read_json(path)
        captioner = load_captioner(self._train_row(row))
        found = {"fold": self.number, "row": row.name, "hash": captioner.identity}
        found |= self._ask_recordings(captioner)
        found |= self._ask_scenes(captioner)
        write_json(path, found)
        return found

    def _train_row(self, row: Row) -> Path:
        towers = [
            f"tower.tagger={self._tower('tagger2')}",
            f"tower.detector={self._tower('bundled-captioner-tower')}",
        ]
        if "clap=null" not in row.overrides:
            towers.append(f"clap.matcher={self._tower('matcher')}")
        language = _train(
            "bundled-captioner-language",
            self.options.work / "language",
            [*self._data(4), f"training.seed={self.options.seed}"],
            self.options.work / "fold-4" / "data",
        )
        overrides = [
            *self._data(self.number),
            *towers,
            "language.recipe=null",
            f"language.model={language}",
            f"training.seed={self.options.seed}",
            *row.overrides,
        ]
        inner = row.recipe == "bundled-captioner" and "start=null" not in row.overrides
        if inner:
            first = Row(f"{row.name} stage 1", row.overrides, "bundled-captioner-stage1")
            if row.name == "whole":
                first = Row("no stage 2", (), "bundled-captioner-stage1")
            stage1 = self._train_row(first)
            overrides += ["start.recipe=null", f"start.model={stage1}"]
        out = self.place / "runs" / row.name.replace(" ", "-")
        return _train(row.recipe, out, overrides, self.place / "data")

    def _tower(self, recipe: str) -> Path | str:
        shipped = {"tagger2": "tagger2", "matcher": "matcher1"}
        if self.options.shipped_towers and self.number == 4 and recipe in shipped:
            return shipped[recipe]
        data = self._data(self.number)
        if recipe != "tagger2":
            # The others learn from scenes alone.
            data = [one for one in data if one.startswith("data.scenes")]
        return _train(recipe, self.place / "runs" / recipe, data, self.place / "data")

    def _data(self, left_out: int) -> list[str]:
        others = ",".join(f"fold{number}" for number in FOLDS if number != left_out)
        scenes = compose_recipe("bundled-captioner")["data"]["scenes"]
        return [
            f"data.scenes={json.dumps(scenes)}",
            f"data.manifests=[{self.manifest}]",
            f"data.scenes.recordings.manifest={self.manifest}",
            f"data.scenes.recordings.selection.splits=[{others}]",
            f"data.train.exclude_splits=[fold{left_out},validation]",
        ]

    def _recordings(self) -> Manifest:
        return select_clips(read_manifest(self.manifest), self._selection)

    @property
    def _selection(self) -> Selection:
        return Selection(splits=(f"fold{self.number}",), exclude_licences=OUTSIDE)

    def _ask_recordings(self, captioner: CaptioningModel) -> dict[str, Any]:
        manifest = self._recordings()
        sounds = [read_clip(manifest, clip) for clip in manifest.clips]
        titles = [{"title": read_metadata(clip).get("title", "")} for clip in manifest.clips]
        labels = [clip.tags[0] for clip in manifest.clips]
        found: dict[str, Any] = {}
        for name, known in (("recordings", None), ("recordings, titles told", titles)):
            texts = [one.text for one in captioner.caption(sounds, known)]
            rows = list(zip(labels, texts, strict=True))
            found[name] = [
                {"label": label, "caption": text, **_judge({label}, text)} for label, text in rows
            ]
        return found

    def _ask_scenes(self, captioner: CaptioningModel) -> dict[str, Any]:
        scenes, sounds = self._scenes()
        texts = [one.text for one in captioner.caption(sounds)]
        rows = []
        for scene, text in zip(scenes, texts, strict=True):
            labels = {event.label for event in scene.events}
            told = caption_scene(scene, REFERENCES, derive_seed(scene.seed, "references"))
            rows.append(
                {
                    "labels": sorted(labels),
                    "form": scene.form,
                    "references": [one.text for one in told],
                    "caption": text,
                    **_judge(labels, text),
                }
            )
        return {"scenes": rows}

    def _scenes(self) -> tuple[list[Scene], list[Sound]]:
        """Scenes of two events each, composed of nothing but the left-out recordings."""
        source = RecordingSource(manifest=self.manifest, selection=self._selection)
        bank, _ = open_bank(source, RATE)
        labels = tuple(sorted({clip.tags[0] for clip in self._recordings().clips}))
        composer = ComposerConfig.model_validate(
            {
                "labels": labels,
                "forms": {"sequence": 1.0, "overlap": 1.0},
                "groups": [1.0, 0.0, 0.0],
                "recorded_labels": 1.0,
            }
        )
        drawn = (
            compose_scene(composer, derive_seed(self.number, "scene", number), bank)
            for number in count()
        )
        pairs = (scene for scene in drawn if len({one.label for one in scene.events}) == 2)
        scenes = list(islice(pairs, self.options.scenes))
        return scenes, [render_scene(scene, bank, RATE) for scene in scenes]


def main() -> None:
    """Train, ask, and print what was heard."""
    options = read_options()
    manifest = import_recordings(options)
    rows = [row for row in ROWS if not options.row or row.name in options.row]
    settings = {"scenes_a_fold": options.scenes, "seed": options.seed}
    measured = read_earlier(options.out, settings)
    for fold in options.fold:
        for row in rows:
            found = Fold(fold, manifest, options).measure(row)
            measured.setdefault(row.name, {})[str(fold)] = condense(found)
    names = [row.name for row in ROWS if row.name in measured]
    ordered = {name: dict(sorted(measured[name].items())) for name in names}
    table = {name: summarise(list(folds.values())) for name, folds in ordered.items()}
    compared = compare(ordered)
    report(table, compared)
    if options.out:
        found = {**settings, "rows": table, "against whole": compared, "measured": ordered}
        write_json(options.out, found)
    if options.ship:
        ship(options, Fold(SHIPPED_FOLD, manifest, options).measure(ROWS[0]), table[ROWS[0].name])


def ship(options: argparse.Namespace, alone: dict[str, Any], all_folds: dict[str, Any]) -> None:
    """Put the captioner of fold 4 where it ships from, in words that hold on any machine."""
    made = options.work / f"fold-{SHIPPED_FOLD}" / "runs" / "whole" / "model"
    with folder_replaced(options.ship) as inside:
        for file in made.iterdir():
            content = file.read_bytes()
            if file.suffix in (".json", ".md"):
                for here, anywhere in (
                    (options.work.absolute() / "recordings", "data/esc10"),
                    (options.work.absolute(), "runs/captioner-study"),
                ):
                    content = content.replace(str(here).encode(), anywhere.encode())
            (inside / file.name).write_bytes(content)
    write_card(options.ship, read_card(options.ship).rstrip() + "\n\n" + describe(alone, all_folds))


def describe(alone: dict[str, Any], all_folds: dict[str, Any]) -> str:
    """What a card says was measured."""
    ours = summarise([condense(alone)])
    lines = [
        "## Measured",
        "",
        "By `benchmarks/captioner_study.py`, which made it: recordings of ESC-10's fold 4, which it"
        " has not heard, and the mean over four captioners that were each trained without a fold."
        " While towers and steps were chosen, fold 4 was looked at.",
        "",
        "| a caption names what is heard | fold 4 | all folds |",
        "|---|---|---|",
    ]
    for name in ASKED:
        cells = [
            f"{100 * one['named']:.1f} % ({100 * one['interval'][0]:.0f}-"
            f"{100 * one['interval'][1]:.0f})"
            for one in (ours[name], all_folds[name])
        ]
        what = "scenes of two events: both" if name == "scenes" else name
        lines.append(f"| {what} | {cells[0]} | {cells[1]} |")
    return "\n".join([*lines, ""])


def read_earlier(path: Path | None, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an earlier call has measured: by row, by fold."""
    if path is None or not path.is_file():
        return {}
    earlier = read_json(path)
    if {key: earlier.get(key) for key in settings} != settings:
        sys.exit(f"{path} was measured with other settings: name another --out")
    return earlier["measured"]


def condense(found: dict[str, Any]) -> dict[str, Any]:
    """What one fold of one row comes to: a digit a sound, 0 missed, 1 named, 2 and nothing else."""
    scenes = found["scenes"]
    scores = score_captions(
        [one["caption"] for one in scenes], [one["references"] for one in scenes], METRICS
    )
    digits = {
        name: "".join(str(one["named"] + one["alone"]) for one in found[name]) for name in ASKED
    }
    metrics = {
        name: round(one.corpus, 4) for name, one in scores.items() if isinstance(one, MetricScores)
    }
    return {"hash": found["hash"], **digits, **metrics}


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--recordings", type=Path, required=True, help="folder of ESC-10")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--fold", type=int, nargs="+", choices=FOLDS, default=FOLDS)
    parser.add_argument("--row", nargs="+", choices=[row.name for row in ROWS])
    parser.add_argument("--scenes", type=int, default=100, help="of each fold")
    parser.add_argument("--seed", type=int, default=0, help="of all trainings of captioners")
    parser.add_argument(
        "--shipped-towers",
        action="store_true",
        help="take the tagger and the matcher that ship for fold 4: the same recipes made them",
    )
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    parser.add_argument("--ship", type=Path, help="where to put the captioner that ships")
    return parser.parse_args()


def import_recordings(options: argparse.Namespace) -> Path:
    """The manifest of the recordings."""
    folder = options.work / "recordings"
    if not (folder / MANIFEST_NAME).is_file():
        command = ["data", "import", str(options.recordings), "--layout", "esc10"]
        command = [sys.executable, "-m", "soundwright", *command, "--out", str(folder)]
        subprocess.run(command, check=True)
    return folder / MANIFEST_NAME


def summarise(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares of one row over all folds; of captions of scenes the means of the folds' scores."""
    found: dict[str, Any] = {name: _share([fold[name] for fold in folds]) for name in ASKED}
    means = {name: round(sum(fold[name] for fold in folds) / len(folds), 4) for name in METRICS}
    return {**found, "captions of scenes": means}


def compare(measured: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By row and question, sounds of which only the row or only the whole captioner names all."""
    whole = measured.get(ROWS[0].name, {})
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for name, folds in measured.items():
        both = sorted(whole.keys() & folds.keys())
        for what in ASKED if name != ROWS[0].name and both else ():
            pairs = [
                (ours != "0", theirs != "0")
                for fold in both
                for ours, theirs in zip(folds[fold][what], whole[fold][what], strict=True)
            ]
            counts[name, what] = pairs.count((True, False)), pairs.count((False, True))
    adjusted = holm(
        {
            f"{name}/{what}": binomial_test(better, better + worse) if better + worse else 1.0
            for (name, what), (better, worse) in counts.items()
        }
    )
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, what), (better, worse) in counts.items():
        p = float(f"{adjusted[f'{name}/{what}']:.3g}")
        found.setdefault(name, {})[what] = {"better": better, "worse": worse, "p": p}
    return found


def report(rows: dict[str, Any], compared: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print the shares, and what differs."""
    for name, found in rows.items():
        print(name)
        for what in ASKED:
            one = found[what]
            low, high = one["interval"]
            print(
                f"  {what:24} named {one['named']:.3f} ({low:.3f} to {high:.3f}), "
                f"nothing else {one['alone']:.3f}, by fold {one['by_fold']}"
            )
    print("against the whole")
    for name, asked in compared.items():
        for what, one in asked.items():
            print(
                f"  {name:12} {what:24} better {one['better']}, worse {one['worse']}, "
                f"p {one['p']:.3g} (adjusted)"
            )


def _judge(labels: set[str], text: str) -> dict[str, bool]:
    """Whether all labels are named, and whether nothing else is."""
    named = named_events(text, LEXICON)
    return {"named": labels <= named, "alone": labels == named}


def _share(folds: Sequence[str]) -> dict[str, Any]:
    """Of the digits of `condense`."""
    digits = "".join(folds)
    interval = wilson(len(digits) - digits.count("0"), len(digits))
    return {
        "named": _named(digits),
        "interval": [round(interval.low, 4), round(interval.high, 4)],
        "alone": round(digits.count("2") / len(digits), 4),
        "of": len(digits),
        "by_fold": [_named(fold) for fold in folds],
    }


def _named(digits: str) -> float:
    return round(1 - digits.count("0") / len(digits), 4)


def _train(recipe: str, out: Path, overrides: Sequence[str], data: Path) -> Path:
    """The model of a run, which is trained as far as it is not. Runs of a fold share their data."""
    out = out.absolute()
    if not (out / "model" / RECORD_FILE).is_file() and not (out / "done").is_file():
        out.mkdir(parents=True, exist_ok=True)
        data.mkdir(parents=True, exist_ok=True)
        if not (out / "data").exists():
            (out / "data").symlink_to(data.absolute(), target_is_directory=True)
        resume = (out / RECIPE_FILE).is_file()
        train_recipe(recipe, overrides, out=out, resume=resume)
        (out / "done").touch()
    return out / "model"


if __name__ == "__main__":
    main()
