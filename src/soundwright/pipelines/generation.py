"""The Python interface: load a model, generate sounds, save them with how they were made."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import soundwright
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.devices import choose_device
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, write_json
from soundwright.lm.engine import PlainEngine
from soundwright.lm.packing import pack
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.parts import load_codec, load_lm
from soundwright.pipelines.rendering import Item, Renderer
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.text.encoders import load_text_encoder

LONGEST_PROMPT = 1000
"""Characters; the text encoders read about as much."""
LONGEST_DURATION_S = 600.0
BATCH_SIZE = 8

Progress = Callable[[float], None]
"""Told, now and then, which part of all the work is done, from 0 to 1."""


@dataclass(frozen=True)
class GeneratedSound:
    """A sound, and everything that is needed to make it again."""

    samples: Tensor
    """[C, N] float32 in [-1, 1]."""
    sample_rate: int
    prompt: str
    seed: int
    """Of this item: `generate` with this seed and this prompt alone makes it again."""
    settings: dict[str, Any]
    """Duration, guidance and sampling as they were used."""
    model: str
    """The model's own name."""
    model_hash: str

    @property
    def sound(self) -> Sound:
        """Samples and rate."""
        return Sound(self.samples, self.sample_rate)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.sound.duration

    def describe(self) -> dict[str, Any]:
        """How the sound was made, as JSON values."""
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            "settings": self.settings,
            "model": self.model,
            "model_hash": self.model_hash,
            "sample_rate": self.sample_rate,
            "duration": self.duration,
            "soundwright": soundwright.__version__,
        }

    def save(self, path: Path | str) -> Path:
        """Write the sound with its description inside, and the same as JSON beside it.

        The same sound gives the same bytes.

        Args:
            path: .wav, .flac, .ogg or .mp3.

        Returns:
            The path of the sound.

        Raises:
            UserError: Another suffix, or a disk that is full or cannot be written.
        """
        path = Path(path)
        made = json.dumps(self.describe(), ensure_ascii=False)
        write(path, self.sound, metadata={"title": self.prompt, "comment": made})
        write_json(path.with_suffix(".json"), {"file": path.name, **self.describe()})
        return path


class Model:
    """A language model with its codec and text encoder, ready to generate.

    Made by `load`. Its defaults are in `defaults`, its origin in `record`.
    """

    def __init__(self, record: ModelRecord, renderer: Renderer) -> None:
        self.record = record
        self.defaults = GenerationConfig.read(record.settings["generation"])
        self._renderer = renderer

    @property
    def name(self) -> str:
        """What the model calls itself."""
        return self.record.name

    @property
    def hash(self) -> str:
        """Identity of weights and configuration, 16 hex digits."""
        return self.record.hash

    @property
    def sample_rate(self) -> int:
        """Samples a second of what it generates."""
        return self._renderer.sample_rate

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        duration: float | None = None,
        seed: int = 0,
        num_samples: int = 1,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        continue_from: Path | str | Sound | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> list[GeneratedSound]:
        """Generate `num_samples` sounds for each prompt, prompt after prompt.

        Item i of the result has the seed `seed + i`; alone with that seed it comes out the same.

        Args:
            prompts: What shall be heard.
            duration: Seconds; None, here and below, takes the model's default.
            seed: Of the first item.
            num_samples: Sounds a prompt.
            cfg_scale: Guidance; 1 is none, more follows the words more closely.
            temperature: 0 takes the likeliest token.
            top_k: Draw among so many tokens; 0 is all.
            top_p: Draw among the likeliest that make up this probability; replaces top_k.
            continue_from: A sound that becomes the beginning; `duration` counts it in.
            batch_size: Items at once. Another size changes the arithmetic's rounding.
            progress: Told how much is done.

        Raises:
            UserError: A prompt, duration or setting that cannot be used.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        check_prompts(prompts)
        _check_counts(num_samples, batch_size)
        given = {
            "duration": duration,
            "cfg_scale": cfg_scale,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
        }
        config = self._settle(given)
        beginning = None if continue_from is None else self._renderer.read_beginning(continue_from)
        items: list[Item] = [
            (prompt, seed + i) for i, prompt in enumerate(_repeat(prompts, num_samples))
        ]
        settings = _describe(config, beginning)
        sounds: list[GeneratedSound] = []
        for first in range(0, len(items), batch_size):
            batch = items[first : first + batch_size]

            def report(done: int, total: int, first: int = first, size: int = len(batch)) -> None:
                if progress is not None:
                    progress((first + size * done / total) / len(items))

            waveforms = self._renderer.render(batch, config, beginning=beginning, progress=report)
            for (prompt, item_seed), samples in zip(batch, waveforms, strict=True):
                sounds.append(
                    GeneratedSound(
                        samples=samples,
                        sample_rate=self.sample_rate,
                        prompt=prompt,
                        seed=item_seed,
                        settings=settings,
                        model=self.name,
                        model_hash=self.hash,
                    )
                )
        return sounds

    def _settle(self, given: dict[str, Any]) -> GenerationConfig:
        """The model's defaults with what was given in their place."""
        for name, value in given.items():
            if value is not None:
                _check_setting(name, value)
        known = {name: value for name, value in given.items() if value is not None}
        return self.defaults.model_copy(update=known)


