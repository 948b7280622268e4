"""`tokenize`: run a codec once over a corpus. A killed run continues, and ends the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import hash_bytes
from soundwright.core.progress import Meter
from soundwright.core.protocols import TokenCodec
from soundwright.core.records import Clip
from soundwright.data.bad_clips import BadClips
from soundwright.data.journal import TokenJournal, journal_path, other_store
from soundwright.data.manifest import Manifest, read_clip, write_manifest
from soundwright.data.prefetch import compute_in_order
from soundwright.data.store import (
    INDEX_NAME,
    MANIFEST_NAME,
    Skipped,
    StoreInfo,
    TokenStore,
    write_index,
)

CONTEXT_S = 2.0
"""Sound on both sides of a chunk of a long clip, encoded with it and left out."""


def tokenize(
    manifest: Manifest,
    codec: TokenCodec,
    out: Path,
    *,
    identity: str | None = None,
    device: torch.device | str = "cpu",
    batch: int = 16,
    chunk: float = 60.0,
    workers: int = 2,
    max_bad_rate: float = 0.05,
) -> TokenStore:
    """Store the tokens of every clip of a corpus.

    Only clips of one length share a batch, so that none is padded. Bad clips are named, counted
    and skipped. Where `out` holds the finished tokens of the same clips by the same codec, only
    the records (captions, tags ...) are renewed.

    Args:
        manifest: The corpus.
        codec: In evaluation mode, on `device`.
        out: Folder of the store.
        identity: Changes whenever the codec's tokens would; None takes `identify_codec`.
        device: Where the codec is.
        batch: Clips encoded at once; a run may be continued with another number, but its
            tokens are then only as equal as the codec's arithmetic is over batch sizes.
        chunk: Longest piece in seconds encoded at once; longer clips are encoded in pieces with
            two seconds of context around each.
        workers: Threads that read ahead.
        max_bad_rate: As in `SegmentConfig`.

    Raises:
        UserError: `out` holds other tokens, too many clips are bad, or the disk is full.
    """
    out = Path(out)
    info = StoreInfo(
        codec=identity or identify_codec(codec),
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        hop_length=codec.hop_length,
        codebooks=codec.codebooks,
        codebook_size=codec.codebook_size,
    )
    fingerprint = _fingerprint(manifest, info, chunk)
    if (out / INDEX_NAME).is_file():
        if TokenStore(out).fingerprint != fingerprint:
            raise other_store(out)
        write_manifest(out / MANIFEST_NAME, manifest)
        journal_path(out).unlink(missing_ok=True)
        return TokenStore(out)
    encoder = _Encoder(codec, torch.device(device), round(chunk * info.frame_rate))
    with TokenJournal(out, info, fingerprint) as journal:
        bad = BadClips(len(manifest.clips), max_bad_rate)
        bad.reasons.update({item.clip_id: item.reason for item in journal.skipped})
        _encode_rest(manifest, encoder, journal, bad, batch, workers)
        if not journal.frames:
            raise UserError(f"None of the {len(manifest.clips)} clips has tokens.")
        journal.finish()
    write_manifest(out / MANIFEST_NAME, manifest)
    write_index(out, info, fingerprint, journal.frames, journal.skipped)
    journal_path(out).unlink()
    return TokenStore(out)


def identify_codec(codec: TokenCodec) -> str:
    """A hash of a module's class, dimensions and weights.

    Raises:
        UserError: The codec is no module, so that its identity has to be given.
    """
    if not isinstance(codec, nn.Module):
        raise UserError(
            f"The identity of a {type(codec).__name__} cannot be seen.",
            change="Pass `identity`, a text that changes whenever its tokens would.",
        )
    sizes = (codec.sample_rate, codec.channels, codec.hop_length)
    digest = hashlib.sha256(repr((type(codec).__name__, sizes)).encode())
    for name, value in sorted(codec.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"{type(codec).__name__}-{digest.hexdigest()[:32]}"


@dataclass(frozen=True)
class _Encoder:
    """Encodes clips of one length, in chunks where they are long."""

    codec: TokenCodec
    device: torch.device
    chunk: int
    """Frames."""

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[Tensor]) -> Tensor:
        """[C, N] each to [B, K, T] on the CPU."""
        hop = self.codec.hop_length
        waveform = torch.stack(list(waveforms)).to(self.device)
        frames = -(-waveform.shape[-1] // hop)
        context = round(CONTEXT_S * self.codec.sample_rate / hop)
        parts: list[Tensor] = []
        for start in range(0, frames, self.chunk):
            stop = min(start + self.chunk, frames)
            before = max(start - context, 0)
            piece = waveform[..., before * hop : (stop + context) * hop]
            codes = self.codec.encode(piece)
            parts.append(codes[..., start - before : stop - before])
        tokens = torch.cat(parts, dim=-1).cpu()
        expected = (len(waveforms), self.codec.codebooks, frames)
        assert tokens.shape == expected, f"a codec gave {tuple(tokens.shape)}, not {expected}"
        low, high = int(tokens.min()), int(tokens.max())
        assert low >= 0, f"the token {low} is negative"
        assert high < self.codec.codebook_size, f"the token {high} is not in the codebook"
        return tokens


def _encode_rest(
    manifest: Manifest,
    encoder: _Encoder,
    journal: TokenJournal,
    bad: BadClips,
    batch: int,
    workers: int,
) -> None:
    clips = manifest.clips[journal.done :]

    def load(clip: Clip) -> Tensor | AudioError:
        rate, channels = encoder.codec.sample_rate, encoder.codec.channels
        try:
            return read_clip(manifest, clip, sample_rate=rate, channels=channels).samples
        except AudioError as error:
            return error

    with (
        Meter("tokenize", len(manifest.clips), done=journal.done, unit="clip") as meter,
        closing(compute_in_order(load, clips, workers=workers)) as loaded,
    ):
        for group in _group(zip(clips, loaded, strict=True), batch):
            entries: dict[str, Tensor] = {}
            skipped: list[Skipped] = []
            for clip, found in group:
                if isinstance(found, AudioError):
                    bad.add(clip, found)
                    skipped.append(Skipped(clip.id, found.reason, found.problem))
                else:
                    entries[clip.id] = found
            tokens = encoder.encode(list(entries.values())) if entries else ()
            journal.append(dict(zip(entries, tokens, strict=True)), skipped)
            meter.advance(len(group), note=f"{len(bad)} skipped" if bad else None)


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


def _fingerprint(manifest: Manifest, info: StoreInfo, chunk: float) -> str:
    sounds = [(clip.id, clip.pcm_hash) for clip in manifest.clips]
    settings = [info.model_dump(), sounds, chunk]
    return hash_bytes(json.dumps(settings).encode())
