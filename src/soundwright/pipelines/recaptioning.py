"""Captions by a model for all clips of a corpus; a killed run goes on where it stood."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundwright.captioner.metadata import read_metadata
from soundwright.core.errors import AudioError
from soundwright.core.files import hash_bytes
from soundwright.core.journal import Journal
from soundwright.core.progress import Meter
from soundwright.core.records import Caption, Clip
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.captioning import Captioned, CaptioningModel

AT_ONCE = 16
"""Clips between two notes in the journal."""
AGREEMENT = "agreement"
"""Begins the name of a score: how well a clip and its new caption agree, by whom."""


@dataclass(frozen=True)
class Recaptioned:
    """What came of a corpus."""

    manifest: Manifest
    count: int
    """Clips with a new caption."""
    left_out: dict[str, int]
    """Clips without one, by reason."""


def caption_manifest(
    manifest: Manifest, captioner: CaptioningModel, journal: Path, **settings: Any
) -> Recaptioned:
    """The manifest with a caption of the captioner for each clip, behind those that it has.

    An earlier caption of the same model is replaced. A clip that cannot be read, or that is
    silent, stays as it is and is counted.

    Args:
        manifest: The corpus.
        captioner: Reads each clip's title, tags and visual caption as far as it can.
        journal: What is done is noted there.
        settings: As for `CaptioningModel.caption`.

    Raises:
        UserError: `journal` is of another captioner or of other settings.
    """
    plain = {key: value for key, value in settings.items() if key != "batch_size"}
    fingerprint = hash_bytes(f"{captioner.identity} {json.dumps(plain, sort_keys=True)}".encode())
    clips = {clip.id: clip for clip in manifest.clips}
    with Journal(journal, fingerprint[:16]) as noted:
        found: dict[str, dict[str, Any]] = {one["clip"]: one for one in noted.entries}
        missing = [clip for key, clip in clips.items() if key not in found]
        with Meter("captions", len(clips), done=len(clips) - len(missing), unit="clip") as meter:
            for first in range(0, len(missing), AT_ONCE):
                some = missing[first : first + AT_ONCE]
                for entry in _caption_some(manifest, some, captioner, settings):
                    noted.append(entry)
                    found[entry["clip"]] = entry
                meter.advance(len(some))
    reasons = Counter(one["reason"] for one in found.values() if "reason" in one)
    kept = [_annotate(clip, found[clip.id], captioner) for clip in manifest.clips]
    count = sum("caption" in found[clip.id] for clip in manifest.clips)
    return Recaptioned(manifest.with_clips(kept), count, dict(reasons))


def _caption_some(
    manifest: Manifest,
    clips: Sequence[Clip],
    captioner: CaptioningModel,
    settings: dict[str, Any],
) -> list[dict[str, Any]]:
    """An entry of the journal for each clip."""
    entries: dict[str, dict[str, Any]] = {}
    sounds, heard = [], []
    for clip in clips:
        try:
            sounds.append(read_clip(manifest, clip))
            heard.append(clip)
        except AudioError as error:
            entries[clip.id] = {"clip": clip.id, "reason": error.reason}
    known = [{str(key): text for key, text in read_metadata(clip).items()} for clip in heard]
    captioned = captioner.caption(sounds, known, **settings) if sounds else []
    for clip, one in zip(heard, captioned, strict=True):
        entries[clip.id] = {"clip": clip.id, **_tell(one)}
    return [entries[clip.id] for clip in clips]


def _tell(one: Captioned) -> dict[str, Any]:
    if all(span.agreement is None and span.caption.confidence == 1.0 for span in one.spans):
        return {"reason": "silent"}
    return {"caption": one.text, "confidence": one.confidence, "agreement": one.agreement}


def _annotate(clip: Clip, entry: dict[str, Any], captioner: CaptioningModel) -> Clip:
    if "caption" not in entry:
        return clip
    caption = Caption(
        text=entry["caption"],
        kind="model",
        model=captioner.name,
        revision=captioner.identity,
        confidence=entry["confidence"],
    )
    others = tuple(one for one in clip.captions if one.model != captioner.name)
    scores = dict(clip.scores)
    if entry["agreement"] is not None:
        scores[f"{AGREEMENT}/{captioner.name}"] = round(entry["agreement"], 6)
    return clip.model_copy(update={"captions": (*others, caption), "scores": scores})
