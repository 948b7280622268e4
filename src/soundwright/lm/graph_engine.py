"""The decode engine for GPUs: static shapes, so that a step can be captured as a CUDA graph.

A GPU is done with an operation of a small step before Python has asked for the next one. A graph
holds the whole step (read, guide, draw) and is started by one call. It works on fixed addresses and
fixed shapes; so batches, texts and capacities are rounded up to buckets, positions and lengths are
numbers in memory, and attention reads the cache up to a bucket's end and masks what is not there.
Rooms of buckets are kept, with their graphs, for the requests that follow.

On any other device the same steps run without capture, which is how they are tested.
"""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.protocols import TextStates
from soundwright.lm.cache import StaticCache
from soundwright.lm.engine import stack_rows
from soundwright.lm.layers import visible_text
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.patterns import Pattern
from soundwright.lm.sampling import SamplingConfig, guide, sample

TEXT_BUCKET = 16
"""Text positions are rounded up to a multiple of this."""
SPANS = (128, 256, 512, 1024)
"""Lengths that the cache may have and a step may read; beyond the last, its multiples."""
MOST_ROOMS = 4
"""Rooms that are kept; the one unused for longest makes place."""
_WARM_UPS = 3
"""Steps before a capture, in which libraries choose kernels and take their memory."""


class GraphEngine:
    """A model whose steps are captured once and then replayed.

    Args:
        lm: The model, in the dtype in which it shall work.
        capture: Whether to capture; by default on CUDA.
    """

    def __init__(self, lm: AudioLm, *, capture: bool | None = None) -> None:
        self.lm = lm
        self.parameters = sum(parameter.numel() for parameter in lm.parameters())
        self._capture = self.device.type == "cuda" if capture is None else capture
        self._rooms: list[_Room] = []

    @property
    def config(self) -> LmConfig:
        """The model's shape."""
        return self.lm.config

    @property
    def pattern(self) -> Pattern:
        """How frames are laid out over steps."""
        return self.lm.pattern

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.lm.out_norm.weight.device

    @torch.inference_mode()
    def begin(
        self,
        text: TextStates,
        negative: TextStates | None,
        sampling: SamplingConfig,
        capacity: int,
    ) -> GraphSession:
        """As `Engine.begin`."""
        items = len(text.mask)
        states, mask = stack_rows(text, negative, sampling.guidance)
        shape = _Shape(
            items=_round_items(items),
            repeats=1 if sampling.guidance == 1 else 2,
            text=_round_up(max(states.shape[1], 1), TEXT_BUCKET),
            capacity=round_span(capacity),
        )
        room = self._find_room(shape)
        room.read_text(states.to(self.device), mask.to(self.device))
        session = GraphSession(room, items, sampling)
        room.tenant = weakref.ref(session)
        return session

    def _find_room(self, shape: _Shape) -> _Room:
        """A free room of this shape, moved to the end of the list; an old one makes place."""
        free = [room for room in self._rooms if room.is_free]
        room = next((room for room in free if room.shape == shape), None)
        if room is None:
            if len(self._rooms) >= MOST_ROOMS and free:
                self._rooms.remove(free[0])
            room = _Room(self.lm, shape, capture=self._capture)
        else:
            self._rooms.remove(room)
        self._rooms.append(room)
        return room


class GraphSession:
    """The first items of a room; the others are computed for nothing."""

    def __init__(self, room: _Room, items: int, sampling: SamplingConfig) -> None:
        self._room, self._items, self._sampling = room, items, sampling
        room.cache.length = 0

    @torch.inference_mode()
    def draw(self, tokens: Tensor, chance: Tensor) -> Tensor:
        """As `Session.draw`."""
        room, steps = self._room, tokens.shape[-1]
        room.chance[: self._items] = chance
        if steps > 1:
            padding = (0, 0, 0, 0, 0, room.shape.items - self._items)
            room.step(F.pad(tokens, padding), self._sampling)
        else:
            room.tokens[: self._items] = tokens
            room.cache.place(min(round_span(room.cache.length + 1), room.shape.capacity))
            room.run(self._sampling)
        room.cache.length += steps
        return room.drawn[: self._items].clone()

    def rewind(self) -> None:
        """As `Session.rewind`."""
        self._room.cache.length = 0

    def is_finite(self) -> bool:
        """As `Session.is_finite`."""
        return bool(torch.isfinite(self._room.logits[: self._items]).all())


