"""Training a codec against discriminators: the task that the training loop runs.

Section 3.4 of EnCodec (Défossez et al. 2022), with AudioCraft's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from soundwright.codecs.balancer import Balancer
from soundwright.codecs.discriminators import Discriminator, DiscriminatorConfig, frozen
from soundwright.codecs.frames import pad_to_frames
from soundwright.codecs.losses import (
    LogMelError,
    MelLossConfig,
    MultiResolutionStftLoss,
    MultiScaleMelLoss,
    StftLossConfig,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    waveform_l1,
)
from soundwright.codecs.quantizer import Quantized
from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import AudioBatch, StepContext, Turn
from soundwright.core.seeding import initialising


@dataclass(frozen=True)
class CodecOutput:
    """What a codec in training makes of a batch."""

    reconstruction: Tensor
    """[B, C, N], as long as the waveform."""
    quantised: Quantized | None = None
    """What the quantiser did; None for a codec that has none, such as a vocoder."""


class TrainableCodec(Protocol):
    """A codec that `CodecTask` can train; it is an `nn.Module` besides."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """C."""
        ...

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        ...

    def forward_training(self, waveform: Tensor, mask: Tensor) -> CodecOutput:
        """Reconstruct a batch; in training mode the codebooks learn from it.

        Args:
            waveform: [B, C, N]; N is a multiple of `hop_length`.
            mask: [B, N] bool.
        """
        ...


PerceptualLoss = Callable[[Tensor, Tensor], Tensor]
"""(real, fake), each [B, C, N], to a scalar that is differentiable in `fake`."""


class LossWeights(Config):
    """Weights of the losses on the waveform; 0 leaves a loss out. The defaults are EnCodec's."""

    adversarial: float = Field(default=4.0, ge=0)
    features: float = Field(default=4.0, ge=0)
    """Feature matching."""
    waveform: float = Field(default=0.1, ge=0)
    """L1 in time."""
    mel: float = Field(default=2.0, ge=0)
    """`MultiScaleMelLoss`."""
    stft: float = Field(default=0.0, ge=0)
    """`MultiResolutionStftLoss`."""
    perceptual: float = Field(default=0.0, ge=0)
    """The loss that the task is handed, if any."""


