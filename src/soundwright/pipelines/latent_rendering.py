"""From prompts to waveforms, with a diffusion model, a latent codec and encoders at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from soundwright.audio.limiting import limit
from soundwright.codecs.mel_codec import MelCodec
from soundwright.core.devices import Precision, autocast, supports_bf16
from soundwright.core.errors import UserError, nearest
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.evidence import measure_evidence
from soundwright.diffusion.network import Network
from soundwright.diffusion.sampling import Progress, sample
from soundwright.pipelines.making import Item
from soundwright.pipelines.settings import LatentGenerationConfig
from soundwright.pipelines.waveforms import LIMITER_REACH_S, LOUDEST
from soundwright.text.preparation import PreparationConfig, prepare


class LatentRenderer:
    """Draws latents for prompts and turns them into sound.

    Args:
        network: In evaluation mode.
        codec: In evaluation mode; it may be on another device.
        conditioner: Reads prompts as the network does.
        preparation: What prompts go through first, as captions did in training.
        precision: Of the network's arithmetic.
    """

    def __init__(
        self,
        network: Network,
        codec: MelCodec,
        conditioner: Conditioner,
        preparation: PreparationConfig,
        precision: Precision = "fp32",
    ) -> None:
        self._network, self._codec, self._conditioner = network, codec, conditioner
        self._preparation = preparation
        self._precision: Precision = precision
        self.sample_rate, self.channels = codec.sample_rate, codec.channels

    def draw_latents(
        self,
        items: Sequence[Item],
        config: LatentGenerationConfig,
        *,
        negative: str | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Latents [B, C, T, ...] of a batch of items, on the CPU.

        Args:
            items: Prompts and seeds.
            config: Duration, guidance and sampler.
            negative: What all are guided away from, in the place of no text.
            progress: Told the number of evaluations of the network done, and of all.

        Raises:
            UserError: As `diffusion.sampling.sample`, or the sound would be longer than the model
                has positions for.
        """
        channels, *rest = self._codec.latent_shape
        frames = math.ceil(config.duration * self.sample_rate / self._codec.hop_length)
        self._check_length(config.duration, frames)
        with autocast(self._network.device, self._precision):
            return sample(
                self._network,
                (channels, frames, *rest),
                self._conditioner.read(self._prepare([prompt for prompt, _ in items])),
                [seed for _, seed in items],
                config.sampling(),
                negative=self._read_negative(negative, len(items)),
                progress=progress,
            ).cpu()

    @torch.inference_mode()
    def finish(self, latents: Tensor, duration: float) -> Tensor:
        """The waveform [C, N] of latents [C', T, ...], N = duration * sample_rate."""
        device = next(self._codec.parameters()).device
        samples = self._codec.decode(latents[None].to(device))[0].float().cpu()
        wanted = round(duration * self.sample_rate)
        return limit(samples[:, :wanted], LOUDEST, round(LIMITER_REACH_S * self.sample_rate))

    def weigh(self, prompt: str, latents: Tensor, negative: str | None = None) -> float:
        """How much of a sound its prompt explains; see `diffusion.evidence`."""
        return measure_evidence(
            self._network,
            latents,
            self._conditioner.read(self._prepare([prompt])),
            self._read_negative(negative, 1),
        )

    def _check_length(self, duration: float, frames: int) -> None:
        limit = self._network.frame_limit
        if limit is not None and frames > limit:
            longest = limit * self._codec.hop_length / self.sample_rate
            raise UserError(
                f"{duration:g} s are more than the model has positions for.",
                expected=f"at most {longest:g} s, a little less for a loop",
            )

    def _prepare(self, prompts: Sequence[str]) -> list[str]:
        return [prepare(prompt, self._preparation) for prompt in prompts]

    def _read_negative(self, prompt: str | None, count: int) -> Conditions | None:
        if prompt is None:
            return None
        return self._conditioner.read_negative(self._prepare([prompt] * count))


def choose_precision(dtype: str, device: torch.device) -> Precision:
    """What `dtype` means for a diffusion model: "auto" is bf16 on a GPU that can, else fp32.

    Raises:
        UserError: There is no such precision, or the device cannot work in it.
    """
    if dtype == "int8":
        raise UserError(
            "int8 is for language models; a diffusion model works in floating point.",
            expected="auto, fp32 or bf16",
        )
    if dtype not in ("auto", "fp32", "bf16"):
        raise UserError(
            f"There is no dtype {dtype!r}.", expected=nearest(dtype, ("auto", "fp32", "bf16"))
        )
    is_gain = device.type == "cuda" and supports_bf16(device)
    if dtype == "auto":
        return "bf16" if is_gain else "fp32"
    if dtype == "bf16" and device.type == "cuda" and not is_gain:
        raise UserError("This GPU cannot work in bf16.", change="Take --dtype fp32.")
    return "bf16" if dtype == "bf16" else "fp32"
