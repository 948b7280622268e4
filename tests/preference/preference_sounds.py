"""A model, judges and a chat perturber that are quick, and that note every call they get."""

import math
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from soundwright.pipelines.sounds import GeneratedSound
from soundwright.preference.captions import read_selected
from soundwright.preference.pairing import pair_rollouts
from soundwright.preference.perturbation.rules import RulePerturber
from soundwright.preference.perturbing import (
    PerturbingChoice,
    perturb_captions,
    read_perturbations,
)
from soundwright.preference.record_files import write_records
from soundwright.preference.records import SelectedCaption, caption_id
from soundwright.preference.rollouts import (
    RolloutChoice,
    plan_takes,
    read_rollouts,
    roll_out,
    takes_steps,
)
from soundwright.preference.thresholds import Rule, Selection
from soundwright.text.concepts import is_temporal

RATE = 8000
CAPTIONS = ("a dog barks", "a bell rings, then rain falls", "a cat meows while wind blows")


def select(*texts, cluster=0):
    return [
        SelectedCaption(id=caption_id(text), text=text, cluster=cluster, temporal=is_temporal(text))
        for text in texts
    ]


class ToneModel:
    """Makes tones: the longer the text, the lower; the higher the seed, the quieter."""

    name, hash, sample_rate = "tones", "0123456789abcdef", RATE

    def __init__(self, notes=None):
        self._notes = notes

    def generate(self, prompts, *, seed, duration, batch_size, cfg_scale=3.0, temperature=1.0):
        self.note(prompts, seed)
        return [self.make(prompt, seed + number, duration) for number, prompt in enumerate(prompts)]

    def note(self, prompts, seed):
        if self._notes is not None:
            with self._notes.open("a") as file:
                file.write(f"{seed} {len(prompts)}\n")

    def make(self, prompt, seed, duration):
        times = torch.arange(round(duration * RATE)) / RATE
        level = 0.1 + 0.4 / (1 + seed % 7)
        samples = level * torch.sin(2 * math.pi * (100 + 7000 / len(prompt)) * times)[None]
        return GeneratedSound(
            prompt=prompt,
            seed=seed,
            settings={"duration": duration},
            model=self.name,
            model_hash=self.hash,
            sample_rate=RATE,
            samples=self.spoil(samples, prompt),
        )

    def spoil(self, samples, prompt):
        return samples


class StepModel(ToneModel):
    """One that denoises."""

    def generate(self, prompts, *, seed, duration, batch_size, steps, cfg_scale=3.0):
        self.note(prompts, seed)
        return [self.make(prompt, seed + number, duration) for number, prompt in enumerate(prompts)]


class LevelJudge:
    """Likes loud sounds of short texts."""

    name, identity = "level", "level/1"

    def __init__(self, notes=None):
        self._notes = notes

    def score(self, waveforms, sample_rate, texts):
        if self._notes is not None:
            with self._notes.open("a") as file:
                file.write(f"judged {len(texts)}\n")
        return [float(one.square().mean().sqrt()) for one in waveforms]


class NotedRules(RulePerturber):
    """Rules that note what they are asked."""

    def __init__(self, notes):
        super().__init__(0)
        self._notes_file = notes

    def perturb(self, caption, strategy, count):
        with self._notes_file.open("a") as file:
            file.write(f"asked {strategy} {caption}\n")
        return super().perturb(caption, strategy, count)


LEVELS = Selection(judges={"level": Rule(least_delta=0.01)})


def run_stages(folder: Path, kill_at: int = 0) -> None:
    """Perturb, roll out and pair in `folder`; kill the process at a flush to the disk.

    Args:
        folder: Of captions.jsonl.
        kill_at: Number of the flush, from 1; 0 never.
    """
    flushes = 0
    flush = os.fsync

    def fsync(descriptor: Any) -> None:
        nonlocal flushes
        flushes += 1
        if flushes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(descriptor)

    os.fsync = fsync
    notes = folder / "notes.txt"
    captions = read_selected(folder / "captions.jsonl")
    perturb_captions(
        captions, folder / "perturbed.jsonl", NotedRules(notes), PerturbingChoice(count=2)
    )
    model = ToneModel(notes)
    choice = RolloutChoice(duration=0.5, samples=3, varied_temperatures=(0.5, 1.5))
    wrong = read_perturbations(folder / "perturbed.jsonl").items
    groups = plan_takes(captions.items, wrong, choice, has_steps=takes_steps(model))
    roll_out(groups, model, folder / "rollouts", choice)
    pair_rollouts(read_rollouts(folder / "rollouts"), [LevelJudge(notes)], LEVELS, folder)
    (folder / "flushes").write_text(str(flushes))


def run_and_kill(root: Path, plans: Sequence[Sequence[float]]) -> None:
    """Run all stages in `root`/whole, then killed ones, to their end, in `root`/0, 1 ...

    Args:
        root: A folder.
        plans: For each folder when its runs are killed, as parts of all flushes of a whole run.
    """
    _fork_stages(put_captions(root / "whole"), 0)
    flushes = int((root / "whole" / "flushes").read_text())
    for number, parts in enumerate(plans):
        folder = put_captions(root / str(number))
        for part in parts:
            assert _fork_stages(folder, max(1, round(part * flushes))) == -signal.SIGKILL
        assert _fork_stages(folder, 0) == 0


def put_captions(folder: Path) -> Path:
    write_records(folder / "captions.jsonl", "captions", "f", {}, select(*CAPTIONS))
    return folder


def _fork_stages(folder: Path, kill_at: int) -> int:
    """The status of a process that has run the stages."""
    process = os.fork()
    if process == 0:
        run_stages(folder, kill_at)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
