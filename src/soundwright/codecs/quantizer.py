"""Residual vector quantisation with codebooks that follow running averages.

Level k quantises what the levels before it left over. The codebooks are not trained by
gradients: each code is the running mean of the vectors that chose it (van den Oord et al. 2017,
appendix A.1; Zeghidour et al. 2021, section III-C; the values are EnCodec's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.config import Config
from soundwright.core.seeding import torch_stream

ROWS_AT_ONCE = 16384


class QuantizerConfig(Config):
    """Configuration of `ResidualQuantizer`."""

    codebooks: int = Field(default=4, ge=1)
    """K, the number of levels."""
    codebook_size: int = Field(default=1024, ge=2)
    """Codes in each codebook."""
    decay: float = Field(default=0.99, gt=0, lt=1)
    """Of the running averages, per batch."""
    epsilon: float = Field(default=1e-5, gt=0)
    """Laplace smoothing of the running uses."""
    kmeans_iterations: int = Field(default=50, ge=0)
    """K-means rounds on the first batch of training; 0 starts from frames picked at random."""
    dead_code_uses: float = Field(default=2.0, ge=0)
    """A code is replaced when it is used less often in a batch, on average; 0 never replaces."""
    dead_code_share: float = Field(default=0.1, ge=0, le=1)
    """... and also less often than this share of the mean code, so that small batches, in which
    even an even use is below `dead_code_uses`, do not replace codes that do their part."""
    dropout: float = Field(default=0.0, ge=0, le=1)
    """Chance that an item of a training batch keeps only a random number, 1 to K, of levels."""
    projection: int | None = Field(default=None, ge=1)
    """Width of factorised codes (Kumar et al. 2023, section 3.2): each level looks its codes up
    on the unit sphere of a learned space of this width. None quantises the residual itself."""
    normalise_latents: bool = False
    """Whether each frame is normalised (layer norm without parameters) before it is quantised."""


class Codebook(Protocol):
    """The buffers of one level; transformers' `EncodecEuclideanCodebook` has them too."""

    inited: Tensor
    """[1] float: 0 before the first batch, then 1."""
    cluster_size: Tensor
    """[size] float: running uses per batch."""
    embed_avg: Tensor
    """[size, d] float: running sum, per batch, of the vectors that chose each code."""
    embed: Tensor
    """[size, d] float: the codes."""


class EmaCodebook(nn.Module):
    """The buffers of one level, empty until training or a checkpoint fills them."""

    inited: Tensor
    cluster_size: Tensor
    embed_avg: Tensor
    embed: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("embed_avg", torch.zeros(size, dim))
        self.register_buffer("embed", torch.zeros(size, dim))


@dataclass(frozen=True)
class Quantized:
    """What `ResidualQuantizer` makes of a batch of latents."""

    quantized: Tensor
    """[B, D, T]; its gradient passes to the latents as if nothing had happened."""
    codes: Tensor
    """[B, K, T] int64."""
    commitment: Tensor
    """Scalar: squared distance of vectors to their codes, mean over valid frames and levels."""
    usage: Tensor
    """[K]: share of the codes that are in use, which is: at least a tenth as often as the mean."""
    perplexity: Tensor
    """[K]: exp(entropy) of the codes' use, at most the codebook's size.

    Both are of the running uses in training, and of this batch alone in evaluation.
    """


