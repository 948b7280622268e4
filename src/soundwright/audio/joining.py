"""Two sounds made one: cross-fades that keep the level, and loops that end where they begin."""

from __future__ import annotations

import torch
from torch import Tensor

from soundwright.core.errors import UserError

LARGEST_LAG_S = 0.01
"""Half a period of 50 Hz: any hum above it can meet itself in phase."""
LARGEST_STRETCH = 0.005
"""As a part of the loop, 9 cents."""


def cross_fade(old: Tensor, new: Tensor) -> Tensor:
    """Go over from one sound to another without a dip or a bump in level.

    With shares 1 - p and p, p along a half cosine, the power of the sum is that of its parts when
    the shares are divided by sqrt((1 - p)^2 + p^2 + 2 p (1 - p) r), r the correlation: equal gain
    for equal sounds (r = 1), equal power for unrelated ones (r = 0).

    Args:
        old: [C, N].
        new: [C, N].

    Returns:
        [C, N], which begins like `old` and ends like `new`.
    """
    power = (old.double().square().sum() * new.double().square().sum()).sqrt()
    alike = float((old.double() * new.double()).sum() / power) if power > 0 else 1.0
    alike = min(1.0, max(0.0, alike))
    phase = (torch.arange(old.shape[-1], dtype=torch.float64) + 0.5) / max(1, old.shape[-1])
    rise = (0.5 - 0.5 * torch.cos(torch.pi * phase)).to(old.device)
    fall = 1 - rise
    scale = (fall.square() + rise.square() + 2 * alike * fall * rise).sqrt()
    return ((old * fall + new * rise) / scale).to(old.dtype)


def close_loop(samples: Tensor, length: int, fade: int, sample_rate: int) -> Tensor:
    """Make a loop of a sound: its end flows into its beginning.

    The last `fade` samples of the loop go over from the sound as it goes on to the sound as it was
    before the loop's beginning. The sound is taken at the lag at which these two match best, and
    stretched as a periodic signal, in the frequency domain, to the exact length.

    Args:
        samples: [C, N], N at least `needed_for_loop(length, fade, sample_rate)`.
        length: Of the loop.
        fade: Samples of the cross-fade, at most `length`.
        sample_rate: Samples a second.

    Returns:
        [C, length]. Sample 0 may follow the last one.
    """
    assert fade <= length, f"a fade of {fade} samples in a loop of {length}"
    farthest = _farthest(length, sample_rate)
    before = samples[:, :fade]
    after = samples[:, length - farthest : length + farthest + fade]
    taken = length + best_lag(before, after) - farthest
    body = samples[:, fade : fade + taken].clone()
    body[:, taken - fade :] = cross_fade(samples[:, taken : taken + fade], before)
    return stretch_periodic(body, length)


def needed_for_loop(length: int, fade: int, sample_rate: int) -> int:
    """Samples that `close_loop` reads."""
    return length + fade + _farthest(length, sample_rate)


def best_lag(wanted: Tensor, within: Tensor) -> int:
    """Where in `within` [C, M] the piece most like `wanted` [C, N] begins: 0 to M - N.

    The measure is the normalised correlation; of equals the one nearest to the middle wins.
    """
    lags = within.shape[-1] - wanted.shape[-1] + 1
    size = within.shape[-1] + wanted.shape[-1]
    spectra = (torch.fft.rfft(part.double(), n=size) for part in (within, wanted))
    found, asked = spectra
    products = torch.fft.irfft(found * asked.conj(), n=size)[:, :lags].sum(dim=0)
    total = torch.nn.functional.pad(within.double().square().sum(dim=0).cumsum(dim=0), (1, 0))
    powers = total[wanted.shape[-1] :] - total[: -wanted.shape[-1]]
    likeness = products / powers.clamp_min(1e-9).sqrt()
    # Silence matches everywhere: differences below rounding decide nothing.
    best = (likeness >= likeness.max() - 1e-9).nonzero()[:, 0]
    return int(best[(best - lags // 2).abs().argmin()])


def stretch_periodic(samples: Tensor, length: int) -> Tensor:
    """Resample one period [C, N] of a periodic signal to `length` samples."""
    count = samples.shape[-1]
    if count == length:
        return samples
    spectrum = torch.fft.rfft(samples.double())
    return (torch.fft.irfft(spectrum, n=length) * (length / count)).to(samples.dtype)


def check_loop(duration: float, fade: float) -> None:
    """Refuse a loop that its own cross-fade would fill.

    Raises:
        UserError: It is shorter than two cross-fades.
    """
    if duration < 2 * fade:
        raise UserError(
            f"A loop of {duration:g} s is shorter than two cross-fades.",
            expected=f"at least {2 * fade:g} s",
        )


def _farthest(length: int, sample_rate: int) -> int:
    return min(round(LARGEST_LAG_S * sample_rate), int(LARGEST_STRETCH * length))
