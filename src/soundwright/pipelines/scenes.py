"""A corpus of composed scenes: made once into a folder, continued where it was interrupted."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from soundwright.audio.files import write
from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import write_text
from soundwright.core.progress import Meter
from soundwright.core.records import Clip, Event, Licence, Scene, Source
from soundwright.core.seeding import derive_seed
from soundwright.data.clips import Draft, describe_clip, joint_licence
from soundwright.data.manifest import Header, Manifest, read_clip, read_manifest, write_manifest
from soundwright.data.prefetch import compute_in_order
from soundwright.data.selection import Selection, select_clips
from soundwright.synthesis.captions import caption_scene
from soundwright.synthesis.recordings import RecordedClip, RecordingBank
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.scenes import ComposerConfig, compose_scene

DATASET = "scenes"
MANIFEST_NAME = "manifest.jsonl"
SCENES_NAME = "scenes.jsonl"
RECORDED = "clip:"
GENERATED = Licence(name="generated", evidence="made by soundwright.synthesis")


class RecordingSource(Config):
    """Recordings that events of scenes are cut from."""

    manifest: Path
    """Its clips' first tags are the labels."""
    selection: Selection = Selection()


class SceneSource(Config):
    """A corpus of scenes, all of which follows from these values."""

    clips: int = Field(default=1000, ge=1)
    seed: int = 0
    sample_rate: int = Field(default=16_000, ge=8000)
    captions: int = Field(default=4, ge=1)
    """Paraphrases a scene."""
    validation: int = Field(default=0, ge=0)
    """So many clips, the first ones, form the split `validation`, the others `train`."""
    composer: ComposerConfig = ComposerConfig.model_validate({})
    recordings: RecordingSource | None = None


def make_scenes(source: SceneSource, out: Path, *, workers: int = 2) -> Manifest:
    """Make the corpus that `source` describes, or what is still missing of it.

    Writes `audio/*.flac`, `scenes.jsonl` with the scene of every clip, and at the end
    `manifest.jsonl`. The same source gives the same bytes.

    Args:
        source: What to make.
        out: Its folder.
        workers: Threads that render.

    Raises:
        UserError: `out` holds another corpus, a label is unknown, or the disk is full.
    """
    out = Path(out)
    header = Header(facts={"scenes": source.plain()})
    if (out / MANIFEST_NAME).is_file():
        manifest = read_manifest(out / MANIFEST_NAME)
        if manifest.header.facts.get("scenes") != header.facts["scenes"]:
            raise UserError(
                f"{out} holds another corpus.", change="Choose another folder, or remove it."
            )
        return manifest
    bank, licences = open_bank(source.recordings, source.sample_rate)
    scenes = [
        compose_scene(source.composer, derive_seed(source.seed, "scene", number), bank)
        for number in range(source.clips)
    ]

    def make(number: int) -> Clip:
        path = out / "audio" / f"{number:06d}.flac"
        if not path.is_file():
            write(path, render_scene(scenes[number], bank, source.sample_rate))
        return describe_clip(_draft(source, number, scenes[number], path, licences), out)

    clips: list[Clip] = []
    with Meter("scenes", source.clips, unit="clip") as meter:
        for clip in compute_in_order(make, range(source.clips), workers=workers):
            clips.append(clip)
            meter.advance()
    write_text(out / SCENES_NAME, "".join(f"{s.model_dump_json()}\n" for s in scenes))
    manifest = Manifest(header, tuple(clips), out)
    write_manifest(out / MANIFEST_NAME, manifest)
    return manifest


def open_bank(
    recordings: RecordingSource | None, sample_rate: int
) -> tuple[RecordingBank | None, dict[str, Licence]]:
    """The recordings that scenes are made of, and their licences by clip id; None of none.

    Raises:
        UserError: The manifest does not hold, or nothing is selected.
    """
    if recordings is None:
        return None, {}
    manifest = select_clips(read_manifest(recordings.manifest), recordings.selection)
    recorded = (
        RecordedClip(clip.id, clip.tags[0], read_clip(manifest, clip))
        for clip in manifest.clips
        if clip.tags
    )
    bank = RecordingBank(recorded, sample_rate)
    return bank, {clip.id: clip.licence for clip in manifest.clips}


def _draft(
    source: SceneSource, number: int, scene: Scene, path: Path, licences: dict[str, Licence]
) -> Draft:
    parents = _parents(scene)
    return Draft(
        path=path,
        source=Source(dataset=DATASET, item=f"{source.seed}/{number}"),
        captions=caption_scene(scene, source.captions, derive_seed(scene.seed, "captions")),
        tags=tuple(dict.fromkeys(event.label for event in scene.events)),
        events=tuple(
            Event(label=event.label, onset=event.onset, offset=event.offset)
            for event in scene.events
        ),
        parents=parents,
        licence=joint_licence(licences[parent] for parent in parents) if parents else GENERATED,
        split="validation" if number < source.validation else "train",
        metadata={"form": scene.form, "scene_seed": scene.seed},
    )


def _parents(scene: Scene) -> tuple[str, ...]:
    sources = (source for event in scene.events for source in (event.source, event.partner))
    return tuple(
        dict.fromkeys(
            source.removeprefix(RECORDED) for source in sources if source.startswith(RECORDED)
        )
    )
