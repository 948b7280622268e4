"""The diffusion model's training task: noise on latents, and how well the network undoes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import (
    LatentBatch,
    Posterior,
    StepContext,
    TextEncoder,
    TextStates,
    Turn,
)
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.flow import FlowConfig
from soundwright.diffusion.network import LatentUnet
from soundwright.diffusion.objective import squared_errors
from soundwright.nn.dropout import activation_dropout

PARTS = ("low", "middle", "high")
"""Thirds of the way from latents to noise."""


class DiffusionTaskConfig(Config):
    """What a diffusion model is trained for. The defaults are Tango's."""

    min_snr: float | None = Field(default=5.0, gt=0)
    """γ of min-SNR weights; null weighs all times alike. For noise alone, not for flow."""
    text_dropping: float = Field(default=0.1, ge=0, le=1)
    """Share of items whose text is hidden."""
    padding: bool = True
    """Whether frames beyond the end of a clip, which hold silence, count too, as in Tango."""
    validation_times: int = Field(default=4, ge=1)
    """Times, spread evenly over those of training, at which each validation batch is seen."""


class Draws(NamedTuple):
    """The chance of a batch: all of an item's comes from streams of its own."""

    posterior: Tensor
    """[B, C, T, F] standard normal: where in its posterior each latent lies."""
    noise: Tensor
    """[B, C, T, F] standard normal."""
    shares: Tensor
    """[B] float64 in [0, 1): from which times come."""
    dropped: Tensor
    """[B] bool: items whose text is hidden."""


