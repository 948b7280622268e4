"""Captioned sounds without end: the built-in data set. Example i depends on the seed and i only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.files import hash_bytes, write_text
from soundwright.core.records import Caption, Event, Licence, Scene, Source
from soundwright.core.seeding import derive_seed
from soundwright.synthesis.captions import caption_scene
from soundwright.synthesis.recordings import RecordingBank
from soundwright.synthesis.rendering import RECORDED
from soundwright.synthesis.scenes import ComposerConfig, compose_scene, render_scene

DATASET = "soundwright-synthesis"
CAPTIONS = 5
GENERATED_LICENCE = Licence(name="generated", evidence="made by soundwright.synthesis")
PARENTS_LICENCE = Licence(
    name="generated", evidence="made by soundwright.synthesis from the parents, on their terms"
)


@dataclass(frozen=True)
class Example:
    """A scene with what derives from it."""

    scene: Scene
    captions: tuple[Caption, ...]
    sound: Sound

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the recordings that are heard in it, sorted."""
        sources = {event.source for event in self.scene.events}
        return tuple(sorted(s.removeprefix(RECORDED) for s in sources if s.startswith(RECORDED)))


@dataclass(frozen=True)
class WrittenExample:
    """What a manifest needs to know of an example that stands in a file.

    The field names are those of the clip record.
    """

    path: Path
    source: Source
    captions: tuple[Caption, ...]
    tags: tuple[str, ...]
    events: tuple[Event, ...]
    parents: tuple[str, ...]
    licence: Licence


def make_example(
    index: int,
    seed: int,
    config: ComposerConfig,
    bank: RecordingBank | None = None,
    *,
    captions: int = CAPTIONS,
) -> Example:
    """Example `index` of the endless sequence that `seed` names.

    Args:
        index: From 0.
        seed: Names the sequence.
        config: What scenes are like.
        bank: Recorded events.
        captions: Paraphrases wanted.
    """
    own = derive_seed(seed, "scene", index)
    scene = compose_scene(config, own, bank)
    return Example(
        scene=scene,
        captions=caption_scene(scene, captions, own),
        sound=render_scene(scene, bank, config.sample_rate),
    )


def scenes(
    count: int,
    seed: int,
    config: ComposerConfig,
    bank: RecordingBank | None = None,
    *,
    first: int = 0,
) -> Iterator[tuple[Scene, tuple[Caption, ...], Sound]]:
    """Examples `first` to `first + count - 1`, in memory."""
    for index in range(first, first + count):
        example = make_example(index, seed, config, bank)
        yield example.scene, example.captions, example.sound


def synthesise(
    count: int,
    seed: int,
    folder: Path,
    config: ComposerConfig,
    bank: RecordingBank | None = None,
) -> Iterator[WrittenExample]:
    """Write examples as WAV files, each with its scene record as JSON beside it.

    The files of an example have the same bytes however many are made.

    Args:
        count: Number of examples.
        seed: Names the sequence.
        folder: Receives `scene-00000000.wav`, `scene-00000000.json` ...
        config: What scenes are like.
        bank: Recorded events.

    Yields:
        What was written, as soon as it stands on the disk.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """
    origin = _origin(seed, config, bank)
    for index in range(count):
        example = make_example(index, seed, config, bank)
        name = f"scene-{index:08d}"
        path = Path(folder) / f"{name}.wav"
        write(path, example.sound)
        write_text(path.with_suffix(".json"), example.scene.model_dump_json(indent=2) + "\n")
        yield WrittenExample(
            path=path,
            source=Source(dataset=DATASET, item=f"{origin}/{index}"),
            captions=example.captions,
            tags=tuple(dict.fromkeys(event.label for event in example.scene.events)),
            events=tuple(
                Event(label=event.label, onset=event.onset, offset=event.offset)
                for event in example.scene.events
            ),
            parents=example.parents,
            licence=PARENTS_LICENCE if example.parents else GENERATED_LICENCE,
        )


def _origin(seed: int, config: ComposerConfig, bank: RecordingBank | None) -> str:
    """What decides on the examples, in short: the settings, the recordings, and the seed."""
    recordings = "\n".join(bank.clip_ids) if bank else ""
    settings = hash_bytes(f"{config.model_dump_json()}\n{recordings}".encode())[:12]
    return f"{settings}-{seed}"
