"""A codec run once over a corpus, whatever it makes. A killed run continues, and ends the same."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import hash_bytes
from soundwright.core.progress import Meter
from soundwright.core.protocols import LatentCodec, TokenCodec
from soundwright.core.records import Clip, Mixture
from soundwright.data.bad_clips import BadClips
from soundwright.data.journal import FrameJournal, journal_path, other_store
from soundwright.data.manifest import MANIFEST_NAME, Manifest, read_clip, write_manifest
from soundwright.data.prefetch import compute_in_order
from soundwright.data.store import (
    INDEX_NAME,
    FrameInfo,
    FrameStore,
    Skipped,
    write_index,
)

CONTEXT_S = 2.0
"""Sound on both sides of a chunk of a long clip, encoded with it and left out."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoding:
    """How a corpus is encoded.

    Args:
        info: What makes the frames.
        store: How a finished store is opened.
        encode: Waveforms [B, C, N] on `device` to frames [B, T, width], T = ceil(N / hop_length).
        conclude: What the index says besides, asked when all frames are on the disk.
        device: Where the codec is.
        batch: Clips encoded at once; a run may be continued with another number, but its
            frames are then only as equal as the codec's arithmetic is over batch sizes.
        chunk: Longest piece in seconds encoded at once; longer clips are encoded in pieces with
            two seconds of context around each.
        workers: Threads that read ahead.
        max_bad_rate: As in `SegmentConfig`.
        prepare: What each whole waveform [C, N] goes through first; `info` tells of it.
    """

    info: FrameInfo
    store: Callable[[Path], FrameStore[Any]]
    encode: Callable[[Tensor], Tensor]
    conclude: Callable[[], Mapping[str, Any]]
    device: torch.device
    batch: int
    chunk: float
    workers: int
    max_bad_rate: float
    prepare: Callable[[Tensor], Tensor] | None = None


def encode_corpus(manifest: Manifest, encoding: Encoding, out: Path) -> None:
    """Store the frames of every clip of a corpus.

    Only clips of one length share a batch, so that none is padded. Bad clips are named, counted
    and skipped; so are mixtures that cannot be made, which count for nothing, since what is wrong
    with them is wrong with a part. Where `out` holds the finished frames of the same clips by the
    same codec, only the records (captions, tags ...) are renewed.

    Raises:
        UserError: `out` holds other frames, too many clips are bad, or the disk is full.
    """
    out, info = Path(out), encoding.info
    fingerprint = _fingerprint(manifest, info, encoding.chunk)
    if (out / INDEX_NAME).is_file():
        if encoding.store(out).fingerprint != fingerprint:
            raise other_store(out, info)
        write_manifest(out / MANIFEST_NAME, manifest)
        journal_path(out).unlink(missing_ok=True)
        return
    with FrameJournal(out, info, fingerprint) as journal:
        _encode_rest(manifest, encoding, journal)
        if not journal.frames:
            raise UserError(f"None of the {len(manifest.clips)} clips has {info.kind}s.")
        journal.finish()
    write_manifest(out / MANIFEST_NAME, manifest)
    more = encoding.conclude()
    write_index(out, info, fingerprint, journal.frames, journal.skipped, more)
    journal_path(out).unlink()


