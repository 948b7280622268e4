"""From a plan to a study: shared prompts drawn, copies of their sounds made equally loud."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import soundwright
from soundwright.audio.channels import to_channels
from soundwright.audio.encoding import encode
from soundwright.audio.loudness import integrated_loudness, peak_db
from soundwright.audio.mixing import gain_of
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import folder_atomic, hash_bytes, hash_file, write_bytes
from soundwright.core.progress import Meter
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.collection import Item, read_collection
from soundwright.evaluation.pairing import fold_prompt
from soundwright.evaluation.study.plan import StudyPlan
from soundwright.evaluation.study.records import (
    LONGEST_S,
    MOST_EVENTS,
    SOUNDS_NAME,
    Copy,
    Material,
    Remark,
    Study,
    write_study,
)

CEILING_DB = -1.0
MOST_CHANNELS = 2


@dataclass
class Search:
    """The sounds of all systems by prompt, and what was found on the way."""

    texts: dict[str, str] = field(default_factory=dict)
    """The prompt as it is shown, by the prompt as it is compared."""
    items: dict[str, dict[str, Item]] = field(default_factory=lambda: defaultdict(dict))
    """By prompt and system."""
    remarks: list[Remark] = field(default_factory=list)


def prepare_study(plan: StudyPlan, out: Path, *, beside: Path | None = None) -> Study:
    """Write a study's folder: study.json and the loudness-matched copies. Raw sounds stay.

    Args:
        plan: What it is to be.
        out: The folder to write, which must not exist.
        beside: What relative paths of the plan start from; the working folder, if None.

    Raises:
        UserError: A folder that cannot be used, or too few prompts that all systems share.
    """
    search = find_items(plan, beside or Path())
    shared = draw_prompts(plan, search)
    with folder_atomic(out) as folder, Meter("match", plan.prompts, unit="prompt") as meter:
        materials: list[Material] = []
        for prompt in shared:
            if len(materials) == plan.prompts:
                break
            material = match_prompt(plan, search, prompt, folder)
            if material is not None:
                materials.append(material)
                meter.advance()
        if len(materials) < plan.prompts:
            raise too_few(plan, len(materials), search)
        study = Study(
            soundwright=soundwright.__version__,
            plan=plan,
            materials=tuple(materials),
            remarks=tuple(search.remarks),
        )
        write_study(folder, study)
    return study


def find_items(plan: StudyPlan, beside: Path) -> Search:
    """List every system's sounds by prompt."""
    search = Search()
    for system, given in plan.systems.items():
        collection = read_collection(beside / given)
        search.remarks += [
            Remark(kind="missing", system=system, sound=name, detail="only its JSON is there")
            for name in collection.absent
        ]
        for item in collection.items:
            if not item.prompts:
                search.remarks.append(Remark(kind="no-prompt", system=system, sound=item.name))
            for text in item.prompts:
                add_item(search, system, text, item)
    return search


def add_item(search: Search, system: str, text: str, item: Item) -> None:
    """Of several sounds of one prompt the first by name is taken."""
    prompt = fold_prompt(text)
    search.texts.setdefault(prompt, text)
    first = search.items[prompt].setdefault(system, item)
    if first is not item:
        detail = f"{first.name} stands for the prompt"
        search.remarks.append(Remark(kind="several", system=system, sound=item.name, detail=detail))


def draw_prompts(plan: StudyPlan, search: Search) -> list[str]:
    """The shared prompts in an order drawn by the seed; sounds with several captions stand once."""
    shared: list[str] = []
    used: set[tuple[str, str]] = set()
    for prompt, items in sorted(search.items.items()):
        keys = {(system, item.name) for system, item in items.items()}
        if set(items) != set(plan.systems):
            lacking = ", ".join(name for name in plan.systems if name not in items)
            search.remarks += [
                Remark(
                    kind="unshared",
                    system=system,
                    sound=item.name,
                    detail=f"no sound of {prompt!r} from {lacking}",
                    left_out=True,
                )
                for system, item in items.items()
            ]
        elif not keys & used:
            used |= keys
            shared.append(prompt)
    if len(shared) < plan.prompts:
        raise too_few(plan, len(shared), search)
    random = numpy_stream(plan.seed, "study", "prompts")
    return [shared[place] for place in random.permutation(len(shared))]


