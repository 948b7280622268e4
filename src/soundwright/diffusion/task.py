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
    Turn,
)
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.flow import FlowConfig
from soundwright.diffusion.network import Network
from soundwright.diffusion.objective import squared_errors
from soundwright.nn.dropout import activation_dropout

PARTS = ("low", "middle", "high")
"""Thirds of the way from latents to noise."""


class DiffusionTaskConfig(Config):
    """What a diffusion model is trained for. The defaults are Tango's."""

    min_snr: float | None = Field(default=5.0, gt=0)
    """γ of min-SNR weights; null weighs all times alike. For noise alone, not for flow."""
    text_dropping: float = Field(default=0.1, ge=0, le=1)
    """Share of items whose conditions are hidden, all of them together."""
    padding: bool = True
    """Whether frames beyond the end of a clip, which hold silence, count too, as in Tango."""
    validation_times: int = Field(default=4, ge=1)
    """Times, spread evenly over those of training, at which each validation batch is seen."""


class Draws(NamedTuple):
    """The chance of a batch: all of an item's comes from streams of its own."""

    posterior: Tensor
    """[B, C, T, ...] standard normal: where in its posterior each latent lies."""
    noise: Tensor
    """[B, C, T, ...] standard normal."""
    shares: Tensor
    """[B] float64 in [0, 1): from which times come."""
    dropped: Tensor
    """[B] bool: items whose conditions are hidden."""


class DiffusionTask:
    """Equation 4, with the weights and the target that are asked for.

    A `core.protocols.TrainingTask` over `LatentBatch` with one player, the network. Everything
    random is named by the number of an item's draw, so that a step is the same on one rank and on
    many, and a resumed run needs no state.

    Args:
        network: The model in training.
        conditioner: Frozen; its widths are the network's.
        config: What is trained.
        seed: Of the run.

    Raises:
        ConfigError: Conditioner, network and configuration do not fit together.
    """

    def __init__(
        self, network: Network, conditioner: Conditioner, config: DiffusionTaskConfig, seed: int
    ) -> None:
        _check_fit(network, conditioner, config)
        self.network = network
        self.conditioner = conditioner
        self.config = config
        self.seed = seed

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The network alone: text encoder, vectors and codec are frozen."""
        return {self.network.player: self.network}

    def turns(self, batch: LatentBatch, context: StepContext) -> Iterator[Turn]:
        """Yield one turn: the mean of the items' weighted errors."""
        # In a method of its own, so that the graphs of micro-batches are not all kept in memory.
        loss, metrics = self._lose(batch, context)
        yield Turn(self.network.player, loss, {"loss": loss, **metrics})

    def _lose(self, batch: LatentBatch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        draws = self._draw(batch)
        times = self.network.process.times_at(draws.shares)
        conditions = self.conditioner.read_batch(batch, self.seed).to(context.device)
        # An item's own activations are dropped in the order of the batch.
        stream = ("diffusion", "dropout", *batch.draws[:1])
        with activation_dropout(self.seed, *stream, device=context.device):
            errors = self._errors(batch, conditions.hide(draws.dropped), draws, times)
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

        "mse" and "loss" are with the conditions of captions, as when prompts are read;
        "mse/no_text" minus "mse" tells what they are worth.
        """
        was_training = self.network.training
        self.network.eval()
        conditions = self.conditioner.read_batch(batch).to(device)
        process, count = self.network.process, self.config.validation_times
        found: dict[str, list[Tensor]] = {}
        for number in range(count):
            draws = self._draw_validation(batch, (number + 0.5) / count)
            times = process.times_at(draws.shares)
            weights = process.weights(times, self.config.min_snr).to(device)
            errors = self._errors(batch, conditions, draws, times)
            hidden = self._errors(batch, conditions.nulls(), draws, times)
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

    def _errors(
        self, batch: LatentBatch, conditions: Conditions, draws: Draws, times: Tensor
    ) -> Tensor:
        """[B]: squared error of each item, unweighted."""
        device = conditions.text.states.device
        posterior = Posterior(batch.mean.to(device).float(), batch.deviation.to(device).float())
        latents = posterior.sample(draws.posterior.to(device))
        noise = draws.noise.to(device)
        process = self.network.process
        noisy = process.corrupt(latents, noise, times)
        prediction = self.network(noisy, times, conditions)
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


def _check_fit(network: Network, conditioner: Conditioner, config: DiffusionTaskConfig) -> None:
    shape, width = network.config, conditioner.text_encoder.width
    if width != shape.text_width:
        raise ConfigError(
            f"The text encoder gives states of width {width}, "
            f"the network reads {shape.text_width}.",
            change=f"Set {network.player}.text_width={width}.",
        )
    wide = conditioner.vector_width
    if wide != shape.vector_width:
        raise ConfigError(
            f"The vectors of the conditions are {wide or 'not there'}, "
            f"the network reads {shape.vector_width or 'none'}.",
            expected="the width of those vectors, or null where conditions.vector is null",
            change=f"Set {network.player}.vector_width={wide or 'null'}.",
        )
    sources = len(conditioner.config.sources) or None
    if sources is not None and sources > (shape.sources or 0):
        raise ConfigError(
            f"conditions.sources names {sources} data sets, the network tells "
            f"{shape.sources or 'none'} apart.",
            change=f"Set {network.player}.sources={sources}.",
        )
    if config.min_snr is not None and isinstance(shape.process, FlowConfig):
        raise ConfigError(
            f"min_snr is {config.min_snr}, but a flow has no such weights.",
            change="Set min_snr=null.",
        )
