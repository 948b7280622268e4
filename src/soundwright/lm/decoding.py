"""Cached decoding: text states in, codec tokens out.

Each item has a stream of its own, so that its sound does not depend on its batch mates. Sounds
longer than the window are made window by window, each primed with the end of what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.core.protocols import TextStates
from soundwright.lm.chance import Chance
from soundwright.lm.engine import Engine, Session
from soundwright.lm.patterns import Pattern
from soundwright.lm.sampling import SamplingConfig

_UNKNOWN = -1

Progress = Callable[[int, int], None]
"""Called after each step with the number of frames begun and the number of all frames."""


class DecodingConfig(SamplingConfig):
    """How tokens are generated."""

    window: int | None = None
    """Most frames that the model reads at once: what it was trained on. None sets no limit."""
    overlap: int | None = None
    """Frames of the sound so far that prime a further window; None is four fifths of its reach.
    With less, what the model forgets at once may be heard: events begin at the seams."""
    tail: Literal["continue", "special"] = "continue"
    """What codebooks read behind their last frame while later codebooks catch up. "continue": they
    go on, and what lies beyond the end is cut off. "special": the special token, as AudioCraft
    and transformers have it; training never shows it there."""

    @model_validator(mode="after")
    def _window_moves(self) -> Self:
        if self.window is not None and self.window < 1:
            raise UserError(f"The window is {self.window} frames.", expected="at least 1, or null")
        if self.overlap is not None and not 0 <= self.overlap < (self.window or self.overlap + 1):
            raise UserError(
                f"The overlap is {self.overlap} frames.",
                expected=f"at least 0 and less than the window, {self.window}",
            )
        return self

    @property
    def primed(self) -> int:
        """Frames that prime a further window."""
        return self.reach * 4 // 5 if self.overlap is None else self.overlap

    @property
    def reach(self) -> int:
        """Steps that a window of a longer sound takes: four fifths of the window.

        Many a sound dies away before its clip ends, and the model knows where that is: with windows
        up to there, a long sound falls quiet at the end of each and comes back with the next.
        """
        return (self.window or 0) * 4 // 5

    def hold(self, frames: int, lag: int) -> int:
        """Frames of a sound of `frames` frames that are made in one window.

        What fits into the window is made at once. In a longer sound, windows end `lag` frames
        before their reach: a frame is whole only `lag` steps after its first codebook. What the
        first codebooks have of the frames that are not yet whole is kept: the next window goes on
        from there.
        """
        if self.window is None or frames <= self.window:
            return frames
        return max(self.primed + 1, self.reach - lag)


def generate(
    engine: Engine,
    text: TextStates,
    frames: int,
    seeds: Sequence[int],
    config: DecodingConfig,
    *,
    prompt_tokens: Tensor | None = None,
    negative: TextStates | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Generate tokens for B texts.

    Args:
        engine: The model, ready to decode.
        text: States of the B texts, on any device.
        frames: T, the length of the result, the prompt included.
        seeds: One for each item. Same seed, same text, same settings: same tokens.
        config: How to sample.
        prompt_tokens: [B, K, P] with P < T: the beginning, which is continued.
        negative: B texts to be guided away from, in the place of the empty text.
        progress: Told how far it is.

    Returns:
        [B, K, T] int64 on the model's device, each in [0, codebook_size).

    Raises:
        UserError: A length or a number of items that cannot be, or a model whose outputs are not
            finite.
    """
    pieces = stream(
        engine,
        text,
        frames,
        seeds,
        config,
        prompt_tokens=prompt_tokens,
        negative=negative,
        progress=progress,
    )
    # Made outside of inference mode, a tensor like any other, which may be trained on.
    return torch.cat(list(pieces), dim=-1)


