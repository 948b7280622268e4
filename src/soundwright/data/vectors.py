"""One vector for each clip of a corpus, and for each caption, computed once and kept in packs.

Clips are known by their samples: a renamed file, or another caption, computes nothing anew.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import hash_bytes
from soundwright.core.packs import Packs
from soundwright.core.progress import Meter
from soundwright.core.protocols import AudioEncoder, TextAudioEncoder
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest, read_clip
from soundwright.data.prefetch import compute_in_order

PACK_CLIPS = 64
"""Clips whose vectors are written at once: what a kill can cost."""
NAME = "vector"

logger = logging.getLogger(__name__)


class ClipVectors:
    """The vectors of clips, in half precision, all in memory: 1 kB for 512 numbers.

    Args:
        vectors: [V] by clip id, of one width.
    """

    def __init__(self, vectors: dict[str, Tensor]) -> None:
        self._rows = {clip_id: row for row, clip_id in enumerate(vectors)}
        self._vectors = torch.stack(list(vectors.values())).half()

    def __len__(self) -> int:
        """Clips that have a vector."""
        return len(self._rows)

    def read(self, clip_ids: Sequence[str]) -> Tensor:
        """[B, V] fp32; NaN for a clip that has none."""
        found = torch.full((len(clip_ids), self._vectors.shape[1]), torch.nan)
        for place, clip_id in enumerate(clip_ids):
            if clip_id in self._rows:
                found[place] = self._vectors[self._rows[clip_id]]
        return found


class CachedTextVectors:
    """What a text-audio encoder says of texts, so that each is read once.

    Args:
        encoder: Asked when a text is new.
        folder: Where packs lie; any number of processes may share it.
    """

    def __init__(self, encoder: TextAudioEncoder, folder: Path) -> None:
        self._encoder = encoder
        self._packs = Packs(_place(folder, encoder), (NAME,))
        self._known: dict[str, Tensor] = {}

    @property
    def identity(self) -> str:
        """The identity of the encoder behind."""
        return self._encoder.identity

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """[B, V] fp32, of length one, on the CPU."""
        keys = {text: hash_bytes(text.encode())[:32] for text in texts}
        missing = [text for text, key in keys.items() if key not in self._known]
        if missing:
            self._packs.scan()
            there = self._packs.read(keys[text] for text in missing)
            self._known |= {key: entry[NAME] for key, entry in there.items()}
            new = [text for text in missing if keys[text] not in self._known]
            if new:
                made = self._encoder.embed_texts(new).float().cpu()
                entries = {keys[text]: row.clone() for text, row in zip(new, made, strict=True)}
                self._packs.write({key: {NAME: row} for key, row in entries.items()})
                self._known |= entries
        return torch.stack([self._known[keys[text]] for text in texts])


def encode_clips(
    manifest: Manifest, encoder: AudioEncoder, folder: Path, *, workers: int = 2
) -> ClipVectors:
    """Have an encoder hear every clip of a corpus; a killed run goes on where it stood.

    The whole clip is heard, whatever part of it is trained on. A clip that cannot be read, or in
    which the encoder hears nothing, has no vector; the former is named.

    Args:
        manifest: The corpus.
        encoder: On its device.
        folder: Where vectors are kept.
        workers: Threads that read ahead.

    Raises:
        UserError: No clip has a vector, or the folder cannot be written.
    """
    packs = Packs(_place(folder, encoder), (NAME,))
    keys = {clip.id: clip.pcm_hash for clip in manifest.clips}
    wanted = {clip.pcm_hash: clip for clip in manifest.clips}
    left = [clip for key, clip in wanted.items() if key not in packs]
    failed: set[str] = set()

    def load(clip: Clip) -> Tensor | AudioError:
        try:
            sound = read_clip(manifest, clip, sample_rate=encoder.sample_rate, channels=1)
        except AudioError as error:
            return error
        return sound.samples[0]

    with (
        Meter("hear", len(wanted), done=len(wanted) - len(left), unit="clip") as meter,
        closing(compute_in_order(load, left, workers=workers)) as loaded,
    ):
        pairs = zip(left, loaded, strict=True)
        while group := list(itertools.islice(pairs, PACK_CLIPS)):
            heard: dict[str, Tensor] = {}
            for clip, found in group:
                if isinstance(found, Tensor):
                    heard[clip.pcm_hash] = found
                else:
                    logger.warning("clip %s is not heard: %s", clip.id, found.problem)
                    failed.add(clip.pcm_hash)
            if heard:
                encoded = encoder.encode(list(heard.values()))
                rows = [one.vector.float().cpu() for one in encoded]
                packs.write({key: {NAME: row} for key, row in zip(heard, rows, strict=True)})
            meter.advance(len(group))
    known = packs.read(set(wanted) - failed)
    if len(known) < len(wanted) - len(failed):  # Packs that were damaged are gone now.
        return encode_clips(manifest, encoder, folder, workers=workers)
    vectors = {
        clip_id: known[key][NAME]
        for clip_id, key in keys.items()
        if key in known and bool(known[key][NAME].isfinite().all())
    }
    if not vectors:
        raise UserError(f"{encoder.name} hears nothing in the {len(keys)} clips.")
    return ClipVectors(vectors)


def _place(folder: Path, encoder: AudioEncoder) -> Path:
    """An encoder's own folder."""
    return Path(folder) / hash_bytes(encoder.identity.encode())[:16]
