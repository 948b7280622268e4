"""`encode_latents`: the posteriors of a corpus' latents, stored once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from soundwright.core.protocols import LatentCodec, Posterior
from soundwright.data.encoding import Encoding, context_frames, encode_corpus, identify_codec
from soundwright.data.manifest import Manifest
from soundwright.data.store import LatentInfo, LatentStore

QUIETEST = 1e-6
"""A peak below which a sound is silence, of which only rounding would be made louder."""


def encode_latents(
    manifest: Manifest,
    codec: LatentCodec,
    out: Path,
    *,
    identity: str | None = None,
    peak: float | None = None,
    device: torch.device | str = "cpu",
    batch: int = 16,
    chunk: float = 60.0,
    workers: int = 2,
    max_bad_rate: float = 0.05,
) -> LatentStore:
    """Store mean and deviation of every latent of a corpus, in half precision.

    The store also keeps one frame of silence, the middle of a silent sound with as much context
    as a chunk has. See `encode_corpus` for bad clips and resuming; a clip whose latents are not
    finite in half precision is a bad one. A convolutional codec encodes a long clip in chunks as
    it does as a whole; one with attention over time, such as the VAE of AudioLDM, hears only a
    chunk and its context, so that frames of clips longer than `chunk` differ a little.

    Args:
        manifest: The corpus.
        codec: In evaluation mode, on `device`.
        out: Folder of the store.
        identity: Changes whenever the codec's latents would; None takes `identify_codec`.
        peak: Each sound is centred and brought to this peak before the codec hears it, silence
            excepted, as Tango does with 0.5; None leaves sounds as they are.
        device: As in `Encoding`, like all that follow.
        batch: Clips encoded at once.
        chunk: Longest piece in seconds encoded at once.
        workers: Threads that read ahead.
        max_bad_rate: Bad clips that are borne.

    Raises:
        UserError: `out` holds other latents, too many clips are bad, or the disk is full.
    """
    info = LatentInfo(
        codec=identity or identify_codec(codec),
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        hop_length=codec.hop_length,
        latent_shape=codec.latent_shape,
        peak=peak,
    )
    where = torch.device(device)

    def encode(waveform: Tensor) -> Tensor:
        return _rows(codec.encode(waveform))

    @torch.inference_mode()
    def conclude() -> dict[str, list[float]]:
        context = context_frames(info)
        silent = torch.zeros(1, info.channels, (2 * context + 1) * info.hop_length, device=where)
        return {"silence": encode(silent)[0, context].tolist()}

    encoding = Encoding(
        info=info,
        store=LatentStore,
        encode=encode,
        conclude=conclude,
        device=where,
        batch=batch,
        chunk=chunk,
        workers=workers,
        max_bad_rate=max_bad_rate,
        prepare=None if peak is None else partial(level, peak=peak),
    )
    encode_corpus(manifest, encoding, out)
    return LatentStore(out)


def level(waveform: Tensor, peak: float) -> Tensor:
    """A waveform [C, N] less the mean of each channel, at a peak; silence stays silence."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    highest = centred.abs().max().item() if centred.numel() else 0.0
    return centred * (peak / highest) if highest > QUIETEST else centred


def _rows(posterior: Posterior) -> Tensor:
    """[B, C, T, ...] twice to [B, T, 2 * C * ...] float16."""
    parts = torch.stack([posterior.mean, posterior.deviation], dim=1)
    return parts.movedim(3, 1).flatten(2).half()
