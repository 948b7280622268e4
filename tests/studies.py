"""Small listening studies: two systems' sounds with shared prompts."""

import json

import torch

from soundwright.audio.files import write
from soundwright.audio.sound import Sound

RATE = 8000


def tone(hertz, level=0.1, seconds=0.5):
    time = torch.arange(int(seconds * RATE)) / RATE
    return Sound((level * torch.sin(6.2832 * hertz * time))[None], RATE)


def put_sound(folder, name, prompt, sound):
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{name}.wav", sound)
    described = {"file": f"{name}.wav", "prompt": prompt}
    (folder / f"{name}.json").write_text(json.dumps(described), encoding="utf-8")


def put_systems(root, prompts, systems=("with-rr", "without-rr"), seconds=0.5):
    """A folder for each system below `root`; no two sounds are alike."""
    for place, system in enumerate(systems):
        for number in range(prompts):
            sound = tone(200 + 40 * number + 13 * place, 0.02 + 0.04 * place, seconds)
            put_sound(root / system, f"sound-{number:03d}", f"Sound number {number}.", sound)
    return [root / system for system in systems]


def listen_to(session):
    """Plays that hear all of a trial."""
    return [
        {"side": one["side"], "at": 0.5, "start": 0.0, "end": one["seconds"]}
        for one in session["trial"]["sides"]
    ]