def too_few(plan: StudyPlan, found: int, search: Search) -> UserError:
    """The error of a plan that asks for more prompts than there are."""
    lost = [remark for remark in search.remarks if remark.left_out or remark.kind == "no-prompt"]
    hints = "".join(f"\n  {one.kind}: {one.system}, {one.sound} {one.detail}" for one in lost[:5])
    return UserError(
        f"{found} prompts have a sound of every system ({', '.join(plan.systems)}); the study asks "
        f"for {plan.prompts}.{hints}" + (f"\n  and {len(lost) - 5} more" if len(lost) > 5 else ""),
        expected="sounds whose JSON, tags or manifest name the same prompts in every folder",
        change="Generate the missing sounds, or ask for fewer: --prompts N.",
    )


def match_prompt(plan: StudyPlan, search: Search, prompt: str, folder: Path) -> Material | None:
    """Write the copies of one prompt's sounds, all of one loudness.

    Where peaks forbid the plan's loudness for one of them, all are as loud as that one can be.

    Returns:
        None where a sound cannot be used; it is remarked, and the prompt is not in the study.
    """
    items = search.items[prompt]
    sounds: dict[str, Sound] = {}
    for system in plan.systems:
        try:
            sounds[system] = read_short(items[system])
        except AudioError as error:
            search.remarks.append(
                Remark(
                    kind=error.reason,
                    system=system,
                    sound=items[system].name,
                    detail=error.problem,
                    left_out=True,
                )
            )
    if len(sounds) < len(plan.systems):
        return None
    copies = match_loudness(plan.loudness, sounds, items, folder)
    search.remarks += remark_copies(copies)
    tags = dict.fromkeys(tag for item in items.values() for tag in item.tags)
    named = {fold_prompt(text): names for text, names in plan.events.items()}
    events = named.get(prompt, tuple(tags)) if plan.checklist else ()
    return Material(prompt=search.texts[prompt], copies=copies, events=events[:MOST_EVENTS])


def read_short(item: Item) -> Sound:
    """Decode one sound, at most two channels of it.

    Raises:
        AudioError: It is bad, or too long for a trial.
    """
    sound = item.read()
    if sound.duration > LONGEST_S:
        raise AudioError(
            f"{item.name} lasts {sound.duration:.0f} s, more than {LONGEST_S:.0f}.",
            reason="too-long",
        )
    channels = min(sound.channels, MOST_CHANNELS)
    return Sound(to_channels(sound.samples, channels), sound.sample_rate)


def match_loudness(
    target: float, sounds: Mapping[str, Sound], items: Mapping[str, Item], folder: Path
) -> dict[str, Copy]:
    """Write copies of one loudness: `target` LUFS, or what the peakiest sound can have."""
    levels = {
        system: integrated_loudness(sound.samples, sound.sample_rate)
        for system, sound in sounds.items()
    }
    reachable = [
        level + CEILING_DB - peak_db(sounds[system].samples)
        for system, level in levels.items()
        if not math.isinf(level)
    ]
    common = min([target, *reachable])
    copies: dict[str, Copy] = {}
    for system, sound in sounds.items():
        silent = math.isinf(levels[system])
        gain = 0.0 if silent else common - levels[system]
        content = encode(Sound(sound.samples * gain_of(gain), sound.sample_rate), ".wav")
        digest = hash_bytes(content)
        file = f"{SOUNDS_NAME}/{digest[:24]}.wav"
        write_bytes(folder / file, content)
        copies[system] = Copy(
            name=items[system].name,
            raw_hash=hash_file(items[system].path),
            file=file,
            hash=digest,
            seconds=sound.duration,
            gain_db=round(gain, 3),
            loudness=None if silent else round(levels[system], 3),
        )
    return copies


def remark_copies(copies: Mapping[str, Copy]) -> list[Remark]:
    """Name what is silent, and what two systems have in common."""
    remarks: list[Remark] = []
    first: dict[str, str] = {}
    for system, copy in copies.items():
        if copy.loudness is None:
            remarks.append(Remark(kind="silent", system=system, sound=copy.name))
        twin = first.setdefault(copy.hash, system)
        if twin != system:
            detail = f"the same sound as {twin}'s"
            remarks.append(Remark(kind="same", system=system, sound=copy.name, detail=detail))
    return remarks
