"""EnCodec: transformers' network, trained here, at home there.

The encoder, decoder and codebooks are those of `transformers.EncodecModel`. Training moves the
model's own codebook buffers, so that a saved model gives the same codes and waveforms wherever
`EncodecModel.from_pretrained` loads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

from soundwright.codecs.encodec_weights import load_network
from soundwright.codecs.frames import frame_mask, pad_to_frames
from soundwright.codecs.quantizer import Codebook, QuantizerConfig, ResidualQuantizer
from soundwright.codecs.task import CodecOutput
from soundwright.core.config import Config
from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.files import folder_atomic
from soundwright.core.hub import PRETRAINED_FILES, fetch_folder, missing, quiet_loading
from soundwright.core.seeding import initialising

WHAT = "codec"


class EncodecCodecConfig(Config):
    """Configuration of `EncodecCodec`; the defaults are AudioCraft's at 16 kHz, 50 frames/s."""

    sample_rate: int = Field(default=16_000, ge=1)
    channels: Literal[1, 2] = 1
    ratios: tuple[int, ...] = Field(default=(8, 5, 4, 2), min_length=1)
    """Upsampling of the decoder's layers, first to last; their product is the hop."""
    filters: int = Field(default=64, ge=1)
    """Channels of the first layer; each layer doubles them."""
    latent_width: int = Field(default=128, ge=1)
    kernel: int = Field(default=7, ge=1)
    last_kernel: int = Field(default=7, ge=1)
    residual_kernel: int = Field(default=3, ge=1)
    residual_layers: int = Field(default=1, ge=0)
    compress: int = Field(default=2, ge=1)
    """Narrowing within residual layers."""
    lstm_layers: int = Field(default=2, ge=1)
    causal: bool = False
    pad_mode: Literal["constant", "reflect", "replicate"] = "constant"
    conv_shortcut: bool = False
    """Whether residual layers have a convolution as skip connection, not the identity."""
    dilation_growth: int = Field(default=2, ge=1)
    """From one residual layer to the next; without effect where there is one."""
    norm: Literal["weight_norm", "time_group_norm"] = "weight_norm"
    quantizer: QuantizerConfig = QuantizerConfig(codebook_size=2048)

    @model_validator(mode="after")
    def _check(self) -> Self:
        size = self.quantizer.codebook_size
        if size & (size - 1):
            raise ValueError(f"quantizer.codebook_size is {size}; EnCodec needs a power of 2")
        if self.quantizer.projection is not None or self.quantizer.normalise_latents:
            raise ValueError(
                "quantizer.projection and quantizer.normalise_latents are not part of EnCodec's "
                "network; use the compact codec for them"
            )
        if any(ratio < 2 for ratio in self.ratios):
            raise ValueError("every one of ratios is at least 2")
        if self.filters % self.compress:
            raise ValueError("filters must be a multiple of compress")
        return self

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return math.prod(self.ratios)

    def to_transformers(self) -> EncodecConfig:
        """The same network in the words of transformers."""
        bits = (self.quantizer.codebook_size - 1).bit_length()
        rate = math.ceil(self.sample_rate / self.hop_length)
        return EncodecConfig(
            # transformers divides this by the bandwidth of one codebook and rounds down.
            target_bandwidths=[_round_up(self.quantizer.codebooks * rate * bits)],
            sampling_rate=self.sample_rate,
            audio_channels=self.channels,
            hidden_size=self.latent_width,
            num_filters=self.filters,
            num_residual_layers=self.residual_layers,
            upsampling_ratios=list(self.ratios),
            norm_type=self.norm,
            kernel_size=self.kernel,
            last_kernel_size=self.last_kernel,
            residual_kernel_size=self.residual_kernel,
            dilation_growth_rate=self.dilation_growth,
            use_causal_conv=self.causal,
            pad_mode=self.pad_mode,
            compress=self.compress,
            num_lstm_layers=self.lstm_layers,
            codebook_size=self.quantizer.codebook_size,
            use_conv_shortcut=self.conv_shortcut,
        )

    @classmethod
    def from_transformers(cls, config: EncodecConfig, codebooks: int) -> Self:
        """The configuration of a model of transformers, using its first `codebooks` levels.

        Raises:
            CheckpointError: The model codes chunks or levels apart (as the 48 kHz one does), which
                tokens alone cannot hold, or trims its causal layers in an uncommon way.
        """
        if config.trim_right_ratio != 1.0:
            raise CheckpointError(
                f"This EnCodec has trim_right_ratio {config.trim_right_ratio}.", expected="1.0"
            )
        if config.normalize or config.chunk_length_s is not None:
            raise CheckpointError(
                "This EnCodec normalises or chunks its input; its tokens alone are not the sound.",
                expected="a model with normalize=false and chunk_length_s=null",
            )
        values = {
            "sample_rate": config.sampling_rate,
            "channels": config.audio_channels,
            "ratios": tuple(config.upsampling_ratios),
            "filters": config.num_filters,
            "latent_width": config.hidden_size,
            "kernel": config.kernel_size,
            "last_kernel": config.last_kernel_size,
            "residual_kernel": config.residual_kernel_size,
            "residual_layers": config.num_residual_layers,
            "dilation_growth": config.dilation_growth_rate,
            "compress": config.compress,
            "lstm_layers": config.num_lstm_layers,
            "causal": config.use_causal_conv,
            "pad_mode": config.pad_mode,
            "conv_shortcut": config.use_conv_shortcut,
            "norm": config.norm_type,
            "quantizer": {"codebooks": codebooks, "codebook_size": config.codebook_size},
        }
        return cls.read(values, origin="the model's config.json")