def identify_codec(codec: TokenCodec | LatentCodec) -> str:
    """A hash of a module's class, dimensions and weights (parameters and buffers).

    Of a latent codec only the autoencoder counts, but the configurations of its modules as well:
    the scale of latents and of spectrograms is often no weight.

    Raises:
        UserError: The codec is no module, so that its identity has to be given.
    """
    module = codec.autoencoder if isinstance(codec, LatentCodec) else codec
    if not isinstance(module, nn.Module):
        raise UserError(
            f"The identity of a {type(codec).__name__} cannot be seen.",
            change="Pass `identity`, a text that changes whenever its frames would.",
        )
    sizes = (codec.sample_rate, codec.channels, codec.hop_length)
    digest = hashlib.sha256(repr((type(codec).__name__, sizes)).encode())
    for name, value in sorted(module.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    if isinstance(codec, LatentCodec):
        for name, part in module.named_modules():
            config = getattr(part, "config", None)
            if isinstance(config, Config):
                digest.update(f"{name} {json.dumps(config.plain(), sort_keys=True)}".encode())
    return f"{type(codec).__name__}-{digest.hexdigest()[:32]}"


def context_frames(info: FrameInfo) -> int:
    """How many frames the context on one side of a chunk has."""
    return round(CONTEXT_S * info.frame_rate)


def _encode_rest(manifest: Manifest, encoding: Encoding, journal: FrameJournal) -> None:
    clips = manifest.clips[journal.done :]
    mixtures = {clip.id for clip in manifest.clips if isinstance(clip.location, Mixture)}
    bad = BadClips(len(manifest.clips) - len(mixtures), encoding.max_bad_rate)
    before = {item.clip_id: item.reason for item in journal.skipped}
    bad.reasons.update({name: why for name, why in before.items() if name not in mixtures})
    info = encoding.info

    def load(clip: Clip) -> Tensor | AudioError:
        try:
            sound = read_clip(manifest, clip, sample_rate=info.sample_rate, channels=info.channels)
        except AudioError as error:
            return error
        return sound.samples if encoding.prepare is None else encoding.prepare(sound.samples)

    def leave_out(clip: Clip, error: AudioError) -> Skipped:
        if clip.id in mixtures:
            logger.warning("mixture %s is left out: %s", clip.id, error.problem)
        else:
            bad.add(clip, error)
        return Skipped(clip.id, error.reason, error.problem)

    with (
        Meter("tokenize", len(manifest.clips), done=journal.done, unit="clip") as meter,
        closing(compute_in_order(load, clips, workers=encoding.workers)) as loaded,
    ):
        for group in _group(zip(clips, loaded, strict=True), encoding.batch):
            entries, skipped = _encode_group(group, encoding, leave_out)
            journal.append(entries, skipped)
            left_out = len(journal.skipped)
            meter.advance(len(group), note=f"{left_out} skipped" if left_out else None)


def _encode_group(
    group: Sequence[tuple[Clip, Tensor | AudioError]],
    encoding: Encoding,
    leave_out: Callable[[Clip, AudioError], Skipped],
) -> tuple[dict[str, Tensor], list[Skipped]]:
    """Frames [T, width] by clip id, and what has none."""
    waveforms = [found for _, found in group if isinstance(found, Tensor)]
    encoded = iter(_encode(waveforms, encoding) if waveforms else ())
    entries: dict[str, Tensor] = {}
    skipped: list[Skipped] = []
    for clip, found in group:
        frames = found if isinstance(found, AudioError) else next(encoded)
        if isinstance(frames, Tensor) and not bool(torch.isfinite(frames).all()):
            frames = AudioError(
                f"The {encoding.info.kind}s of clip {clip.id} are not finite.", reason="not-finite"
            )
        if isinstance(frames, AudioError):
            skipped.append(leave_out(clip, frames))
        else:
            entries[clip.id] = frames
    return entries, skipped


@torch.inference_mode()
def _encode(waveforms: Sequence[Tensor], encoding: Encoding) -> Tensor:
    """[C, N] each to [B, T, width] on the CPU, in chunks where they are long."""
    info, hop = encoding.info, encoding.info.hop_length
    waveform = torch.stack(list(waveforms)).to(encoding.device)
    frames = -(-waveform.shape[-1] // hop)
    context, chunk = context_frames(info), round(encoding.chunk * info.frame_rate)
    parts: list[Tensor] = []
    for start in range(0, frames, chunk):
        stop = min(start + chunk, frames)
        before = max(start - context, 0)
        rows = encoding.encode(waveform[..., before * hop : (stop + context) * hop])
        parts.append(rows[:, start - before : stop - before].cpu())
    rows = torch.cat(parts, dim=1)
    expected = (len(waveforms), frames, info.width)
    assert rows.shape == expected, f"a codec gave {tuple(rows.shape)}, not {expected}"
    return rows


def _group(
    loaded: Iterator[tuple[Clip, Tensor | AudioError]], batch: int
) -> Generator[list[tuple[Clip, Tensor | AudioError]]]:
    """Runs of at most `batch` neighbours with waveforms of one length.

    A run depends on nothing before it, so that a resumed run forms the same ones.
    """
    group: list[tuple[Clip, Tensor | AudioError]] = []
    length = None
    for clip, found in loaded:
        own = None if isinstance(found, AudioError) else found.shape[-1]
        fits = own is None or length in (None, own)
        if len(group) == batch or not fits:
            yield group
            group, length = [], None
        group.append((clip, found))
        length = own or length
    if group:
        yield group


def _fingerprint(manifest: Manifest, info: FrameInfo, chunk: float) -> str:
    sounds = [(clip.id, clip.pcm_hash) for clip in manifest.clips]
    settings = [info.model_dump(exclude_none=True), sounds, chunk]
    return hash_bytes(json.dumps(settings).encode())
