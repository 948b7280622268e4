"""`tokenize`: the tokens of a corpus, stored once."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from soundwright.core.protocols import TokenCodec
from soundwright.data.encoding import Encoding, encode_corpus, identify_codec
from soundwright.data.manifest import Manifest
from soundwright.data.store import TokenInfo, TokenStore


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
    """Store the tokens of every clip of a corpus; see `encode_corpus` for bad clips and resuming.

    Args:
        manifest: The corpus.
        codec: In evaluation mode, on `device`.
        out: Folder of the store.
        identity: Changes whenever the codec's tokens would; None takes `identify_codec`.
        device: As in `Encoding`, like all that follow.
        batch: Clips encoded at once.
        chunk: Longest piece in seconds encoded at once.
        workers: Threads that read ahead.
        max_bad_rate: Bad clips that are borne.

    Raises:
        UserError: `out` holds other tokens, too many clips are bad, or the disk is full.
    """
    info = TokenInfo(
        codec=identity or identify_codec(codec),
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        hop_length=codec.hop_length,
        codebooks=codec.codebooks,
        codebook_size=codec.codebook_size,
    )

    def encode(waveform: Tensor) -> Tensor:
        tokens = codec.encode(waveform)
        low, high = int(tokens.min()), int(tokens.max())
        assert low >= 0, f"the token {low} is negative"
        assert high < codec.codebook_size, f"the token {high} is not in the codebook"
        return tokens.transpose(1, 2)

    encoding = Encoding(
        info=info,
        store=TokenStore,
        encode=encode,
        conclude=dict,
        device=torch.device(device),
        batch=batch,
        chunk=chunk,
        workers=workers,
        max_bad_rate=max_bad_rate,
    )
    encode_corpus(manifest, encoding, out)
    return TokenStore(out)
