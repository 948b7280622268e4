"""How fast a model makes sound on this machine, beside how fast reading its weights alone is.

A step of decoding reads every matrix once and multiplies it with a row or two. So the time of one
streaming read of as many bytes, measured between the runs, is the floor that no kernel can pass.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from soundwright.core.devices import choose_device, wait_for
from soundwright.core.errors import UserError
from soundwright.core.protocols import TextStates
from soundwright.core.seeding import torch_stream
from soundwright.lm.engine import Engine
from soundwright.lm.engine_choice import choose_engine
from soundwright.lm.model import LmConfig
from soundwright.pipelines.parts import Codec, load_codec, load_lm
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.settings import GenerationConfig
from soundwright.text.preparation import PreparationConfig

FRAMES = 100
ROUNDS = 3
TEXT_POSITIONS = 16
BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
"""A weight takes so many."""

Progress = Callable[[], object]
"""Called after each run that is measured."""


def measure_model(
    name: str | Path,
    *,
    device: str = "auto",
    dtypes: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Decode 100 frames with a model's own defaults, several times in each precision.

    Args:
        name: As in `generation.load`.
        device: auto, cpu, cuda, cuda:N or mps.
        dtypes: Of `BYTES`; empty takes all that the device can work with.
        progress: Told when a run is done.

    Returns:
        `model`, `machine`, `frames`, `frame_rate`; `decoding`: for each dtype what
        `describe_decoding` says, and `realtime`, seconds of sound made in a second, the codec
        included; `refused`: dtype to the reason.

    Raises:
        UserError: There is no such model, device or dtype, or the device cannot work in it.
        CheckpointError: The model is damaged, or has no language model.
    """
    for dtype in dtypes:
        if dtype not in BYTES:
            raise UserError(f"There is no dtype {dtype!r}.", expected=", ".join(BYTES))
    where = choose_device(device)
    codec, record, folder = load_codec(name)
    speeds: dict[str, dict[str, float]] = {}
    refused: dict[str, str] = {}
    weights = 0
    for dtype in dtypes or BYTES:
        lm = load_lm(record, folder).to(where)
        weights = step_weights(lm.config)
        try:
            engine = choose_engine(lm, dtype)
        except UserError as error:
            if dtypes:
                raise
            refused[dtype] = str(error)
            continue
        settings = GenerationConfig.read(record.settings["generation"])
        speeds[dtype] = _measure_engine(engine, dtype, codec.to(where), settings, progress)
    return {
        "model": {"name": record.name, "hash": record.hash, "weights_a_step": weights},
        "machine": describe_machine(where),
        "frames": FRAMES,
        "frame_rate": codec.sample_rate / codec.hop_length,
        "decoding": speeds,
        "refused": refused,
    }


def time_in_turns(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """Time pieces of work in turns, so that whatever else the machine does meets all of them.

    A first round, in which caches are filled and kernels chosen, does not count.

    Returns:
        Seconds of each piece in each round.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            wait_for(device)
            began = time.perf_counter()
            work()
            wait_for(device)
            if number:
                taken[name].append(time.perf_counter() - began)
            if progress is not None:
                progress()
    return taken


def step_weights(config: LmConfig) -> int:
    """How many weights a step reads: all matrices but those that only the text goes through."""
    matrices = 3 + 1 + 2 + 2 * config.ffn_multiple
    heads = config.codebooks * config.codebook_size * config.dim
    return config.layers * matrices * config.dim**2 + heads


def floor_of(config: LmConfig, dtype: str, device: torch.device) -> Callable[[], Tensor]:
    """One streaming read of as many bytes as a step reads weights."""
    buffer = torch.ones(step_weights(config) * BYTES[dtype] // 4, device=device)
    return buffer.sum


def describe_decoding(
    engine: Engine, decode_s: Sequence[float], floor_s: Sequence[float]
) -> dict[str, float]:
    """What runs of `FRAMES` frames come to: medians.

    Args:
        engine: What decoded.
        decode_s: Seconds of each run.
        floor_s: Seconds of each reading of the weights.
    """
    seconds, steps = median(decode_s), FRAMES + engine.pattern.lag
    return {
        "step_ms": 1e3 * seconds / steps,
        "steps_per_s": steps / seconds,
        "frames_per_s": FRAMES / seconds,
        "floor_ms": 1e3 * median(floor_s),
        "times_floor": seconds / steps / median(floor_s),
    }


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What the numbers hang on."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


class StandInText:
    """A text encoder that says anything: how fast a model decodes does not hang on the words."""

    identity = "stand-in"

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, texts: Sequence[str]) -> TextStates:
        """Random states of `TEXT_POSITIONS` positions for every text."""
        shape = (len(texts), TEXT_POSITIONS, self.width)
        states = torch.randn(shape, generator=torch_stream(0, "bench", "text"))
        mask = torch.ones(shape[:2], dtype=torch.bool)
        return TextStates(states, mask, states.mean(dim=1))


def _measure_engine(
    engine: Engine,
    dtype: str,
    codec: Codec,
    settings: GenerationConfig,
    progress: Progress | None,
) -> dict[str, float]:
    duration = FRAMES * codec.hop_length / codec.sample_rate
    settings = settings.model_copy(update={"duration": duration, "window": None})
    text = StandInText(engine.config.text_width)
    renderer = Renderer(engine, codec, text, PreparationConfig())
    tokens = renderer.draw_tokens([("", 0)], settings)[0]
    works = {
        "decode": lambda: renderer.draw_tokens([("", 0)], settings),
        "floor": floor_of(engine.config, dtype, engine.device),
        "codec": lambda: renderer.finish(tokens, settings),
    }
    taken = time_in_turns(works, ROUNDS, engine.device, progress)
    made = median(taken["decode"]) + median(taken["codec"])
    speed = describe_decoding(engine, taken["decode"], taken["floor"])
    return {**speed, "realtime": duration / made}


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