def load(name: str | Path = "bundled", *, device: str = "auto") -> Model:
    """Load a model.

    Args:
        name: "bundled", the name of an installed model, a model folder, or owner/name on the hub.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        UserError: There is no such model or device.
        MissingWeightsError: The model is known, but its weights are not here.
        CheckpointError: The model is damaged, newer than this Soundwright, or does not generate.
    """
    where = choose_device(device)
    codec, record, folder = load_codec(name)
    lm = load_lm(record, folder)
    text = TextConfig.read(record.settings["text"], origin=f"the model {name}")
    encoder = load_text_encoder(text.encoder, where)
    renderer = Renderer(PlainEngine(pack(lm.to(where))), codec.to(where), encoder, text.preparation)
    return Model(record, renderer)


def check_prompts(prompts: Sequence[str], origin: str = "") -> None:
    """Refuse prompts that cannot be generated from, before any work is done.

    Args:
        prompts: What was given.
        origin: The file that they come from, for the message.

    Raises:
        UserError: There is none, or one is empty or too long.
    """
    if not prompts:
        raise UserError(f"There is no prompt{f' in {origin}' if origin else ''}.")
    for number, prompt in enumerate(prompts, start=1):
        which = f"Prompt {number} of {len(prompts)}" if len(prompts) > 1 else "The prompt"
        where = f"{which} in {origin}" if origin else which
        if not prompt.strip():
            raise UserError(f"{where} is empty.", expected="words, such as: a dog barks twice")
        if len(prompt) > LONGEST_PROMPT:
            raise UserError(
                f"{where} has {len(prompt)} characters.",
                expected=f"at most {LONGEST_PROMPT}",
                change="Say it in fewer words: what is not read would be lost silently.",
            )


def _check_counts(num_samples: int, batch_size: int) -> None:
    for name, value in (("num_samples", num_samples), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"{name} is {value}.", expected="at least 1")


def _check_setting(name: str, value: float) -> None:
    highest = {"duration": LONGEST_DURATION_S, "top_p": 1.0}.get(name, math.inf)
    above_zero = name == "duration"
    fits = math.isfinite(value) and 0 <= value <= highest and (value > 0 or not above_zero)
    if not fits:
        least = "more than 0" if above_zero else "at least 0"
        most = "" if highest == math.inf else f" and at most {highest:g}"
        unit = " s" if name == "duration" else ""
        raise UserError(f"{name} is {value:g}{unit}.", expected=f"{least}{most}{unit}")


def _repeat(prompts: Sequence[str], times: int) -> Iterator[str]:
    return itertools.chain.from_iterable(itertools.repeat(prompt, times) for prompt in prompts)


def _describe(config: GenerationConfig, beginning: Tensor | None) -> dict[str, Any]:
    settings = config.plain()
    if beginning is not None:
        settings["continued"] = hash_bytes(beginning.numpy().tobytes())[:16]
    return settings
