"""CLAP: sounds and texts in one space, with the checkpoints that the field measures with.

Tools differ in what they do before the network, and their numbers with it: whether samples are
rounded to 16 bits, what is heard of sounds longer than ten seconds, how texts are padded. Here each
is a setting that stands on the metric card, and nothing is drawn from an unseeded generator.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize, pad
from transformers import ClapFeatureExtractor

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.core.config import Config
from soundwright.core.devices import choose_device
from soundwright.core.errors import UserError
from soundwright.core.protocols import Encoded
from soundwright.core.seeding import numpy_stream
from soundwright.scorers.clap_weights import ClapParts, find_clap
from soundwright.scorers.pretrained import hash_weights
from soundwright.scorers.windows import check_sound, run_in_batches

BATCH_SIZE = 8
MAX_TOKENS = 77
"""Of a text, in the original's training and evaluation."""
REVISION = 1
"""Raised when this file makes other embeddings of the same weights and sounds."""
LONG: Mapping[str, str] = MappingProxyType(
    {
        "windows": "even windows, each overlapping the next by half or more, averaged",
        "head": "the first window",
        "random": "one window, drawn",
        "fusion": "squeezed whole, and a window drawn from each third",
    }
)
"""For the metric card."""


class ClapListening(Config):
    """What happens before the network."""

    long: Literal["windows", "head", "random", "fusion"] = "windows"
    """What is heard of a sound longer than ten seconds: windows that cover it evenly, each
    overlapping the next by half or more, and the mean of their embeddings; its beginning; a stretch
    that is drawn; or, with a checkpoint that was trained for it, the whole squeezed into ten
    seconds together with one stretch drawn from each third."""
    seed: int = 0
    """Of what is drawn. The draw depends on nothing else but the sound's length."""
    quantise: bool = True
    """Clip, and cut off below 16 bits, as in training and where LAION's code reads files."""
    pad_texts: bool = False
    """Pad texts to 77 tokens, as the original does. It costs time and changes rounding only."""