class _Shape(NamedTuple):
    """What a room has place for."""

    items: int
    repeats: int
    """Rows for each item: conditional and unconditional, or the former alone."""
    text: int
    capacity: int


class _Room:
    """Everything that graphs of one shape read and write, and these graphs."""

    def __init__(self, lm: AudioLm, shape: _Shape, *, capture: bool) -> None:
        config, weight = lm.config, lm.out_norm.weight
        self.shape = shape
        self.tenant: weakref.ref[GraphSession] | None = None
        self.cache = StaticCache(
            config.layers,
            shape.items * shape.repeats,
            config.heads,
            shape.capacity,
            config.dim,
            shape.text,
            weight.detach(),
        )
        cells = (shape.items, config.codebooks)
        self.tokens = torch.zeros(*cells, 1, dtype=torch.int64, device=weight.device)
        precise = torch.float32 if weight.device.type == "mps" else torch.float64
        self.chance = torch.zeros(cells, dtype=precise, device=weight.device)
        self.drawn = torch.zeros(cells, dtype=torch.int64, device=weight.device)
        self.logits = torch.zeros(*cells, config.codebook_size, device=weight.device)
        self._lm, self._capture = lm, capture
        self._graphs: dict[tuple[object, ...], torch.cuda.CUDAGraph] = {}

    @property
    def is_free(self) -> bool:
        """Whether no session works here."""
        return self.tenant is None or self.tenant() is None

    def read_text(self, states: Tensor, mask: Tensor) -> None:
        """Project the texts [rows, S, text_width] of all items to every layer's keys and values."""
        _, memory = self._lm.read_text(states, mask)
        visible = memory.visible
        if visible is None:
            visible = memory.states.new_ones(len(mask), memory.states.shape[1], dtype=torch.bool)
        shape = self.shape
        told, seen = (
            _spread(tensor, shape.repeats, shape.items, shape.text)
            for tensor in (memory.states, visible.view(len(mask), -1))
        )
        self.cache.text_mask.copy_(visible_text(seen)[:, None, None])
        self._lm.remember(told, self.cache)

    def run(self, sampling: SamplingConfig) -> None:
        """One step from `tokens` and `chance` to `drawn`, captured when it is new."""
        if not self._capture:
            self.step(self.tokens, sampling)
            return
        fields = SamplingConfig.model_fields
        key = (self.cache.span, *(getattr(sampling, name) for name in fields))
        if key not in self._graphs:
            self._graphs[key] = self._record(sampling)
        self._graphs[key].replay()

    def step(self, tokens: Tensor, sampling: SamplingConfig) -> None:
        """Read tokens [items, K, S], guide, draw. Everything stays on the device."""
        repeats = self.shape.repeats
        logits = self._lm.step(tokens.repeat(repeats, 1, 1), self.cache).float()
        if repeats == 2:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, sampling.guidance)
        self.logits.copy_(logits)
        self.drawn.copy_(sample(logits, self.chance, sampling))

    def _record(self, sampling: SamplingConfig) -> torch.cuda.CUDAGraph:
        """A graph of `step`. Steps before it write where the replay will write again."""
        with torch.cuda.device(self.tokens.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UPS):
                    self.step(self.tokens, sampling)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step(self.tokens, sampling)
        return graph


def round_span(length: int) -> int:
    """The bucket for `length` positions."""
    fitting = (span for span in SPANS if span >= length)
    return next(fitting, _round_up(length, SPANS[-1]))


def _round_items(items: int) -> int:
    """1, 2, 4, 8, then multiples of 8."""
    return 1 << (items - 1).bit_length() if items <= 8 else _round_up(items, 8)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _spread(tensor: Tensor, repeats: int, items: int, length: int) -> Tensor:
    """[repeats * B, S, ...] to [repeats * items, length, ...], with zeros in the new places."""
    parts = tensor.unflatten(0, (repeats, -1))
    wide = tensor.new_zeros(repeats, items, length, *tensor.shape[2:])
    wide[:, : parts.shape[1], : parts.shape[2]] = parts
    return wide.flatten(0, 1)
