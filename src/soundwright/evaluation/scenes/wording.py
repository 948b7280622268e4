"""Prompts about one attribute, said in several ways; two of a pair are said in the same way."""

from __future__ import annotations

import numpy as np

from soundwright.synthesis.captions import NUMBERS, class_prompts
from soundwright.synthesis.lexicon import entry_of


def clause(label: str) -> str:
    """A sentence: "a dog barks", "rain falls"."""
    return class_prompts(label)[0]


def going_on(label: str) -> str:
    """Without a finite verb: "a dog barking", "rain falling"."""
    entry = entry_of(label)
    return clause(label).removesuffix(entry.verb) + entry.ing


def times(count: int) -> str:
    """How often: "once", "twice", "three times"."""
    return {1: "once", 2: "twice"}.get(count) or f"{NUMBERS[count]} times"


def say_presence(labels: list[str], rng: np.random.Generator) -> str:
    """What is heard, in no said order: "rain falling, a dog barking and a siren wailing"."""
    if len(labels) == 1:
        return _pick(rng, *class_prompts(labels[0])[:4])
    said = [going_on(label) for label in labels]
    listed = f"{', '.join(said[:-1])} and {said[-1]}"
    return _pick(rng, listed, f"the sounds of {listed}", f"you can hear {listed}")


def say_count(label: str, count: int, rng: np.random.Generator) -> str:
    """So many events: "a dog barks three times", "three dog barks"."""
    entry = entry_of(label)
    noun = entry.noun if count == 1 else entry.nouns
    number = NUMBERS[count]
    return _pick(
        rng,
        f"{clause(label)} {times(count)}",
        f"{clause(label)} exactly {times(count)}",
        f"{number} {noun}",
        f"the sound of {number} {noun}",
    )


def say_duration(label: str, seconds: int, rng: np.random.Generator) -> str:
    """So long: "rain falls for three seconds", "three seconds of rain"."""
    long = _so_long(seconds)
    said = clause(label)
    return _pick(
        rng,
        f"{said} for {long}",
        f"{said} for {long}, then silence",
        f"{long} of {entry_of(label).noun}",
    )


def say_onset(label: str, seconds: int, rng: np.random.Generator) -> str:
    """One event at a time: "after two seconds of silence a dog barks once"."""
    long = _so_long(seconds)
    said = f"{clause(label)} once"
    return _pick(
        rng,
        f"after {long} of silence {said}",
        f"{long} of silence, then {said}",
        f"{said} at {long}",
    )


def say_span(label: str, start: int, end: int, rng: np.random.Generator) -> str:
    """A texture from one time to another: "rain falls from second one to second three"."""
    said = clause(label)
    return _pick(
        rng,
        f"{said} from {start} to {end} seconds",
        f"{said} from second {NUMBERS[start]} to second {NUMBERS[end]}",
    )


def _so_long(seconds: int) -> str:
    return f"{NUMBERS[seconds]} second{'s' if seconds > 1 else ''}"


def _pick(rng: np.random.Generator, *options: str) -> str:
    return options[int(rng.integers(len(options)))]
