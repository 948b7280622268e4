"""Plots as inline SVG; every one says in words, too, what it shows."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from soundwright.evaluation.results import Span

WIDTH, HEIGHT, MARGIN = 220, 30, 10
BINS = 24
SHAPES: Mapping[str, str] = {
    "generated": '<circle cx="{x}" cy="{y}" r="6" fill="var(--accent)"/>',
    "real against real": '<circle cx="{x}" cy="{y}" r="5" fill="none" stroke="var(--real)" '
    'stroke-width="2.5"/>',
    "shuffled prompts": '<path d="M{x} {y}m0 -6l6 6l-6 6l-6 -6z" fill="none" '
    'stroke="var(--quiet)" stroke-width="2"/>',
    "noise": '<path d="M{x} {y}m-4.5 -4.5h9v9h-9z" fill="none" stroke="var(--quiet)" '
    'stroke-width="2"/>',
    "silence": '<path d="M{x} {y}m-4.5 -4.5l9 9m0 -9l-9 9" stroke="var(--quiet)" '
    'stroke-width="2"/>',
}
"""A mark for each row of the report."""


def format_number(value: float) -> str:
    """Four digits that matter."""
    return f"{value:.4g}"


def draw_mark(name: str) -> str:
    """The mark of a row, for a legend."""
    shape = SHAPES[name].format(x=8, y=8)
    return f'<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>'


def draw_rows(values: Mapping[str, float], interval: Span | None) -> str:
    """Where a metric's rows lie on one line, from the least to the most.

    Large distances are drawn closer together (asinh), so that silence does not push all else into
    one corner.
    """
    everything = [*values.values(), *((interval.low, interval.high) if interval else ())]
    scale = _compress(everything)
    low, high = scale(min(everything)), scale(max(everything))

    def place(value: float) -> float:
        share = (scale(value) - low) / (high - low) if high > low else 0.5
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    middle = HEIGHT / 2
    parts = [_line(MARGIN, WIDTH - MARGIN, middle, "var(--line)", 2)]
    if interval is not None:
        parts.append(_line(place(interval.low), place(interval.high), middle, "var(--accent)", 5))
    parts += [
        f"<g><title>{html.escape(name)} {format_number(values[name])}</title>"
        + SHAPES[name].format(x=place(values[name]), y=middle)
        + "</g>"
        for name in reversed(list(SHAPES))
        if name in values
    ]
    told = ", ".join(f"{name} {format_number(value)}" for name, value in values.items())
    return _frame(told, parts)


def draw_difference(difference: float, interval: Span, better: str) -> str:
    """A paired difference with its interval, beside the line of no difference."""
    reach = max(abs(interval.low), abs(interval.high), abs(difference)) or 1.0

    def place(value: float) -> float:
        return round(WIDTH / 2 + value / reach * (WIDTH / 2 - MARGIN), 1)

    is_worse = interval.low > 0 if better == "lower" else interval.high < 0
    is_better = interval.high < 0 if better == "lower" else interval.low > 0
    colour = "var(--bad)" if is_worse else "var(--good)" if is_better else "var(--quiet)"
    middle = HEIGHT / 2
    parts = [
        _line(MARGIN, WIDTH - MARGIN, middle, "var(--line)", 2),
        f'<path d="M{WIDTH / 2} 3V{HEIGHT - 3}" stroke="var(--ink)"/>',
        _line(place(interval.low), place(interval.high), middle, colour, 5),
        f'<circle cx="{place(difference)}" cy="{middle}" r="6" fill="{colour}"/>',
    ]
    told = f"{difference:+.4g}, from {interval.low:+.4g} to {interval.high:+.4g}"
    return _frame(told, parts)


def draw_histogram(values: Sequence[float], *, zero: bool = False) -> str:
    """How often values occur; with a line at zero where they are differences."""
    height = 110
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(values, bins=BINS, range=(low, high))
    step = (WIDTH - 2 * MARGIN) / BINS
    bars = [
        f'<rect x="{MARGIN + number * step:.1f}" y="{90 - 78 * count / counts.max():.1f}" '
        f'width="{step - 1:.1f}" height="{78 * count / counts.max():.1f}" fill="var(--accent)"/>'
        for number, count in enumerate(counts)
        if count
    ]
    if zero:
        x = MARGIN + (0 - low) / (high - low) * (WIDTH - 2 * MARGIN)
        bars.append(f'<path d="M{x:.1f} 4V92" stroke="var(--ink)" stroke-dasharray="3 3"/>')
    bars += [
        f'<path d="M{MARGIN} 90H{WIDTH - MARGIN}" stroke="var(--line)" stroke-width="2"/>',
        f'<text x="{MARGIN}" y="106">{format_number(low)}</text>',
        f'<text x="{WIDTH - MARGIN}" y="106" text-anchor="end">{format_number(high)}</text>',
    ]
    told = f"{len(values)} sounds from {format_number(low)} to {format_number(high)}"
    return _frame(told, bars, height)


def _compress(values: Sequence[float]) -> Callable[[float], float]:
    sizes = sorted(abs(value) for value in values if value)
    unit = sizes[len(sizes) // 2] if sizes else 1.0
    wide = bool(sizes) and sizes[-1] > 20 * max(sizes[0], 1e-12)
    return (lambda value: math.asinh(value / unit * 3)) if wide else (lambda value: value)


def _line(start: float, stop: float, y: float, colour: str, width: float) -> str:
    return (
        f'<path d="M{start} {y}H{stop}" stroke="{colour}" stroke-width="{width}" '
        'stroke-linecap="round" opacity=".85"/>'
    )


def _frame(told: str, parts: Sequence[str], height: int = HEIGHT) -> str:
    return (
        f'<svg role="img" aria-label="{html.escape(told, quote=True)}" width="{WIDTH}" '
        f'height="{height}" viewBox="0 0 {WIDTH} {height}">' + "".join(parts) + "</svg>"
    )
