"""From prompts to waveforms, with a language model, a codec and a text encoder at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor

from soundwright.core.protocols import TextEncoder, TextStates
from soundwright.lm.decoding import DecodingConfig, Progress, generate, stream
from soundwright.lm.engine import Engine
from soundwright.lm.infilling import Filling, fill_gap
from soundwright.lm.likelihood import measure_likelihood
from soundwright.lm.model import AudioLm
from soundwright.pipelines.making import Item
from soundwright.pipelines.parts import Codec
from soundwright.pipelines.settings import GenerationConfig
from soundwright.pipelines.waveforms import Waveforms
from soundwright.text.alone import encode_alone
from soundwright.text.preparation import PreparationConfig, prepare

ONE_THREAD_PARAMETERS = 50_000_000
"""Below this many, a step of decoding is too short to be shared: a second thread costs more than
it brings, and where other programs use the cores, twenty times as much."""
PRIMED_SHARE, PRIMED_MOST_S = 0.64, 12.0


def primed_of(window: float) -> float:
    """Seconds of the sound so far that prime a further window of so many seconds.

    Four fifths of a window's reach, and 12 s at most, as in AudioCraft, where more would take long.
    """
    return min(PRIMED_SHARE * window, PRIMED_MOST_S)


class Renderer:
    """Draws tokens for prompts and turns them into sound.

    Args:
        engine: The language model, ready to decode.
        codec: In evaluation mode; it may be on another device.
        encoder: The text encoder of the language model.
        preparation: What prompts go through first, as captions did in training.
        reader: Gives the language model itself, to read whole sequences with; without it sounds
            cannot be weighed, nor spans filled.
    """

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        encoder: TextEncoder,
        preparation: PreparationConfig,
        reader: Callable[[], AudioLm] | None = None,
    ) -> None:
        self._engine, self._encoder = engine, encoder
        self.waveforms = Waveforms(codec)
        self._preparation, self._reader = preparation, reader

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.waveforms.sample_rate

    @torch.inference_mode()
    def draw_tokens(
        self,
        items: Sequence[Item],
        config: GenerationConfig,
        *,
        negative: str | None = None,
        beginning: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Tokens [B, K, T] of a batch of items.

        Args:
            items: Prompts and seeds.
            config: Duration, guidance and sampling.
            negative: What all are guided away from, in the place of no text.
            beginning: From `Waveforms.read_beginning`: what every sound begins with.
            progress: Told the number of frames begun, and of all.

        Raises:
            UserError: As `lm.decoding.generate`.
        """
        with _few_threads(self._engine):
            return generate(
                self._engine,
                self._read([prompt for prompt, _ in items]),
                self.waveforms.frames(config.duration),
                [seed for _, seed in items],
                self._decoding(config),
                prompt_tokens=self._begin(beginning, len(items)),
                negative=None if negative is None else self._read([negative] * len(items)),
                progress=progress,
            )

    def stream(
        self,
        item: Item,
        config: GenerationConfig,
        *,
        negative: str | None = None,
        beginning: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The waveform of one item as it is made, in memory that does not grow.

        Arguments are those of `draw_tokens`.

        Returns:
            Pieces [C, n]; together they are what `finish` makes of the tokens of `draw_tokens`,
            bit by bit.
        """
        prompt, seed = item
        with _few_threads(self._engine):
            tokens = stream(
                self._engine,
                self._read([prompt]),
                self.waveforms.frames(config.duration),
                [seed],
                self._decoding(config),
                every=self.waveforms.portion // 2,
                prompt_tokens=self._begin(beginning, 1),
                negative=None if negative is None else self._read([negative]),
            )
        return self._work(self.waveforms.pour(tokens, config.duration, beginning))

    def finish(
        self, tokens: Tensor, config: GenerationConfig, *, beginning: Tensor | None = None
    ) -> Tensor:
        """The waveform [C, N] of tokens [K, T], N = duration * sample_rate.

        Args:
            tokens: Of one item.
            config: The one that they were drawn with.
            beginning: As in `draw_tokens`: stands in front as it was given.
        """
        pieces = self.waveforms.pour([tokens[None]], config.duration, beginning)
        return torch.cat(list(self._work(pieces)), dim=1)

    def decode(self, tokens: Tensor) -> list[Tensor]:
        """Tokens [B, K, T] to waveforms [C, T * hop_length] on the CPU, as the codec gives them.

        They are decoded one by one, so that the codec's arithmetic does not depend on the batch.
        """
        sounds = (self.waveforms.decode([row[None]], row.shape[-1]) for row in tokens)
        return [torch.cat(list(pieces), dim=1) for pieces in sounds]

    def weigh(
        self,
        prompt: str,
        tokens: Tensor,
        config: GenerationConfig,
        *,
        negative: str | None = None,
        beginning: Tensor | None = None,
    ) -> float:
        """How much of a sound its text explains: mean of log p(x | text) - log p(x | no text).

        Args:
            prompt: Of the one sound.
            tokens: [K, T].
            config: The one that they were drawn with.
            negative: In the place of no text.
            beginning: What was given and does not count.
        """
        with _few_threads(self._engine):
            with_text, without = measure_likelihood(
                self._lm,
                self._read([prompt]),
                tokens,
                self._decoding(config),
                first=0 if beginning is None else beginning.shape[1] // self.waveforms.hop_length,
                negative=None if negative is None else self._read([negative]),
            )
        return float(with_text - without)

    @torch.inference_mode()
    def fill(
        self,
        prompt: str,
        left: Tensor,
        right: Tensor,
        frames: int,
        seeds: Sequence[int],
        config: GenerationConfig,
        *,
        negative: str | None = None,
        progress: Progress | None = None,
    ) -> Filling:
        """As `lm.infilling.fill_gap`, for a prompt."""
        with _few_threads(self._engine):
            return fill_gap(
                self._engine,
                self._lm,
                self._read([prompt]),
                left,
                right,
                frames,
                seeds,
                self._decoding(config),
                negative=None if negative is None else self._read([negative]),
                progress=progress,
            )

    @cached_property
    def _lm(self) -> AudioLm:
        assert self._reader is not None, "a renderer without a model that reads"
        return self._reader()

    def _decoding(self, config: GenerationConfig) -> DecodingConfig:
        return DecodingConfig(
            guidance=config.cfg_scale,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            window=None if config.window is None else self._count(config.window),
            overlap=None if config.window is None else self._count(primed_of(config.window)),
        )

    def _count(self, seconds: float) -> int:
        return round(seconds * self.waveforms.frame_rate)

    def _read(self, prompts: Sequence[str]) -> TextStates:
        texts = [prepare(prompt, self._preparation) for prompt in prompts]
        return encode_alone(self._encoder, texts)

    def _begin(self, beginning: Tensor | None, count: int) -> Tensor | None:
        """The tokens of a beginning, [count, K, P]."""
        if beginning is None:
            return None
        return self.waveforms.encode(beginning)[None].expand(count, -1, -1)

    def _work(self, pieces: Iterator[Tensor]) -> Iterator[Tensor]:
        """The same pieces, made on as few threads as suit the model."""
        while True:
            with _few_threads(self._engine):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece


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
