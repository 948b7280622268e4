"""From prompts to waveforms, with a language model, a codec and a text encoder at hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from soundwright.audio.channels import to_channels
from soundwright.audio.files import read
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.core.protocols import TextEncoder
from soundwright.lm.decoding import DecodingConfig, generate
from soundwright.lm.engine import Engine
from soundwright.pipelines.parts import Codec
from soundwright.pipelines.settings import GenerationConfig
from soundwright.text.preparation import PreparationConfig, prepare

ONE_THREAD_PARAMETERS = 50_000_000
"""Below this many, a step of decoding is too short to be shared: a second thread costs more than
it brings, and where other programs use the cores, twenty times as much."""
SEAM_S = 0.02
"""Cross-fade from a continued sound to its continuation."""
LOUDEST = 0.99
"""Peak to which a sound beyond full scale is turned down."""

Item = tuple[str, int]
"""A prompt and its seed."""


class Renderer:
    """Draws tokens for prompts and turns them into sound.

    Args:
        engine: The language model, ready to decode.
        codec: In evaluation mode; it may be on another device.
        encoder: The text encoder of the language model.
        preparation: What prompts go through first, as captions did in training.
    """

    def __init__(
        self, engine: Engine, codec: Codec, encoder: TextEncoder, preparation: PreparationConfig
    ) -> None:
        self._engine, self._codec, self._encoder = engine, codec, encoder
        self._preparation = preparation

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._codec.sample_rate

    def render(
        self,
        items: Sequence[Item],
        config: GenerationConfig,
        *,
        beginning: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Tensor]:
        """Waveforms [C, N] of a batch of items, N = duration * sample_rate.

        Args:
            items: Prompts and seeds.
            config: Duration, guidance and sampling.
            beginning: From `read_beginning`: what every sound begins with.
            progress: Told the number of frames begun, and of all.

        Raises:
            UserError: As `lm.decoding.generate`.
        """
        with _few_threads(self._engine):
            tokens = self.draw_tokens(items, config, beginning=beginning, progress=progress)
            wanted = round(config.duration * self.sample_rate)
            waveforms = [waveform[:, :wanted] for waveform in self.decode(tokens)]
        seam = round(SEAM_S * self.sample_rate)
        return [_finish(waveform, beginning, seam) for waveform in waveforms]

    @torch.inference_mode()
    def draw_tokens(
        self,
        items: Sequence[Item],
        config: GenerationConfig,
        *,
        beginning: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Tokens [B, K, T] of a batch of items; arguments as in `render`."""
        frame_rate = self._codec.sample_rate / self._codec.hop_length
        decoding = DecodingConfig(
            guidance=config.cfg_scale,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            window=None if config.window is None else round(config.window * frame_rate),
        )
        texts = [prepare(prompt, self._preparation) for prompt, _ in items]
        prompt_tokens = None
        if beginning is not None:
            tokens = self._codec.encode(beginning[None].to(self._codec_device))
            prompt_tokens = tokens.expand(len(items), -1, -1)
        return generate(
            self._engine,
            self._encoder.encode(texts),
            math.ceil(config.duration * frame_rate),
            [seed for _, seed in items],
            decoding,
            prompt_tokens=prompt_tokens,
            progress=progress,
        )

    @torch.inference_mode()
    def decode(self, tokens: Tensor) -> list[Tensor]:
        """Tokens [B, K, T] to waveforms [C, N] on the CPU.

        They are decoded one by one, so that the codec's arithmetic does not depend on the batch.
        """
        rows = tokens.to(self._codec_device)
        return [self._codec.decode(row[None])[0].float().cpu() for row in rows]

    def read_beginning(self, given: Path | str | Sound) -> Tensor:
        """The sound to continue, [C, N] at the codec's rate, cut to whole frames.

        Raises:
            AudioError: The file cannot be used.
            UserError: The sound is shorter than a frame.
        """
        rate, channels = self._codec.sample_rate, self._codec.channels
        if isinstance(given, Sound):
            samples = to_channels(resample(given.samples, given.sample_rate, rate), channels)
        else:
            samples = read(given, sample_rate=rate, channels=channels).samples
        whole = samples.shape[1] // self._codec.hop_length * self._codec.hop_length
        if whole == 0:
            raise UserError(
                "The sound to continue is too short.",
                expected=f"at least {self._codec.hop_length / rate:.2f} s",
            )
        return samples[:, :whole]

    @property
    def _codec_device(self) -> torch.device:
        return next(self._codec.parameters()).device


@contextmanager
def _few_threads(engine: Engine) -> Iterator[None]:
    """A block in which a small model runs on one thread; so its bytes hang on no thread count."""
    before = torch.get_num_threads()
    if engine.parameters < ONE_THREAD_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finish(waveform: Tensor, beginning: Tensor | None, seam: int) -> Tensor:
    """Put the continued sound itself in front; turn a sound that is too loud down as a whole."""
    if beginning is not None:
        length = min(beginning.shape[1], waveform.shape[1])
        seam = min(length, seam)
        share = torch.ones(length)
        share[length - seam :] = torch.linspace(1, 0, seam)
        begun = share * beginning[:, :length] + (1 - share) * waveform[:, :length]
        waveform = torch.cat([begun, waveform[:, length:]], dim=1)
    return waveform / max(1.0, waveform.abs().max().item() / LOUDEST)