class DiffusionTask:
    """Equation 4, with the weights and the target that are asked for.

    A `core.protocols.TrainingTask` over `LatentBatch` with one player, "unet". Everything random is
    named by the number of an item's draw, so that a step is the same on one rank and on many, and
    a resumed run needs no state.

    Args:
        network: The model in training.
        text_encoder: Frozen; its width is the network's `text_width`.
        config: What is trained.
        seed: Of the run.

    Raises:
        ConfigError: Encoder, network and configuration do not fit together.
    """

    def __init__(
        self, network: LatentUnet, text_encoder: TextEncoder, config: DiffusionTaskConfig, seed: int
    ) -> None:
        _check_fit(network, text_encoder, config)
        self.network = network
        self.text_encoder = text_encoder
        self.config = config
        self.seed = seed

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The U-Net alone: text encoder and codec are frozen."""
        return {"unet": self.network}

    def turns(self, batch: LatentBatch, context: StepContext) -> Iterator[Turn]:
        """Yield one turn: the mean of the items' weighted errors."""
        # In a method of its own, so that the graphs of micro-batches are not all kept in memory.
        loss, metrics = self._lose(batch, context)
        yield Turn("unet", loss, {"loss": loss, **metrics})

    def _lose(self, batch: LatentBatch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        draws = self._draw(batch)
        times = self.network.process.times_at(draws.shares)
        text = self._encode(batch, context.device)
        # An item's own activations are dropped in the order of the batch.
        stream = ("diffusion", "dropout", *batch.draws[:1])
        with activation_dropout(self.seed, *stream, device=context.device):
            errors = self._errors(batch, text, draws, times, draws.dropped)
        weights = self.network.process.weights(times, self.config.min_snr)
        loss = (weights.to(errors.device) * errors).mean()
        metrics = {"mse": errors.mean()}
        if context.wants_metrics:
            levels = self.network.process.level(times)
            for number, name in enumerate(PARTS):
                here = (levels * len(PARTS)).long() == number
                if bool(here.any()):
                    metrics[f"mse/{name}"] = errors[here.to(errors.device)].mean()
        return loss, metrics

    @torch.no_grad()
    def validate(self, batch: LatentBatch, device: torch.device) -> Mapping[str, float]:
        """Loss and errors at fixed times and noise: of the whole, of each third, without text.

        "mse" and "loss" are with text; "mse/no_text" minus "mse" tells what the text is worth.
        """
        was_training = self.network.training
        self.network.eval()
        text = self._encode(batch, device)
        process, count = self.network.process, self.config.validation_times
        found: dict[str, list[Tensor]] = {}
        for number in range(count):
            draws = self._draw_validation(batch, (number + 0.5) / count)
            times = process.times_at(draws.shares)
            weights = process.weights(times, self.config.min_snr).to(device)
            errors = self._errors(batch, text, draws, times, draws.dropped)
            hidden = self._errors(batch, text, draws, times, torch.ones_like(draws.dropped))
            part = PARTS[int(process.level(times)[0] * len(PARTS))]
            found.setdefault("loss", []).append((weights * errors).mean())
            found.setdefault("mse", []).append(errors.mean())
            found.setdefault("mse/no_text", []).append(hidden.mean())
            found.setdefault(f"mse/{part}", []).append(errors.mean())
        self.network.train(was_training)
        return {name: float(torch.stack(values).mean()) for name, values in found.items()}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all streams are named by the draw."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""

    def _encode(self, batch: LatentBatch, device: torch.device) -> TextStates:
        with torch.no_grad():
            text = self.text_encoder.encode(batch.texts)
        return TextStates(text.states.to(device), text.mask.to(device), text.sentence.to(device))

    def _errors(
        self, batch: LatentBatch, text: TextStates, draws: Draws, times: Tensor, dropped: Tensor
    ) -> Tensor:
        """[B]: squared error of each item, unweighted."""
        device = text.states.device
        posterior = Posterior(batch.mean.to(device).float(), batch.deviation.to(device).float())
        latents = posterior.sample(draws.posterior.to(device))
        noise = draws.noise.to(device)
        process = self.network.process
        noisy = process.corrupt(latents, noise, times)
        prediction = self.network(noisy, times, text.states, text.mask, dropped.to(device))
        mask = None if self.config.padding else batch.mask.to(device)
        return squared_errors(prediction, process.target(latents, noise, times), mask)

    def _draw(self, batch: LatentBatch) -> Draws:
        """What the numbers of the items' draws say."""
        if len(batch.draws) != len(batch.texts):
            raise ValueError("the batch does not say the numbers of its items' draws")
        parts = [self._draw_item(batch.mean.shape[1:], "diffusion", draw) for draw in batch.draws]
        posterior, noise, uniforms = (torch.stack(part) for part in zip(*parts, strict=True))
        return Draws(posterior, noise, uniforms[:, 0], uniforms[:, 1] < self.config.text_dropping)

    def _draw_validation(self, batch: LatentBatch, share: float) -> Draws:
        """Noise by an item's place in the batch; one time for all."""
        items = len(batch.texts)
        parts = [
            self._draw_item(batch.mean.shape[1:], "diffusion validation", place)
            for place in range(items)
        ]
        posterior, noise, _ = (torch.stack(part) for part in zip(*parts, strict=True))
        shares = torch.full((items,), share, dtype=torch.float64)
        return Draws(posterior, noise, shares, torch.zeros(items, dtype=torch.bool))

    def _draw_item(self, shape: torch.Size, name: str, number: int) -> tuple[Tensor, ...]:
        stream = torch_stream(self.seed, name, number)
        uniforms = torch.rand(2, generator=stream, dtype=torch.float64)
        posterior, noise = torch.randn(2, *shape, generator=stream)
        return posterior, noise, uniforms


def _check_fit(network: LatentUnet, text_encoder: TextEncoder, config: DiffusionTaskConfig) -> None:
    if text_encoder.width != network.config.text_width:
        raise ConfigError(
            f"The text encoder gives states of width {text_encoder.width}, "
            f"the U-Net reads {network.config.text_width}.",
            change=f"Set unet.text_width={text_encoder.width}.",
        )
    if config.min_snr is not None and isinstance(network.config.process, FlowConfig):
        raise ConfigError(
            f"min_snr is {config.min_snr}, but a flow has no such weights.",
            change="Set min_snr=null.",
        )
