"""One vector per text and per sound, out of sequences: what RR and its alternative compare.

The sound's vector pools the language model's states u over time, the text's pools the text
encoder's states v over tokens: T^b = F(v_1 .. v_Tv), A^b = F(u_1 .. u_Ta), section 3.2 of arXiv
2309.08773.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, distributed

from soundwright.core.config import Config
from soundwright.core.seeding import derive_seed

Pooling = Literal["max", "mean"]


class RegularizerConfig(Config):
    """What every regularizer over pairs of a batch can be told; the paper's defaults, else ours."""

    weight: float = Field(default=3.0, ge=0)
    """lambda of equation 6, against cross-entropy that is averaged over codebooks. If the paper's
    authors summed over K codebooks, the same ratio is 3 / K here: try both."""
    where: Literal["cfg", "all", "none"] = "cfg"
    """In which steps it is trained: those without text (the paper), all, or none (logged only)."""
    pooling: Pooling = "max"
    """F. The paper found the mean to bring nothing."""
    layer: int | None = Field(default=None, ge=0)
    """The block whose output is u; None is the output of the last norm, which the heads read."""
    positions: Literal["targets", "all"] = "targets"
    """Which steps are pooled: those that have read a token and have one to predict, or also step
    0, which is the same for all sounds. The step behind the last target is never among them: no
    cross-entropy binds it, so the model could satisfy RR there for free."""
    duplicates: Literal["keep", "mask"] = "keep"
    """Whether pairs of equal captions count. The paper's equation keeps them."""
    gather: Literal["rank", "all"] = "rank"
    """Pairs within each rank's batch, as the paper likely had them, or over all ranks: then the
    number of ranks does not matter."""
    min_pairs: int = Field(default=2, ge=2)
    """With fewer ordered pairs than this the loss is zero; two valid items make two."""


class Representations(NamedTuple):
    """A batch, one vector each; fp32."""

    text: Tensor
    """[B, Dt]: T."""
    audio: Tensor
    """[B, D]: A."""
    valid: Tensor
    """[B] bool: False for an item without caption or without sound."""
    captions: Tensor
    """[B] int64: equal where the captions are equal."""


def pool(states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool [B, S, D] over the valid positions of `mask` [B, S] to [B, D], in fp32.

    A row without valid positions gives zeros, and no gradient.
    """
    states, mask = states.float(), mask[..., None]
    if pooling == "mean" or states.shape[1] == 0:
        return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)
    highest = states.masked_fill(~mask, -torch.inf).amax(dim=1)
    return torch.where(mask.any(dim=1), highest, 0.0)


def pooled_positions(frames: Tensor, positions: Literal["targets", "all"]) -> Tensor:
    """Which positions of the language model's states are pooled: [B, T] bool.

    Args:
        frames: [B, T] bool, the frames of each clip. Position s predicts frame s of codebook 0,
            so a clip of n frames has targets at positions 0 .. n - 1.
        positions: As in `RegularizerConfig`: 1 .. n - 1, or 0 .. n - 1.
    """
    if positions == "all":
        return frames
    without_first = frames.clone()
    without_first[:, 0] = False
    return without_first


def caption_identities(texts: Sequence[str], device: torch.device) -> Tensor:
    """[B] int64: a hash of each caption, so that ranks can compare theirs."""
    return torch.tensor([derive_seed(0, text) for text in texts], device=device)


def represent(
    text: Tensor,
    text_mask: Tensor,
    audio: Tensor,
    frames: Tensor,
    captions: Tensor,
    config: RegularizerConfig,
) -> Representations:
    """Pool both sides of a batch.

    Args:
        text: [B, St, Dt], taken before the texts are dropped.
        text_mask: [B, St] bool, before dropping too.
        audio: [B, T, D], the language model's states.
        frames: [B, T] bool.
        captions: [B] int64, from `caption_identities`.
        config: Pooling and positions.
    """
    positions = pooled_positions(frames, config.positions)
    return Representations(
        text=pool(text, text_mask, config.pooling),
        audio=pool(audio, positions, config.pooling),
        valid=text_mask.any(dim=1) & positions.any(dim=1),
        captions=captions,
    )


def gather_ranks(local: Representations) -> Representations:
    """The representations of all ranks, in the order of ranks; the batches must be of one size.

    Every rank computes the same loss from them. Its gradient, averaged over ranks as data-parallel
    training averages it, is that of one process with the whole batch.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return local
    return Representations(*(_gather(tensor) for tensor in local))


def paired(batch: Representations, config: RegularizerConfig) -> Tensor:
    """[B, B] bool: the ordered pairs of different, valid items that count."""
    count = len(batch.valid)
    pairs = batch.valid[:, None] & batch.valid
    pairs = pairs & ~torch.eye(count, dtype=torch.bool, device=pairs.device)
    return pairs & ~same_caption(batch) if config.duplicates == "mask" else pairs


def same_caption(batch: Representations) -> Tensor:
    """[B, B] bool: pairs whose captions are equal."""
    return batch.captions[:, None] == batch.captions


def _gather(tensor: Tensor) -> Tensor:
    world = distributed.get_world_size()
    parts = [torch.empty_like(tensor) for _ in range(world)]
    distributed.all_gather(parts, tensor.detach().contiguous())
    if tensor.requires_grad:
        # The own part stands in the graph, `world` times as strong: the other ranks, whose losses
        # are the same, send no gradient, and averaging divides by `world`. That spares the
        # backward pass its communication.
        here = tensor.detach()
        parts[distributed.get_rank()] = here + world * (tensor - here)
    return torch.cat(parts)