class ResidualQuantizer(nn.Module):
    """RVQ: K codebooks, learned by running averages while the module is in training mode.

    Random draws (k-means start, replacement of dead codes, dropout) come from a stream named by
    the seed and by the number of batches seen, which is a buffer: a resumed run draws the same.

    Args:
        dim: D, the width of the latents.
        config: See `QuantizerConfig`.
        seed: Of the random draws. Initial values of the projections come from torch's
            generator; see `core.seeding.initialising`.
        codebooks: Buffers to learn in that belong to another module, as EnCodec's do; they are
            not registered here. None makes own ones.
    """

    batches: Tensor
    """[] int64: training batches seen."""

    def __init__(
        self,
        dim: int,
        config: QuantizerConfig,
        *,
        seed: int = 0,
        codebooks: Sequence[Codebook] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        width = config.projection or dim
        if codebooks is None:
            own = [EmaCodebook(config.codebook_size, width) for _ in range(config.codebooks)]
            self.own_codebooks = nn.ModuleList(own)
            codebooks = cast(Sequence[Codebook], own)
        # A tuple, which nn.Module does not register: foreign codebooks stay where they are.
        self.levels = tuple(codebooks)
        assert len(self.levels) == config.codebooks
        assert all(level.embed.shape == (config.codebook_size, width) for level in self.levels)
        if config.projection:
            self.project_in = nn.ModuleList(nn.Linear(dim, width) for _ in self.levels)
            self.project_out = nn.ModuleList(nn.Linear(width, dim) for _ in self.levels)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, latents: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise a batch; in training mode the codebooks learn from its valid frames.

        Args:
            latents: [B, D, T].
            mask: [B, T] bool, all True if None. It keeps frames out of the averages and of the
                commitment; they are quantised all the same.
        """
        with torch.autocast(latents.device.type, enabled=False):
            return self._forward(self._prepare(latents), mask)

    @torch.no_grad()
    def encode(self, latents: Tensor) -> Tensor:
        """[B, D, T] float to [B, K, T] int64."""
        with torch.autocast(latents.device.type, enabled=False):
            residual = self._prepare(latents)
            codes = []
            for k in range(len(self.levels)):
                codes.append(nearest(self._enter(k, residual), self.levels[k].embed))
                residual = residual - self._leave(k, self._look_up(k, codes[-1]))
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, K', T] int64 to [B, D, T] float; K' <= K uses the first levels only."""
        with torch.autocast(codes.device.type, enabled=False):
            levels = [
                self._leave(k, self._look_up(k, part)) for k, part in enumerate(codes.unbind(1))
            ]
            return torch.stack(levels).sum(0).transpose(1, 2)

    def _forward(self, frames: Tensor, mask: Tensor | None) -> Quantized:
        B, T, _ = frames.shape
        valid = torch.ones(B, T, dtype=torch.bool, device=frames.device) if mask is None else mask
        generator = self._next_stream() if self.training else None
        kept = self._kept_levels(B, generator).to(frames.device)

        residual, total = frames, torch.zeros_like(frames)
        codes, commitments, uses = [], [], []
        for k, level in enumerate(self.levels):
            vectors = self._enter(k, residual)
            known = vectors.detach()[valid]
            started = generator is not None and self._start(level, known, generator)
            chosen = nearest(vectors.detach(), level.embed)
            code_vectors = self._look_up(k, chosen)
            commitments.append(_masked_mean((vectors - code_vectors).square().mean(-1), valid))
            if self.config.projection:
                code_vectors = _straight_through(vectors, code_vectors)
            contribution = self._leave(k, code_vectors)
            total = total + contribution * (kept > k)[:, None, None]
            residual = residual - contribution.detach()
            codes.append(chosen)
            uses.append(self._learn(level, known, chosen[valid], None if started else generator))

        if not self.config.projection:
            # Once for the sum: level by level the latents would get the gradient K times.
            total = _straight_through(frames, total)
        usage, perplexity = code_statistics(torch.stack(uses))
        return Quantized(
            quantized=total.transpose(1, 2),
            codes=torch.stack(codes, 1),
            commitment=torch.stack(commitments).mean(),
            usage=usage,
            perplexity=perplexity,
        )

    def _prepare(self, latents: Tensor) -> Tensor:
        """[B, D, T] to [B, T, D] in the codebooks' precision."""
        frames = latents.transpose(1, 2).to(self.levels[0].embed.dtype)
        if self.config.normalise_latents:
            frames = F.layer_norm(frames, frames.shape[-1:])
        return frames

    def _enter(self, k: int, residual: Tensor) -> Tensor:
        """The residual in the space of codebook k."""
        if not self.config.projection:
            return residual
        return F.normalize(self.project_in[k](residual), dim=-1)

    def _leave(self, k: int, vectors: Tensor) -> Tensor:
        """From the space of codebook k back to that of the latents."""
        return self.project_out[k](vectors) if self.config.projection else vectors

    def _look_up(self, k: int, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.levels[k].embed)

    def _next_stream(self) -> torch.Generator:
        generator = torch_stream(self.seed, "quantizer", int(self.batches))
        self.batches += 1
        return generator

    def _kept_levels(self, items: int, generator: torch.Generator | None) -> Tensor:
        """[B] int64: how many levels each item keeps."""
        K = len(self.levels)
        if generator is None or not self.config.dropout:
            return torch.full((items,), K)
        reduced = torch.rand(items, generator=generator) < self.config.dropout
        return torch.where(reduced, torch.randint(1, K + 1, (items,), generator=generator), K)

    @torch.no_grad()
    def _start(self, level: Codebook, vectors: Tensor, generator: torch.Generator) -> bool:
        """Fill a codebook that is empty from this batch, rank 0's; tell whether it was."""
        if level.inited.item():
            return False
        size = level.embed.shape[0]
        means, uses = k_means(
            vectors,
            min(size, vectors.shape[0]),
            self.config.kmeans_iterations,
            generator,
            spherical=self.config.projection is not None,
        )
        # With fewer vectors than codes the rest are copies: never chosen, so replaced soon.
        copies = torch.arange(size, device=means.device) % means.shape[0]
        level.embed.copy_(means[copies])
        level.cluster_size.zero_()
        level.cluster_size[: uses.shape[0]] = uses
        for buffer in (level.embed, level.cluster_size):
            _broadcast(buffer)
        level.embed_avg.copy_(level.embed * level.cluster_size[:, None])
        level.inited.fill_(1)
        return True

    @torch.no_grad()
    def _learn(
        self, level: Codebook, vectors: Tensor, codes: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Move the averages towards this batch; gives the uses of each code, [size]."""
        size = level.embed.shape[0]
        chosen = F.one_hot(codes, size).to(vectors.dtype)
        uses = chosen.sum(0)
        if generator is None:
            return uses
        level.cluster_size.lerp_(_sum_over_ranks(uses), 1 - self.config.decay)
        level.embed_avg.lerp_(_sum_over_ranks(chosen.T @ vectors), 1 - self.config.decay)
        total = level.cluster_size.sum()
        epsilon = self.config.epsilon
        smooth = (level.cluster_size + epsilon) / (total + size * epsilon) * total
        level.embed.copy_(self._on_sphere(level.embed_avg / smooth[:, None]))
        self._replace_dead(level, vectors, generator)
        return level.cluster_size.clone()

    def _replace_dead(self, level: Codebook, vectors: Tensor, generator: torch.Generator) -> None:
        """Put vectors of this batch, each at most once, where codes are hardly used.

        A new code starts with twice the uses that count as dead, so that it has time to gather
        its own. (Without that, as in EnCodec's published code, the next update undoes it.)
        """
        share = self.config.dead_code_share * level.cluster_size.mean()
        least = share.clamp(max=self.config.dead_code_uses)
        dead = level.cluster_size < least
        rank = dead.cumsum(0) - 1
        order = torch.randperm(vectors.shape[0], generator=generator).to(vectors.device)
        replaced = dead & (rank < order.shape[0])
        fresh = vectors[order[rank.clamp(0, order.shape[0] - 1)]]
        where = replaced[:, None]
        level.embed.copy_(torch.where(where, fresh, level.embed))
        level.embed_avg.copy_(torch.where(where, fresh * (2 * least), level.embed_avg))
        level.cluster_size.copy_(torch.where(replaced, 2 * least, level.cluster_size))
        for buffer in (level.embed, level.embed_avg, level.cluster_size):
            _broadcast(buffer)

    def _on_sphere(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self.config.projection else vectors


def nearest(vectors: Tensor, codes: Tensor) -> Tensor:
    """Index of the code at the least Euclidean distance: [..., d] and [size, d] to [...] int64."""
    offsets = codes.square().sum(1)
    rows = vectors.reshape(-1, vectors.shape[-1]).split(ROWS_AT_ONCE)
    found = [torch.addmm(offsets, part, codes.T, alpha=-2).argmin(1) for part in rows]
    return torch.cat(found).view(vectors.shape[:-1])


def k_means(
    vectors: Tensor,
    count: int,
    iterations: int,
    generator: torch.Generator,
    *,
    spherical: bool = False,
) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm from `count` different vectors of the batch.

    Args:
        vectors: [n, d], n >= count >= 1.
        count: Number of means.
        iterations: Rounds; 0 gives the picked vectors themselves.
        generator: On the CPU; picks the start.
        spherical: Whether the means are brought back to unit length.

    Returns:
        The means [count, d] and how many vectors are nearest to each, [count].
    """
    picked = torch.randperm(vectors.shape[0], generator=generator)[:count]
    means = vectors[picked.to(vectors.device)]
    for _ in range(iterations):
        chosen = F.one_hot(nearest(vectors, means), count).to(vectors.dtype)
        uses = chosen.sum(0)
        moved = (chosen.T @ vectors) / uses.clamp(min=1)[:, None]
        moved = F.normalize(moved, dim=-1) if spherical else moved
        means = torch.where((uses > 0)[:, None], moved, means)
    return means, F.one_hot(nearest(vectors, means), count).to(vectors.dtype).sum(0)


def code_statistics(uses: Tensor) -> tuple[Tensor, Tensor]:
    """From [..., size] uses: share of codes in use and perplexity, each [...]; see `Quantized`."""
    shares = uses / uses.sum(-1, keepdim=True).clamp(min=1e-12)
    used = (shares > 0) & (shares >= 0.1 / uses.shape[-1])
    perplexity = torch.special.entr(shares).sum(-1).exp()
    return used.to(uses.dtype).mean(-1), perplexity


def _straight_through(source: Tensor, value: Tensor) -> Tensor:
    """Exactly `value`, whose gradient goes to `source` unchanged."""
    return value + (source - source.detach())


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _sum_over_ranks(value: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(value)
    return value


def _broadcast(value: Tensor) -> None:
    if dist.is_available() and dist.is_initialized():
        dist.broadcast(value, src=0)
