"""Training a mel autoencoder: the evidence lower bound, and a patch discriminator on log-mels.

As AudioLDM trains its own (Liu et al. 2023, appendix): reconstruction, a small KL term, and an
adversary that keeps spectrograms from turning to blur. AudioLDM and GenAU have a perceptual loss
besides, LPIPS, of a network that was trained on pictures; matching the adversary's features stands
in its place. For autoencoders over time alone there is a penalty on the adversary's gradients (R1),
as in Make-An-Audio 2, whose author found them unstable or too smooth without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from soundwright.codecs.discriminators import (
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    Verdict,
    frozen,
)
from soundwright.codecs.frames import frame_mask, pad_to_frames
from soundwright.codecs.losses import (
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    gradient_penalty,
    gradient_ratio,
    masked_mean,
)
from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.core.config import Config
from soundwright.core.protocols import AudioBatch, Posterior, StepContext, Turn
from soundwright.core.seeding import initialising


class MelVaeTaskConfig(Config):
    """Configuration of `MelVaeTask`."""

    distance: Literal["absolute", "squared"] = "absolute"
    """Of log-mels in the network's own scale: a Laplace or a normal likelihood."""
    kl: float = Field(default=1e-3, ge=0)
    """Weight of the KL term; both it and the distance are means over elements."""
    adversarial: float = Field(default=0.05, ge=0)
    relative: bool = False
    """Whether `adversarial` is a factor of the distance's gradient: `gradient_ratio` multiplies
    it."""
    features: float = Field(default=0.5, ge=0)
    """Feature matching."""
    r1: float = Field(default=0.0, ge=0)
    """Weight of the penalty on the discriminator's gradients, `gradient_penalty`."""
    r1_every: int = Field(default=1, ge=1)
    """Steps between two penalties, each then so many times as heavy: the same in the mean, and
    cheaper (Karras et al. 2020, appendix B)."""
    adversarial_start: int = Field(default=0, ge=0)
    """The first step with the discriminator."""
    discriminator: PatchDiscriminatorConfig = PatchDiscriminatorConfig()

    @property
    def contested(self) -> bool:
        """Whether the discriminator has any part in the training."""
        return self.adversarial > 0 or self.features > 0