def usual_codebooks(config: EncodecConfig) -> int:
    """Levels of the first bandwidth that a model names: what transformers' `encode` uses."""
    bits_per_second = math.log2(config.codebook_size) * config.frame_rate
    return max(1, int(1000 * config.target_bandwidths[0] // bits_per_second))


PRESETS: Mapping[str, EncodecCodecConfig] = MappingProxyType(
    {
        "encodec-16k": EncodecCodecConfig(),
        "encodec-32k": EncodecCodecConfig(sample_rate=32_000, ratios=(8, 5, 4, 4)),
        "encodec-tiny": EncodecCodecConfig(
            ratios=(8, 5, 4, 2),
            filters=4,
            latent_width=16,
            lstm_layers=1,
            quantizer=QuantizerConfig(codebook_size=32, kmeans_iterations=10),
        ),
    }
)
"""`encodec-tiny` is for tests and quick looks; the others are those of the papers."""


class EncodecCodec(nn.Module):
    """EnCodec as a `core.protocols.TokenCodec` that `CodecTask` can train.

    Args:
        config: See `EncodecCodecConfig`.
        seed: Of the initial weights and of the quantiser's draws.
        model: A network to use instead of a new one.
    """

    def __init__(
        self, config: EncodecCodecConfig, seed: int = 0, *, model: EncodecModel | None = None
    ) -> None:
        super().__init__()
        self.config = config
        if model is None:
            with initialising(seed, "encodec"):
                model = EncodecModel(config.to_transformers())
            for level in _codebooks(model):
                level.inited.zero_()
        self.model = model
        levels = _codebooks(model)[: config.quantizer.codebooks]
        self.quantizer = ResidualQuantizer(
            config.latent_width, config.quantizer, seed=seed, codebooks=levels
        )

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, codebooks: int | None = None, seed: int = 0
    ) -> Self:
        """Load an `EncodecModel` in evaluation mode.

        Args:
            name: A folder or a name on the hub, such as "facebook/encodec_32khz".
            codebooks: Levels to use; None takes those of the first bandwidth that the model
                names, as transformers' own `encode` does.
            seed: Of the quantiser's draws in further training.

        Raises:
            MissingWeightsError: The weights are neither on this machine nor reachable.
            CheckpointError: The model is no EnCodec or has no tokens of its own right.
            UserError: It has fewer codebooks than asked for.
        """
        with initialising(seed, "encodec"):
            model = _load(name)
        quantizer = model.quantizer
        count = usual_codebooks(model.config) if codebooks is None else codebooks
        if not 1 <= count <= len(quantizer.layers):
            raise UserError(
                f"{count} codebooks were asked of {name}.",
                expected=f"1 to {len(quantizer.layers)}",
            )
        for level in _codebooks(model):
            _fill_averages(level)
        config = EncodecCodecConfig.from_transformers(model.config, count)
        return cls(config, seed, model=model).eval()

    @classmethod
    def from_weights(
        cls, config: EncodecCodecConfig, weights: Mapping[str, Tensor], *, seed: int = 0
    ) -> Self:
        """A codec of weights under `EncodecModel`'s names, in evaluation mode.

        Args:
            config: The network; levels of the quantiser beyond `codebooks` are left out.
            weights: Of an `EncodecModel` of any version of transformers.
            seed: Of the quantiser's draws in further training.

        Raises:
            CheckpointError: The weights do not fit the configuration.
        """
        codec = cls(config, seed)
        load_network(codec.model, weights)
        for level in _codebooks(codec.model):
            _fill_averages(level)
        return codec.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write a new folder that `EncodecModel.from_pretrained` loads; whole or not at all.

        Raises:
            UserError: The folder exists already or cannot be written.
        """
        with folder_atomic(folder) as place, quiet_loading():
            self.model.save_pretrained(place)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        """C, 1 or 2."""
        return self.config.channels

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return self.config.hop_length

    @property
    def codebooks(self) -> int:
        """K."""
        return self.config.quantizer.codebooks

    @property
    def codebook_size(self) -> int:
        """Codes in each codebook."""
        return self.config.quantizer.codebook_size

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """[B, C, N] float in [-1, 1] to [B, K, T] int64, T = ceil(N / hop_length)."""
        latents = self.model.encoder(pad_to_frames(waveform, self.hop_length))
        return self.quantizer.encode(latents)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """[B, K', T] int64 to [B, C, T * hop_length] float; K' <= K uses the first levels."""
        return self.model.decoder(self.quantizer.decode(tokens))

    def forward_training(self, waveform: Tensor, mask: Tensor) -> CodecOutput:
        """Reconstruct a batch; see `TrainableCodec`."""
        latents = self.model.encoder(waveform)
        quantised = self.quantizer(latents, frame_mask(mask, self.hop_length))
        return CodecOutput(self.model.decoder(quantised.quantized), quantised)


def _codebooks(model: EncodecModel) -> list[Codebook]:
    return [cast(Codebook, layer.codebook) for layer in model.quantizer.layers]


def _fill_averages(level: Codebook) -> None:
    """Give codes that were saved without running averages some, so that training keeps them."""
    if not level.cluster_size.any():
        level.cluster_size.fill_(1.0)
        level.embed_avg.copy_(level.embed)


def _load(name: str | Path) -> EncodecModel:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = fetch_folder(str(name), PRETRAINED_FILES, what=WHAT)
    try:
        with quiet_loading():
            # Annotated in transformers as if it always gave the model alone.
            loaded: Any = EncodecModel.from_pretrained(
                folder, output_loading_info=True, local_files_only=True
            )
    except OSError as error:
        raise missing(WHAT, str(name), "lacks its configuration or its weights") from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{name} cannot be loaded as an EnCodec: {error}") from error
    model, report = cast(tuple[EncodecModel, dict[str, Any]], loaded)
    absent = sorted(report["missing_keys"])
    if absent:
        raise CheckpointError(f"{name} lacks {len(absent)} tensors, such as {absent[0]}.")
    return model


def _round_up(bits_per_second: int) -> float:
    """Kilobits a second, so that 1000 times the result is not below `bits_per_second`."""
    kilobits = bits_per_second / 1000
    while 1000 * kilobits < bits_per_second:
        kilobits = math.nextafter(kilobits, math.inf)
    return kilobits
