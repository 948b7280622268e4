"""`clapsim`: how well a clip and its caption agree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from soundwright.audio.channels import to_channels
from soundwright.audio.resampling import resample
from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.protocols import TextAudioEncoder
from soundwright.core.records import Clip
from soundwright.corpus.clip_values import best_caption
from soundwright.corpus.failures import failure_of
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage, in_batches

SCORE = "clap"


class ClapSimConfig(Config):
    """Who compares."""

    model: str = "matcher"
    """`matcher` is the bundled text-audio model, which knows the sounds of ESC-10 and of the
    built-in generators; else the name or folder of a CLAP, such as laion/clap-htsat-unfused."""
    batch_size: Annotated[int, Field(ge=1)] = 16


class ClapSim(Stage):
    """Adds the cosine between a clip and its caption as the score `clap`."""

    name = "clapsim"

    def __init__(self, config: ClapSimConfig, root: Path) -> None:
        self.config, self._root = config, root

    def identity(self) -> str:
        """Of the encoder."""
        return self._encoder.identity

    def scores(self) -> tuple[str, ...]:
        """The one."""
        return (SCORE,)

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        sounds = ClipSounds(self._root)
        for batch in in_batches(rows, self.config.batch_size):
            texts = [best_caption(clip) or "" for clip in batch]
            vectors = iter(self._encoder.embed_texts([text for text in texts if text]))
            for clip, text in zip(batch, texts, strict=True):
                if not text:
                    out.keep(clip)
                    continue
                vector = next(vectors)
                try:
                    heard = self._hear(clip, sounds)
                except AudioError as error:
                    out.fail(failure_of(error, clip.id, self.name))
                    continue
                score = round(float(cosine_similarity(heard, vector.cpu(), dim=0)), 6)
                out.keep(clip.model_copy(update={"scores": {**clip.scores, SCORE: score}}))

    def _hear(self, clip: Clip, sounds: ClipSounds) -> Tensor:
        sound = sounds.read(clip)
        mono = to_channels(sound.samples, 1)
        heard = resample(mono, sound.sample_rate, self._encoder.sample_rate)
        (found,) = self._encoder.encode([heard[0]])
        return found.vector.cpu()

    @cached_property
    def _encoder(self) -> TextAudioEncoder:
        if self.config.model == "matcher":
            from soundwright.scorers.matching import Matcher, matcher_folder

            return Matcher.load(matcher_folder())
        from soundwright.scorers.clap import load_clap

        return load_clap(self.config.model)