class Clap:
    """A `core.protocols.TextAudioEncoder` around transformers' CLAP.

    A sound shorter than ten seconds is repeated as often as it fits in whole, then filled up with
    zeros. The vector of a sound is the mean of its windows' embeddings; it and they have length
    one.

    Args:
        parts: Model, tokenizer and front end; the model is frozen and evaluates in fp32.
        name: As in the protocol.
        listening: What happens before the network.
        batch_size: Windows or texts a batch.

    Raises:
        UserError: `fusion` is asked of a checkpoint that was trained without.
    """

    def __init__(
        self,
        parts: ClapParts,
        name: str,
        listening: ClapListening | None = None,
        *,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._listening = listening or ClapListening()
        self._model: Any = parts.model.float().eval().requires_grad_(False)
        self._tokenizer, self._batch_size = parts.tokenizer, batch_size
        self._fused = bool(self._model.config.audio_config.enable_fusion)
        if self._listening.long == "fusion" and not self._fused:
            raise UserError(
                f"{name} was trained without feature fusion.",
                expected="long sounds heard by windows, head or random",
                change="Or take a checkpoint with fusion, such as laion/clap-htsat-fused.",
            )
        mel = front_end(parts.extractor, fused=self._fused)
        self._mel = LogMel(mel).to(self._model.device)
        self._size = parts.extractor.nb_max_samples
        self._name = name
        weights = hash_weights(self._model, self._listening, mel)
        self._identity = f"{name}/{weights}/{REVISION}"
        self._facts = self._tell(parts.weights)

    @property
    def name(self) -> str:
        """Name of the checkpoint."""
        return self._name

    @property
    def identity(self) -> str:
        """Name, hash of weights and settings, and the revision of this code."""
        return self._identity

    @property
    def width(self) -> int:
        """D of the embeddings."""
        return self._model.config.projection_dim

    @property
    def sample_rate(self) -> int:
        """48000 Hz for all published checkpoints."""
        return self._mel.config.sample_rate

    @property
    def facts(self) -> Mapping[str, str]:
        """Weights, gain, quantisation, what is heard of long and of short sounds."""
        return self._facts

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] float at `sample_rate`; see the protocol.

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        pieces = [self._cut(check_sound(waveform)) for waveform in waveforms]
        rows = run_in_batches(
            [piece for cut in pieces for piece in cut], self._hear, self._batch_size
        )
        found = (embedding for embedding, _ in rows)
        return [_join(torch.stack([next(found) for _ in cut])) for cut in pieces]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """[B, D] fp32 of length one; texts longer than 77 tokens are cut, with a warning."""
        tokens = [torch.tensor(ids) for ids in self._tokenize(texts)]
        rows = run_in_batches(tokens, self._read, self._batch_size)
        return torch.stack([row for row, _ in rows]) if rows else torch.zeros(0, self.width)

    def _tell(self, weights: str) -> dict[str, str]:
        heard = self._listening
        drawn = f", seed {heard.seed}" if heard.long in ("random", "fusion") else ""
        padded = f"padded to {MAX_TOKENS}" if heard.pad_texts else "not padded"
        return {
            "weights": weights,
            "gain": "none",
            "quantisation": "16 bits, cut off" if heard.quantise else "none",
            "window": f"{self._size / self.sample_rate:g} s",
            "long sounds": LONG[heard.long] + drawn,
            "short sounds": "repeated whole, then zeros",
            "texts": f"at most {MAX_TOKENS} tokens, {padded}",
            "precision": "fp32",
        }

    def _cut(self, waveform: Tensor) -> list[Tensor]:
        """The network's inputs: waveforms [10 s], or for fusion four spectrograms [4, F, M]."""
        waveform = waveform.detach().float().cpu()
        if self._listening.quantise:
            waveform = (waveform.clamp(-1, 1) * 32767).to(torch.int16).float() / 32767
        beyond = len(waveform) - self._size
        if beyond <= 0:
            whole = waveform.repeat(self._size // len(waveform))
            return [pad(whole, (0, self._size - len(whole)))]
        if self._listening.long == "windows":
            steps = math.ceil(beyond / (self._size // 2))
            begins = [round(step * beyond / steps) for step in range(steps + 1)]
            return [waveform[begin : begin + self._size] for begin in begins]
        if self._listening.long == "fusion" and beyond >= self._mel.config.hop_length:
            return [self._fuse(waveform)]
        drawn = self._listening.long == "random"
        begin = int(self._stream(waveform).integers(beyond + 1)) if drawn else 0
        return [waveform[begin : begin + self._size]]

    def _fuse(self, waveform: Tensor) -> Tensor:
        """The whole sound squeezed, and a stretch out of each third: [4, F, M]."""
        mel = self._mel(waveform.to(self._model.device)).T.cpu()
        frames = self._mel.config.frames(self._size)
        thirds = np.array_split(np.arange(len(mel) - frames + 1), 3)
        stream = self._stream(waveform)
        begins = [int(stream.choice(third)) if len(third) else 0 for third in thirds]
        squeezed = interpolate(mel[None, None], (frames, mel.shape[1]), mode="bilinear")[0, 0]
        return torch.stack([squeezed, *(mel[begin : begin + frames] for begin in begins)])

    def _stream(self, waveform: Tensor) -> np.random.Generator:
        return numpy_stream(self._listening.seed, "clap", len(waveform))

    def _hear(self, batch: Tensor) -> tuple[Tensor, None]:
        batch = batch.to(self._model.device)
        fused = batch.ndim == 4
        images = batch if fused else self._mel(batch).transpose(1, 2)[:, None]
        if self._fused and not fused:
            # transformers' extractor lets one short sound of a batch, drawn at random, count as
            # long, as in training; the original does not when it evaluates.
            images = images.expand(-1, 4, -1, -1)
        longer = torch.full((len(batch), 1), fused, device=batch.device)
        return self._model.get_audio_features(images, is_longer=longer).pooler_output, None

    def _read(self, batch: Tensor) -> tuple[Tensor, None]:
        ids = batch.long().to(self._model.device)
        mask = (ids != self._tokenizer.pad_token_id).long()
        return self._model.get_text_features(ids, attention_mask=mask).pooler_output, None

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        full = self._tokenizer(list(texts), verbose=False)["input_ids"]
        cut = sum(len(ids) > MAX_TOKENS for ids in full)
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} texts are longer than {MAX_TOKENS} tokens; "
                "their ends are not read",
                stacklevel=3,
            )
        padding = "max_length" if self._listening.pad_texts else False
        return self._tokenizer(
            list(texts), truncation=True, max_length=MAX_TOKENS, padding=padding
        )["input_ids"]


def load_clap(
    name: str = "laion/clap-htsat-unfused",
    listening: ClapListening | None = None,
    device: torch.device | str = "cpu",
) -> Clap:
    """CLAP with the weights that `name` says; see `clap_weights.find_clap`.

    Raises:
        MissingWeightsError: The weights or the tokenizer are neither here nor reachable.
        CheckpointError: A file is damaged, would run code, or holds something else.
        UserError: The device is not on this machine, or fusion is asked of a checkpoint without.
    """
    chosen = choose_device(str(device))
    parts = find_clap(name)
    parts.model.to(chosen)  # pyright: ignore[reportArgumentType]
    stem = Path(name).name.removesuffix(".pt")
    return Clap(parts, stem if stem.startswith("clap") else f"clap-{stem}", listening)


def front_end(extractor: ClapFeatureExtractor, *, fused: bool) -> MelConfig:
    """The log-mel front end; with fusion the bands are other than without."""
    return MelConfig(
        sample_rate=extractor.sampling_rate,
        n_fft=extractor.fft_window_size,
        win_length=extractor.fft_window_size,
        hop_length=extractor.hop_length,
        n_mels=extractor.feature_size,
        f_min=extractor.frequency_min,
        f_max=extractor.frequency_max,
        scale="htk" if fused else "slaney",
        norm="peak" if fused else "area",
        power=2,
        log="decibel",
        floor=1e-10,
    )


def _join(embeddings: Tensor) -> Encoded:
    vector = normalize(embeddings.double().mean(0), dim=0).float()
    return Encoded(embeddings, vector)