class MelVaeTask:
    """A `TrainingTask` with players "vae" and "discriminator".

    The posterior is sampled by torch's global generator, which the loop seeds in every step.

    Args:
        vae: What is trained.
        config: See `MelVaeTaskConfig`.
        seed: Of the discriminator's initial weights.
    """

    def __init__(
        self, vae: MelAutoencoder[Any], config: MelVaeTaskConfig, *, seed: int = 0
    ) -> None:
        self.vae, self.config = vae, config
        with initialising(seed, "discriminator"):
            self.discriminator = PatchDiscriminator(config.discriminator)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The autoencoder, and the discriminator if it has a part."""
        vae = {"vae": self.vae}
        return {**vae, "discriminator": self.discriminator} if self.config.contested else vae

    @property
    def is_bound_to_ranks(self) -> bool:
        """As in `core.protocols.RankBound`: each rank takes the ratio of its own gradients."""
        return self.config.contested and self.config.relative

    def turns(self, batch: AudioBatch, context: StepContext) -> Iterator[Turn]:
        """The discriminator's turn, in the steps that have one, and the autoencoder's."""
        real, mask = self._take(batch, context.device)
        posterior = self.vae.infer(real)
        fake = self.vae.rebuild(posterior.sample(torch.randn_like(posterior.mean)))
        losses = self._bound(real, fake, posterior, mask)
        config = self.config
        weights: dict[str, float | Tensor] = {
            "kl": config.kl,
            "adversarial": config.adversarial,
            "features": config.features,
        }
        since = context.step - config.adversarial_start
        if config.contested and since >= 0:
            seen_real, seen_fake = self._show(real, mask), self._show(fake, mask)
            yield self._discriminator_turn(seen_real, seen_fake.detach(), since)
            losses |= self._adversarial_losses(seen_real, seen_fake)
            if config.relative:
                ratio = gradient_ratio(losses["distance"], losses["adversarial"], fake)
                weights["adversarial"] = config.adversarial * ratio
        total = torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
        yield Turn("vae", total, losses)

    @torch.no_grad()
    def validate(self, batch: AudioBatch, device: torch.device) -> Mapping[str, float]:
        """Distance and KL without a draw: from the means of the posteriors."""
        real, mask = self._take(batch, device)
        posterior = self.vae.infer(real)
        losses = self._bound(real, self.vae.rebuild(posterior.mean), posterior, mask)
        return {name: float(value) for name, value in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all that a resumed run needs are weights."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""

    def _take(self, batch: AudioBatch, device: torch.device) -> tuple[Tensor, Tensor]:
        """Log-mels [B, M, T * compression] and their mask [B, T * compression]."""
        hop = self.vae.config.hop_length
        mask = pad_to_frames(batch.mask.to(device), hop)
        waveform = pad_to_frames(batch.waveform.to(device), hop)[:, 0] * mask
        return self.vae.mels(waveform), frame_mask(mask, self.vae.config.mel.hop_length)

    def _bound(
        self, real: Tensor, fake: Tensor, posterior: Posterior, mask: Tensor
    ) -> dict[str, Tensor]:
        """The two parts of the evidence lower bound."""
        apart = (real - fake) / self.vae.config.spread
        apart = apart.abs() if self.config.distance == "absolute" else apart.square()
        frames = frame_mask(mask, self.vae.config.compression)
        return {
            "distance": masked_mean(apart, mask[:, None]),
            "kl": kl_divergence(posterior, frames),
        }

    def _show(self, mel: Tensor, mask: Tensor) -> Tensor:
        """A spectrogram as the discriminator sees it: [B, 1, M, F], 0 where the mask is False."""
        config = self.vae.config
        return ((mel - config.center) / config.spread * mask[:, None])[:, None]

    def _discriminator_turn(self, real: Tensor, fake: Tensor, since: int) -> Turn:
        on_real, on_fake = self.discriminator(torch.cat([real, fake])).split(real.shape[0])
        metrics = {"real_logit": on_real.logits.mean(), "fake_logit": on_fake.logits.mean()}
        loss = discriminator_hinge([on_real], [on_fake])
        every = self.config.r1_every
        if self.config.r1 and (since + 1) % every == 0:
            metrics["r1"] = self._penalty(real)
            loss = loss + self.config.r1 * every * metrics["r1"]
        return Turn("discriminator", loss, metrics)

    def _penalty(self, real: Tensor) -> Tensor:
        """R1 in fp32: second derivatives do not bear bf16."""
        with torch.autocast(real.device.type, enabled=False):
            seen = real.detach().float().requires_grad_()
            return gradient_penalty(self.discriminator(seen).logits, seen)

    def _adversarial_losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        with frozen(self.discriminator):
            on_fake: Verdict = self.discriminator(fake)
            with torch.no_grad():
                on_real: Verdict = self.discriminator(real)
        return {
            "adversarial": generator_hinge([on_fake]),
            "features": feature_matching([on_real], [on_fake]),
        }


def kl_divergence(posterior: Posterior, mask: Tensor) -> Tensor:
    """KL from the standard normal distribution in nats, mean over the elements of valid frames.

    (m^2 + s^2 - 1 - ln s^2) / 2 (Kingma & Welling 2014, appendix B).

    Args:
        posterior: Of latents [B, C, T, ...].
        mask: [B, T] bool.
    """
    mean, deviation = posterior.mean, posterior.deviation
    nats = (mean.square() + deviation.square() - 1) / 2 - deviation.log()
    shape = (mask.shape[0], 1, mask.shape[1], *[1] * (mean.ndim - 3))
    return masked_mean(nats, mask.view(shape))
