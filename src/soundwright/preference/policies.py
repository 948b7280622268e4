"""Models as preference optimisation sees them: one number a sound, how well they predict it.

For a language model the score of a sound is the sum of the log-probabilities of its tokens; for a
diffusion model, of noise or of flow, it is s = -1/2 reduce(ω ||target - prediction||²) at one time
and with one noise (see `diffusion.scoring`). Losses compare scores of one model in training with
those of a reference, and never see more of either.

Sounds that were drawn with guidance are not what the model without guidance would draw: for a
language model pairs are off-policy to that extent, as they are in every such training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.protocols import LatentBatch, Posterior, TextEncoder, TextStates, TokenBatch
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.network import Network
from soundwright.diffusion.objective import Reduction
from soundwright.diffusion.scoring import ScoringConfig, draw_scores, score
from soundwright.lm.likelihood import sum_likelihoods
from soundwright.lm.model import AudioLm
from soundwright.nn.dropout import disable_dropout

Frames = TypeVar("Frames", bound=TokenBatch | LatentBatch)
Role = Literal["winner", "loser", "mismatched"]
"""What a sound is in its pair; mismatched is a winner with the prompt of another pair."""


@dataclass(frozen=True)
class Sounds(Generic[Frames]):
    """Sounds that shall be scored, one a row."""

    frames: Frames
    """With the prompts as its texts."""
    pairs: tuple[str, ...]
    """Id of the pair to which each belongs."""
    roles: tuple[Role, ...]
    epochs: tuple[int, ...]
    """In which the pair is looked at, from 0; with the pair, it names the noise."""


class ScoredPolicy(Protocol[Frames]):
    """A model whose view of sounds can be compared with a reference's.

    Scores are those of each row by itself, whatever its batch mates, and without dropout.
    """

    @property
    def player(self) -> str:
        """Name of the part of its model folder that is trained: lm, unet, dit, fit."""
        ...

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    @property
    def depends_on_epoch(self) -> bool:
        """Whether the score of a sound is another one in another epoch."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """JSON values that, besides weights, decide on scores."""
        ...

    def score(self, sounds: Sounds[Frames]) -> Tensor:
        """[rows] fp32; more is better. With gradients where they are enabled."""
        ...

    def own_losses(self, sounds: Sounds[Frames], scores: Tensor) -> Tensor:
        """[rows]: what each sound alone would cost in the model's own training, from its score."""
        ...

    def of(self, module: nn.Module) -> Self:
        """The same view through another module of the same shape."""
        ...


class TokenScoring(Config):
    """What the score of a sound's tokens is. β has a meaning only together with it."""

    reduction: Reduction = "sum"
    """Over tokens. A β of 0.1, as language models of text have it, goes with the sum."""
    first_codebook: bool = False
    """Count the tokens of the first codebook alone."""


class TokenPolicy:
    """A `ScoredPolicy` that is a language model.

    Args:
        lm: The model; its dropout is taken out.
        text_encoder: Frozen.
        config: What a score is.
    """

    player = "lm"
    depends_on_epoch = False

    def __init__(self, lm: AudioLm, text_encoder: TextEncoder, config: TokenScoring) -> None:
        disable_dropout(lm)
        self.module, self.config = lm, config
        self._encoder = text_encoder

    def describe(self) -> Mapping[str, Any]:
        """The configuration, and the text encoder."""
        return {"tokens": self.config.plain(), "text": self._encoder.identity}

    def score(self, sounds: Sounds[TokenBatch]) -> Tensor:
        """Sums, or means, of log-probabilities."""
        frames = sounds.frames
        device = self.module.out_norm.weight.device
        sums, counts = sum_likelihoods(
            self.module,
            frames.tokens.to(device),
            frames.mask.to(device),
            _encode(self._encoder, frames.texts, device),
            first_only=self.config.first_codebook,
        )
        return sums if self.config.reduction == "sum" else sums / counts.clamp_min(1)

    def own_losses(self, sounds: Sounds[TokenBatch], scores: Tensor) -> Tensor:
        """Cross-entropy: a mean over tokens."""
        if self.config.reduction == "mean":
            return -scores
        mask = sounds.frames.mask.to(scores.device)
        held = self.module.pattern.holds(mask.shape[1], mask.shape[1] + 1, scores.device)[:, 1:]
        held = held[:1] if self.config.first_codebook else held
        return -scores / (held & mask[:, None]).flatten(1).sum(1).clamp_min(1)

    def of(self, module: nn.Module) -> TokenPolicy:
        """The same view through another language model."""
        assert isinstance(module, AudioLm)
        return TokenPolicy(module, self._encoder, self.config)


class DenoisingPolicy:
    """A `ScoredPolicy` that is a diffusion model, of noise or of flow.

    Where in its posterior a latent lies, the noise and the time all follow from the seed, the pair
    and the epoch.

    Args:
        network: The model; its dropout is taken out.
        conditioner: Frozen. Both sides of a pair are conditioned by its prompt.
        config: What a score is.
        seed: Of the run.
    """

    depends_on_epoch = True

    def __init__(
        self, network: Network, conditioner: Conditioner, config: ScoringConfig, seed: int
    ) -> None:
        disable_dropout(network)
        self.module, self.config, self.seed = network, config, seed
        self._conditioner = conditioner

    @property
    def player(self) -> str:
        """unet, dit or fit."""
        return self.module.player

    def describe(self) -> Mapping[str, Any]:
        """The configuration, who reads prompts, and the seed."""
        described = {"noise": self.config.plain(), **self._conditioner.describe()}
        return {**described, "seed": self.seed}

    def score(self, sounds: Sounds[LatentBatch]) -> Tensor:
        """-1/2 times the weighted squared error."""
        frames, device = sounds.frames, self.module.device
        shape = frames.mean.shape[1:]
        rows = [
            draw_scores(
                (pair,),
                "loser" if role == "loser" else "winner",
                epoch,
                shape,
                self.seed,
                shared=self.config.shared,
            )
            for pair, role, epoch in zip(sounds.pairs, sounds.roles, sounds.epochs, strict=True)
        ]
        shares, noise, places = (torch.cat(part) for part in zip(*rows, strict=True))
        latents = Posterior(frames.mean.float(), frames.deviation.float()).sample(places)
        return score(
            self.module,
            latents.to(device),
            shares,
            noise,
            self._conditioner.read(frames.texts),
            self.config,
            frames.mask.to(device),
        )

    def own_losses(self, sounds: Sounds[LatentBatch], scores: Tensor) -> Tensor:
        """Weighted squared error: a mean over elements."""
        if self.config.reduction == "mean":
            return -2 * scores
        frames = sounds.frames
        counted = torch.ones_like(frames.mask) if self.config.padding else frames.mask
        each = frames.mean[0, :, 0].numel()
        return -2 * scores / (counted.sum(1).clamp_min(1) * each).to(scores.device)

    def of(self, module: nn.Module) -> DenoisingPolicy:
        """The same view through another network."""
        assert isinstance(module, Network)
        return DenoisingPolicy(module, self._conditioner, self.config, self.seed)


def with_texts(frames: Frames, texts: tuple[str, ...]) -> Frames:
    """The same frames with other texts."""
    return replace(frames, texts=texts)


def _encode(encoder: TextEncoder, texts: tuple[str, ...], device: torch.device) -> TextStates:
    with torch.no_grad():
        text = encoder.encode(texts)
    return TextStates(text.states.to(device), text.mask.to(device), text.sentence.to(device))
