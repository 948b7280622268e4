"""Scenes that differ from a given one in a single thing that their captions tell.

They are for their captions: a text that is nearly right teaches, and tests, whether counts, order
and sources are heard. Nothing renders them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from soundwright.core.records import Scene, SceneEvent
from soundwright.synthesis.lexicon import LEXICON, entry_of

Contrast = Literal["count", "order", "label"]
CONTRASTS: tuple[Contrast, ...] = ("count", "order", "label")
HIGHEST = 8
"""Count up to which captions count."""


def contrast_scene(scene: Scene, kind: Contrast, rng: np.random.Generator) -> Scene | None:
    """The scene with another count, in another order, or with another source.

    Args:
        scene: Any scene of the composer.
        kind: What differs.
        rng: Draws which group, and how.

    Returns:
        None where the caption tells nothing of the kind: a texture has no count, and one phrase
        no order.
    """
    return {"count": _recounted, "order": _reordered, "label": _relabelled}[kind](scene, rng)


def content_of(scene: Scene) -> str:
    """What a caption of the scene tells, but for the manner: equal where it would be the same."""
    told = [
        f"{group[0].label} x{len(group) if _is_counted(scene, group) else '?'}"
        for group in _groups(scene)
    ]
    if scene.form != "sequence":
        told.sort()
    kind = scene.form if scene.form in ("sequence", "overlap", "background") else ""
    return f"{kind}: {', '.join(told)}; no {', '.join(scene.absent)}"


def _recounted(scene: Scene, rng: np.random.Generator) -> Scene | None:
    groups = _groups(scene)
    counted = [number for number, group in enumerate(groups) if _is_counted(scene, group)]
    if not counted:
        return None
    chosen = int(rng.choice(counted))
    own = len(groups[chosen])
    # Half the time a neighbour, which is the hardest to tell.
    near = [count for count in (own - 1, own + 1) if 1 <= count <= HIGHEST]
    every = [count for count in range(1, HIGHEST + 1) if count != own]
    count = int(rng.choice(near if rng.uniform() < 0.5 else every))
    groups[chosen] = [groups[chosen][min(number, own - 1)] for number in range(count)]
    return _with_groups(scene, groups)


def _reordered(scene: Scene, rng: np.random.Generator) -> Scene | None:
    groups = _groups(scene)
    if scene.form != "sequence" or len(groups) < 2:
        return None
    order = np.arange(len(groups))
    while (order == np.arange(len(groups))).all():
        order = rng.permutation(len(groups))
    return _with_groups(scene, [groups[number] for number in order])


def _relabelled(scene: Scene, rng: np.random.Generator) -> Scene | None:
    groups = _groups(scene)
    chosen = int(rng.integers(len(groups)))
    present = {event.label for event in scene.events}
    countable = entry_of(groups[chosen][0].label).countable
    others = sorted(
        label
        for label, entry in LEXICON.items()
        if label not in present and entry.countable == countable
    )
    label = str(rng.choice(others))
    groups[chosen] = [event.model_copy(update={"label": label}) for event in groups[chosen]]
    return _with_groups(scene, groups)


def _groups(scene: Scene) -> list[list[SceneEvent]]:
    numbers = sorted({event.group for event in scene.events})
    return [[event for event in scene.events if event.group == number] for number in numbers]


def _is_counted(scene: Scene, group: list[SceneEvent]) -> bool:
    """Whether captions count the events of a group."""
    several = scene.form == "several" and len(group) > 1
    return entry_of(group[0].label).countable and not several


def _with_groups(scene: Scene, groups: list[list[SceneEvent]]) -> Scene:
    events = [
        event.model_copy(update={"group": number})
        for number, group in enumerate(groups)
        for event in group
    ]
    return scene.model_copy(update={"events": tuple(events)})