class CodecTaskConfig(Config):
    """Configuration of `CodecTask`."""

    weights: LossWeights = LossWeights()
    balanced: bool = True
    """Whether weights are shares of the gradient (EnCodec's balancer) or plain factors."""
    balancer_decay: float = Field(default=0.999, ge=0, lt=1)
    gradient_norm: float = Field(default=1.0, gt=0)
    """The balancer's total norm, per item."""
    commitment: float = Field(default=1.0, ge=0)
    """Plain factor of the commitment loss, which is never balanced: it has no gradient with
    respect to the reconstruction."""
    adversarial_start: int = Field(default=0, ge=0)
    """The first step with discriminators."""
    discriminator_every: int = Field(default=1, ge=1)
    """Steps between the discriminators' moves."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    mel: MelLossConfig = MelLossConfig()
    stft: StftLossConfig = StftLossConfig()

    @model_validator(mode="after")
    def _check(self) -> CodecTaskConfig:
        weights = self.weights
        if not any((weights.waveform, weights.mel, weights.stft)):
            raise ValueError("weights: one of waveform, mel and stft must be above 0")
        return self

    @property
    def adversarial(self) -> bool:
        """Whether discriminators have any part in the training."""
        return self.weights.adversarial > 0 or self.weights.features > 0


class CodecTask:
    """A `TrainingTask` with players "generator", the codec, and "discriminator".

    The codec runs once a step. The discriminators move first, on that reconstruction; then the
    generator's losses are taken with the discriminators as they are now.

    Args:
        codec: A module that is a `TrainableCodec`.
        config: See `CodecTaskConfig`.
        seed: Of the discriminators' initial weights.
        perceptual: A loss to weigh with `weights.perceptual`.

    Raises:
        ConfigError: `weights.perceptual` is above 0 without a loss.
    """

    def __init__(
        self,
        codec: nn.Module,
        config: CodecTaskConfig,
        *,
        seed: int = 0,
        perceptual: PerceptualLoss | None = None,
    ) -> None:
        if config.weights.perceptual and perceptual is None:
            raise ConfigError(
                "weights.perceptual is above 0, and there is no perceptual loss.",
                change="Hand the task a loss or set the weight to 0.",
            )
        self.config = config
        self.codec = codec
        self.perceptual = perceptual
        self._trainable = cast(TrainableCodec, codec)
        with initialising(seed, "discriminator"):
            self.discriminator = Discriminator(config.discriminator, self._trainable.channels)
        self.balancer = Balancer(
            config.weights.plain(),
            decay=config.balancer_decay,
            total_norm=config.gradient_norm,
        )
        rate = self._trainable.sample_rate
        self._mel = MultiScaleMelLoss(config.mel, rate)
        self._stft = MultiResolutionStftLoss(config.stft)
        self._log_mel_error = LogMelError(rate)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The codec, and the discriminators if they have a part."""
        generator = {"generator": self.codec}
        if not self.config.adversarial:
            return generator
        return {**generator, "discriminator": self.discriminator}

    def turns(self, batch: AudioBatch, context: StepContext) -> Iterator[Turn]:
        """The discriminators' turn, in the steps that have one, and the generator's."""
        real, mask = self._take(batch, context.device)
        output = self._trainable.forward_training(real, mask)
        fake = output.reconstruction.float() * mask[:, None]

        contested = self.config.adversarial and context.step >= self.config.adversarial_start
        since_start = context.step - self.config.adversarial_start
        if contested and since_start % self.config.discriminator_every == 0:
            yield self._discriminator_turn(real, fake.detach())
        yield self._generator_turn(real, fake, mask, output.quantised, context, contested)

    @torch.no_grad()
    def validate(self, batch: AudioBatch, device: torch.device) -> Mapping[str, float]:
        """Losses that need no discriminator, and the log-mel error."""
        training = self.codec.training
        self.codec.eval()
        real, mask = self._take(batch, device)
        output = self._trainable.forward_training(real, mask)
        self.codec.train(training)
        fake = output.reconstruction.float() * mask[:, None]
        metrics = {
            **self._plain_losses(real, fake, mask),
            "log_mel_error": self._log_mel_error(real, fake, mask),
        }
        if output.quantised is not None:
            metrics["commitment"] = output.quantised.commitment
        return {name: float(value) for name, value in metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        """The balancer's running means; the quantiser's draws are counted in the codec itself."""
        return {"balancer": self.balancer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.balancer.load_state_dict(state["balancer"])

    def _take(self, batch: AudioBatch, device: torch.device) -> tuple[Tensor, Tensor]:
        """Waveform [B, C, T * hop] and mask [B, T * hop] on the device."""
        for module in (self._mel, self._stft, self._log_mel_error):
            module.to(device)
        hop = self._trainable.hop_length
        waveform = pad_to_frames(batch.waveform.to(device), hop)
        return waveform, pad_to_frames(batch.mask.to(device), hop)

    def _discriminator_turn(self, real: Tensor, fake: Tensor) -> Turn:
        verdicts = [
            verdict.split(real.shape[0]) for verdict in self.discriminator(torch.cat([real, fake]))
        ]
        on_real = [verdict[0] for verdict in verdicts]
        on_fake = [verdict[1] for verdict in verdicts]
        metrics = {
            "real_logit": torch.stack([verdict.logits.mean() for verdict in on_real]).mean(),
            "fake_logit": torch.stack([verdict.logits.mean() for verdict in on_fake]).mean(),
        }
        return Turn("discriminator", discriminator_hinge(on_real, on_fake), metrics)

    def _generator_turn(
        self,
        real: Tensor,
        fake: Tensor,
        mask: Tensor,
        quantised: Quantized | None,
        context: StepContext,
        contested: bool,
    ) -> Turn:
        losses = self._plain_losses(real, fake, mask)
        if contested:
            losses |= self._adversarial_losses(real, fake)
        metrics: dict[str, float | Tensor] = dict(losses)
        if self.config.balanced:
            balanced = self.balancer.balance(losses, fake)
            loss = balanced.loss
            metrics |= {f"gradient_norm/{name}": norm for name, norm in balanced.norms.items()}
        else:
            weighted = [self.balancer.weights[name] * part for name, part in losses.items()]
            loss = torch.stack(weighted).sum()
        if quantised is not None:
            loss = loss + self.config.commitment * quantised.commitment
            metrics |= _codebook_metrics(quantised)
        if context.wants_metrics:
            with torch.no_grad():
                metrics["log_mel_error"] = self._log_mel_error(real, fake, mask)
        return Turn("generator", loss, metrics)

    def _plain_losses(self, real: Tensor, fake: Tensor, mask: Tensor) -> dict[str, Tensor]:
        weights = self.config.weights
        losses: dict[str, Tensor] = {}
        if weights.waveform:
            losses["waveform"] = waveform_l1(real, fake, mask)
        if weights.mel:
            losses["mel"] = self._mel(real, fake, mask)
        if weights.stft:
            losses["stft"] = self._stft(real, fake, mask)
        if self.perceptual is not None and weights.perceptual:
            losses["perceptual"] = self.perceptual(real, fake)
        return losses

    def _adversarial_losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        weights = self.config.weights
        losses: dict[str, Tensor] = {}
        with frozen(self.discriminator):
            on_fake = self.discriminator(fake)
            if weights.adversarial:
                losses["adversarial"] = generator_hinge(on_fake)
            if weights.features:
                with torch.no_grad():
                    on_real = self.discriminator(real)
                losses["features"] = feature_matching(on_real, on_fake)
        return losses


def _codebook_metrics(quantised: Quantized) -> dict[str, float | Tensor]:
    metrics: dict[str, float | Tensor] = {"commitment": quantised.commitment}
    for k in range(quantised.usage.shape[0]):
        metrics[f"codebook_usage/{k}"] = quantised.usage[k]
        metrics[f"codebook_perplexity/{k}"] = quantised.perplexity[k]
    return metrics