def stream(
    engine: Engine,
    text: TextStates,
    frames: int,
    seeds: Sequence[int],
    config: DecodingConfig,
    *,
    every: int | None = None,
    prompt_tokens: Tensor | None = None,
    negative: TextStates | None = None,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """Generate tokens for B texts piece by piece.

    With a window, the memory taken does not grow with the length. Arguments and errors are those
    of `generate`, and one more: with `every`, a piece ends at each frame whose number is a multiple
    of it, as soon as that is drawn; without it, and also, at the end of each window. What cannot be
    asked for is refused at once; outputs that are not finite, when they come.

    Returns:
        An iterator over pieces [B, K, t]; together they are what `generate` returns.
    """
    _check_request(engine, text, frames, seeds, prompt_tokens, negative)
    texts = (text, negative)
    return _stream(engine, texts, frames, seeds, config, every, prompt_tokens, progress)


@torch.inference_mode()
def _stream(
    engine: Engine,
    texts: tuple[TextStates, TextStates | None],
    frames: int,
    seeds: Sequence[int],
    config: DecodingConfig,
    every: int | None,
    prompt_tokens: Tensor | None,
    progress: Progress | None,
) -> Iterator[Tensor]:
    K, lag, device = engine.config.codebooks, engine.pattern.lag, engine.device
    done = 0 if prompt_tokens is None else prompt_tokens.shape[-1]
    recent = torch.full((len(seeds), K, done + lag), _UNKNOWN, device=device)
    if prompt_tokens is not None:
        recent[..., :done] = prompt_tokens
        yield recent[..., :done].clone()
    begin, ahead = 0, 0
    window = config.hold(frames, lag)
    session = engine.begin(*texts, config, window + lag)
    chance = Chance(seeds, K, device)
    while done < frames:
        start, stop = next_window(done, frames, window, config.primed)
        end = frames - start if config.tail == "special" else None
        sequence = _begin_sequence(
            engine.pattern, recent[..., start - begin :], stop - start, end, engine.config.special
        )
        yield from _decode_window(
            engine,
            session,
            sequence,
            (done - start, ahead),
            chance.span(start, stop + lag),
            None if every is None else (every, start),
            progress and (lambda step, base=start: progress(min(base + step, frames), frames)),
        )
        tokens, drawn = engine.pattern.revert(sequence, stop - start + lag)
        recent = tokens.where(drawn, _UNKNOWN)
        begin, done, ahead = start, stop, lag
        session.rewind()


def next_window(done: int, frames: int, window: int, primed: int) -> tuple[int, int]:
    """First and last frame (exclusive) of the window that follows `done` finished frames.

    Without a full window's worth of frames behind it the window begins at the sound's beginning;
    else it begins `primed` frames before the end of what is done.
    """
    start = 0 if done < window else done - primed
    return start, min(frames, start + window)


def _decode_window(
    engine: Engine,
    session: Session,
    sequence: Tensor,
    known: tuple[int, int],
    uniforms: Tensor,
    every: tuple[int, int] | None,
    progress: Callable[[int], None] | None,
) -> Iterator[Tensor]:
    """Draw what is unknown in `sequence` [B, K, steps], with a session that has read nothing.

    Gives the frames in pieces. With `every`, (n, first), they end at multiples of n, the frames of
    the window being numbered from `first` on.

    Args:
        engine: The model.
        session: Of the engine.
        sequence: From `_begin_sequence`; its unknown cells are filled in.
        known: How many frames are whole, and for how many steps behind them all is known too.
        uniforms: [B, frames + lag, K]: the chance of each cell, by its frame.
        every: Where pieces end besides the window's end.
        progress: Told the number of each step.
    """
    pattern = engine.pattern
    given, ahead = known
    frames = sequence.shape[-1] - 1 - pattern.lag
    # The row of `uniforms` from which a cell draws is its frame.
    cell_frames = pattern.frame_at(sequence.shape[-1], sequence.device).clamp_min(0)
    chance = uniforms.transpose(1, 2).gather(2, cell_frames.expand(*sequence.shape))
    unread = 0
    # The first step of which something is unknown, and so the first that is predicted.
    for step in range(given + ahead + 1, sequence.shape[-1]):
        drawn = session.draw(sequence[..., unread:step], chance[..., step])
        cells = sequence[..., step]
        sequence[..., step] = torch.where(cells == _UNKNOWN, drawn, cells)
        unread = step
        if progress is not None:
            progress(step)
        whole = step - pattern.lag
        ends = whole == frames or (every is not None and (whole + every[1]) % every[0] == 0)
        if ends and whole > given:
            if not session.is_finite():
                raise UserError("The model's outputs are not finite: its weights are damaged.")
            yield pattern.revert(sequence, whole)[0][..., given:]
            given = whole


def _begin_sequence(
    pattern: Pattern, known: Tensor, frames: int, end: int | None, special: int
) -> Tensor:
    """Lay out a window of so many frames, with -1 in the cells to be drawn: [B, K, steps].

    Args:
        pattern: The model's.
        known: [B, K, T]: the window's frames as far as they were drawn, -1 in the other cells.
        frames: Those that the window shall make whole.
        end: From this frame on the special token is read; None draws what lies there.
        special: That token.
    """
    lack = frames + pattern.lag - known.shape[-1]
    padded = F.pad(known, (0, lack), value=_UNKNOWN)[..., :end]
    return pattern.lay_out(padded, special, pattern.steps(frames))


def _check_request(
    engine: Engine,
    text: TextStates,
    frames: int,
    seeds: Sequence[int],
    prompt: Tensor | None,
    negative: TextStates | None,
) -> None:
    items, K = len(text.mask), engine.config.codebooks
    if frames < 1:
        raise UserError(f"A sound of {frames} frames was asked for.", expected="at least one frame")
    if not items:
        raise UserError("There is no text to generate from.", expected="at least one")
    if len(seeds) != items:
        raise UserError(f"There are {len(seeds)} seeds for {items} texts.", expected="one for each")
    if negative is not None and len(negative.mask) != items:
        raise UserError(
            f"There are {len(negative.mask)} negative texts for {items} texts.",
            expected="one for each",
        )
    if prompt is None:
        return
    if prompt.shape[:2] != (items, K):
        raise UserError(
            f"The tokens to continue are {prompt.shape[0]} items of {prompt.shape[1]} codebooks.",
            expected=f"{items} items of {K} codebooks",
        )
    if prompt.shape[-1] >= frames:
        raise UserError(
            f"The sound to continue has {prompt.shape[-1]} frames, the result shall have {frames}.",
            change="Ask for a longer duration.",
        )
    if prompt.numel() and not (0 <= int(prompt.min()) <= int(prompt.max()) < engine.config.special):
        raise UserError(
            "The tokens to continue are of another codec.",
            expected=f"tokens from 0 to {engine.config.special - 1}",
        )
