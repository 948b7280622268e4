"""Every generator by label, with its parameters. The ranges are where each model sounds right."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from soundwright.synthesis.generators import (
    animals,
    impacts,
    machines,
    music,
    people,
    signals,
    weather,
)
from soundwright.synthesis.generators.model import DURATION, Generator, Parameter

_LENGTH = Parameter(DURATION, 0.5, 10.0, "how long it goes on, s")


def _pitch(low: float, high: float, meaning: str) -> Parameter:
    return Parameter("pitch", low, high, f"{meaning}, Hz", "log")


_ALL = (
    # What hits what.
    Generator(
        "ball bounce",
        impacts.ball_bounce,
        (
            _pitch(170, 360, "lowest mode of the floor"),
            Parameter("hardness", 0, 1, "of the ball: rubber to golf"),
            Parameter("ring", 0.025, 0.06, "decay of the floor to 1/e, s"),
        ),
    ),
    Generator(
        "door knock",
        impacts.door_knock,
        (
            _pitch(150, 300, "lowest mode of the door"),
            Parameter("hardness", 0, 1, "of the knuckles"),
            Parameter("ring", 0.03, 0.07, "decay of the door to 1/e, s"),
        ),
    ),
    Generator(
        "hand clap",
        impacts.hand_clap,
        (
            _pitch(850, 2000, "resonance of the hollow between the hands"),
            Parameter("width", 1.35, 1.9, "half width of that resonance as a ratio"),
            Parameter("room", 0.05, 0.3, "share of the room's answer"),
        ),
    ),
    Generator(
        "applause",
        impacts.applause,
        (
            _LENGTH,
            Parameter("people", 8, 60, "number of people", "log"),
            Parameter("excitement", 0, 1, "how fast they clap"),
        ),
    ),
    Generator(
        "footstep",
        impacts.footstep,
        (
            Parameter("surface", 0, 1, "soft ground to hard floor"),
            Parameter("weight", 0, 1, "of the walker"),
            Parameter("scuff", 0.2, 1, "share of the sole's noise"),
        ),
    ),
    Generator(
        "hammer blow",
        impacts.hammer_blow,
        (
            _pitch(900, 1900, "lowest mode of the metal"),
            Parameter("ring", 0.03, 0.12, "decay of the metal to 1/e, s"),
            Parameter("wood", 0.4, 1.2, "share of the wooden thud"),
        ),
    ),
    Generator(
        "glass clink",
        impacts.glass_clink,
        (
            _pitch(900, 2000, "lowest mode of the first glass"),
            Parameter("ring", 0.12, 0.4, "decay of the lowest mode to 1/e, s"),
            Parameter("brightness", 0.5, 0.9, "gain from one mode to the next"),
        ),
    ),
    Generator(
        "clock tick",
        impacts.clock_tick,
        (
            _pitch(1500, 3400, "lowest mode of the escapement"),
            Parameter("body", 0.2, 1.0, "share of the case's resonance"),
            Parameter("spread", 0.004, 0.014, "time between the tiny blows, s"),
        ),
    ),
    Generator(
        "water drop",
        impacts.water_drop,
        (
            _pitch(700, 2400, "of the bubble at first"),
            Parameter("rise", 0.05, 0.35, "growth of the pitch within one decay"),
            Parameter("fall", 0.012, 0.04, "decay of the bubble to 1/e, s"),
        ),
    ),
    Generator(
        "stream",
        impacts.stream,
        (
            _LENGTH,
            Parameter("bubbles", 90, 350, "bubbles a second", "log"),
            _pitch(500, 1100, "of the middle bubble"),
        ),
    ),
    Generator(
        "typing",
        impacts.typing,
        (
            _LENGTH,
            Parameter("speed", 4, 9, "keys a second"),
            Parameter("depth", 0.2, 1.0, "share of the keys' thud"),
        ),
    ),
    # Animals.
    Generator(
        "dog bark",
        animals.dog_bark,
        (
            _pitch(230, 620, "highest pitch"),
            Parameter("length", 0.16, 0.32, "s"),
            Parameter("roughness", 0.25, 0.9, "how forced the voice is"),
            Parameter("size", 0, 1, "of the dog's head"),
        ),
    ),
    Generator(
        "cat meow",
        animals.cat_meow,
        (
            _pitch(480, 780, "of the vowel"),
            Parameter("length", 0.5, 0.95, "s"),
            Parameter("whine", 0, 1, "how far the pitch climbs"),
        ),
    ),
    Generator(
        "rooster",
        animals.rooster_crow,
        (
            _pitch(620, 980, "of the long syllable"),
            Parameter("length", 1.3, 2.2, "s"),
            Parameter("roughness", 0.1, 0.5, "how forced the voice is"),
        ),
    ),
    Generator(
        "bird chirp",
        animals.bird_chirp,
        (
            _pitch(2700, 5200, "of the middle"),
            Parameter("sweep", -0.25, 0.25, "relative change of pitch"),
            Parameter("length", 0.07, 0.2, "s"),
            Parameter("trill", 0, 1, "depth of the tremble"),
        ),
    ),
    Generator(
        "owl hoot",
        animals.owl_hoot,
        (
            _pitch(270, 420, "of the call"),
            Parameter("length", 0.35, 0.7, "s"),
            Parameter("breath", 0.03, 0.15, "share of breath"),
        ),
    ),
    Generator(
        "frog croak",
        animals.frog_croak,
        (
            _pitch(550, 1100, "resonance of the vocal sac"),
            Parameter("rate", 28, 60, "pulses a second"),
            Parameter("length", 0.25, 0.5, "s"),
        ),
    ),
    Generator(
        "crickets",
        animals.crickets,
        (
            _LENGTH,
            _pitch(3900, 5300, "of the song"),
            Parameter("rate", 1.6, 3.4, "chirps a second of one cricket"),
            Parameter("insects", 1, 4, "number of crickets"),
        ),
    ),
    # People.
    Generator(
        "baby cry",
        people.baby_cry,
        (
            _pitch(370, 540, "of the wail"),
            Parameter("length", 0.7, 1.3, "s"),
            Parameter("distress", 0, 1, "how forced the voice is"),
        ),
    ),
    Generator(
        "person sneeze",
        people.sneeze,
        (
            _pitch(120, 280, "of the voice"),
            Parameter("burst", 0.12, 0.3, "length of the outburst, s"),
            Parameter("voicing", 0.2, 1.0, "share of the voice"),
        ),
    ),
    Generator(
        "whistle",
        people.whistle,
        (
            _pitch(950, 1900, "of the middle"),
            Parameter("glide", -0.3, 0.45, "relative change of pitch"),
            Parameter("length", 0.35, 0.9, "s"),
        ),
    ),
    # Weather, water and fire.
    Generator(
        "rain",
        weather.rain,
        (
            _LENGTH,
            Parameter("intensity", 0.2, 1, "strength of the far rain"),
            Parameter("drops", 25, 220, "near drops a second", "log"),
            Parameter("surface", 0, 1, "what the near drops meet: earth to tin"),
        ),
    ),
    Generator(
        "wind",
        weather.wind,
        (
            _LENGTH,
            _pitch(280, 600, "of the middle band"),
            Parameter("gusts", 0.4, 1, "how much it swells"),
            Parameter("whistling", 0.1, 0.8, "share of the howl"),
        ),
    ),
    Generator(
        "sea waves",
        weather.sea_waves,
        (
            _LENGTH,
            Parameter("period", 2.6, 5.5, "from wave to wave, s"),
            Parameter("roughness", 0.2, 1, "grain of the water"),
            Parameter("foam", 0.4, 1.2, "share of the hiss"),
        ),
    ),
    Generator(
        "thunder",
        weather.thunder,
        (
            Parameter("length", 2.0, 3.6, "s"),
            Parameter("nearness", 0.2, 1, "share of the crack"),
            Parameter("rumble", 0, 1, "brightness of the rumble"),
        ),
    ),
    Generator(
        "fire crackling",
        weather.fire_crackling,
        (
            _LENGTH,
            Parameter("rate", 8, 30, "cracks a second", "log"),
            Parameter("snap", 0.2, 1, "how unequal the cracks are"),
            Parameter("roar", 0.2, 1.2, "share of the flames"),
        ),
    ),
    # Machines.
    Generator(
        "engine",
        machines.engine,
        (
            _LENGTH,
            Parameter("speed", 800, 2800, "turns a minute", "log"),
            Parameter("load", 0, 1, "how hard it works"),
            Parameter("unevenness", 0.1, 0.6, "difference between cylinders"),
        ),
    ),
    Generator(
        "helicopter",
        machines.helicopter,
        (
            _LENGTH,
            Parameter("rate", 10, 19, "passing blades a second"),
            Parameter("slap", 0, 1, "sharpness of the chop"),
            Parameter("turbine", 0.2, 1, "share of the whine"),
        ),
    ),
    Generator(
        "chainsaw",
        machines.chainsaw,
        (
            _LENGTH,
            Parameter("speed", 4500, 8500, "turns a minute", "log"),
            Parameter("cutting", 0.3, 1, "share of the chain's noise"),
            Parameter("revving", 0.2, 1, "how much the throttle moves"),
        ),
    ),
    Generator(
        "hand saw",
        machines.hand_saw,
        (
            _LENGTH,
            Parameter("rate", 1.1, 2.2, "strokes to and fro a second"),
            Parameter("teeth", 60, 140, "teeth a second at the fastest"),
            _pitch(800, 1800, "resonance of the wood"),
        ),
    ),
    Generator(
        "vacuum cleaner",
        machines.vacuum_cleaner,
        (
            _LENGTH,
            _pitch(180, 380, "of the motor"),
            Parameter("air", 0.6, 1.2, "share of the rushing air"),
            Parameter("whine", 0.3, 1, "share of the motor"),
        ),
    ),
    # Signals made for ears.
    Generator(
        "church bell",
        signals.church_bell,
        (
            _pitch(280, 700, "of the strike note"),
            Parameter("ring", 0.8, 1.6, "decay of the hum to 1/e, s"),
            Parameter("hardness", 0, 1, "of the clapper"),
        ),
    ),
    Generator(
        "bicycle bell",
        signals.bicycle_bell,
        (
            _pitch(1300, 2300, "lowest mode of the dome"),
            Parameter("ring", 0.2, 0.45, "decay of the dome to 1/e, s"),
            Parameter("rattle", 14, 24, "blows a second"),
        ),
    ),
    Generator(
        "doorbell",
        signals.doorbell,
        (
            _pitch(520, 880, "of the first note"),
            Parameter("interval", 0.4, 0.65, "from ding to dong, s"),
            Parameter("ring", 0.25, 0.5, "decay of a note to 1/e, s"),
        ),
    ),
    Generator(
        "alarm beep",
        signals.alarm_beep,
        (
            _pitch(850, 3000, "of the beep"),
            Parameter("length", 0.08, 0.28, "s"),
            Parameter("hardness", 0, 1, "share of the odd harmonics"),
        ),
    ),
    Generator(
        "siren",
        signals.siren,
        (
            _LENGTH,
            Parameter("low", 450, 750, "lowest pitch, Hz", "log"),
            Parameter("span", 1.35, 2.4, "highest pitch relative to the lowest"),
            Parameter("rate", 0.3, 2.5, "ups and downs a second", "log"),
            Parameter("steps", 0, 1, "above 0.5 it steps between two notes"),
        ),
    ),
    Generator(
        "car horn",
        signals.car_horn,
        (
            _pitch(330, 460, "of the lower disc"),
            Parameter("ratio", 1.18, 1.28, "of the upper disc"),
            Parameter("length", 0.25, 0.8, "s"),
            Parameter("brightness", 0, 1, "of the discs"),
        ),
    ),
    Generator(
        "phone ring",
        signals.phone_ring,
        (
            _pitch(950, 1700, "lowest mode of the first bell"),
            Parameter("rate", 18, 26, "blows of the clapper a second"),
            Parameter("length", 0.6, 1.1, "s"),
        ),
    ),
    # Instruments.
    Generator(
        "guitar pluck",
        music.guitar_pluck,
        (
            _pitch(95, 420, "of the string"),
            Parameter("sustain", 1.5, 4.0, "time to -60 dB of the fundamental, s"),
            Parameter("brightness", 0.1, 1, "of the pluck"),
            Parameter("place", 0.1, 0.35, "of the pluck along the string"),
        ),
    ),
    Generator(
        "piano note",
        music.piano_note,
        (
            _pitch(120, 900, "of the note"),
            Parameter("force", 0.2, 1, "of the hammer"),
            Parameter("sustain", 0.4, 0.9, "decay to 1/e, s"),
        ),
    ),
    Generator(
        "flute note",
        music.flute_note,
        (
            _pitch(420, 1400, "of the note"),
            Parameter("length", 0.4, 1.0, "s"),
            Parameter("breath", 0.2, 1, "share of breath"),
        ),
    ),
    Generator(
        "snare drum",
        music.snare_drum,
        (
            _pitch(160, 240, "lowest mode of the skin"),
            Parameter("snares", 0.2, 1, "share and length of the wires"),
            Parameter("ring", 0.03, 0.07, "decay of the skin to 1/e, s"),
        ),
    ),
    Generator(
        "kick drum",
        music.kick_drum,
        (
            _pitch(45, 75, "that it falls to"),
            Parameter("punch", 0.2, 1, "of the beater"),
            Parameter("ring", 0.07, 0.16, "decay to 1/e, s"),
        ),
    ),
    Generator(
        "cymbal",
        music.cymbal,
        (
            Parameter("ring", 0.3, 0.7, "decay to 1/e, s"),
            Parameter("brightness", 0, 1, "of the hiss"),
            Parameter("wash", 0.3, 1, "share of the middle"),
        ),
    ),
)

GENERATORS: Mapping[str, Generator] = MappingProxyType({one.label: one for one in _ALL})
"""Label -> generator."""
