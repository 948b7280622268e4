"""What a label means: how people say it, whether it can be counted, how it repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Rhythm:
    """How events of one source follow each other, from onset to onset."""

    low: float = 0.35
    """Shortest usual interval in seconds."""
    high: float = 0.8
    """Longest usual interval in seconds."""
    jitter: float = 0.08
    """Relative unevenness within one series."""
    restitution: tuple[float, float] | None = None
    """Range of the ratio from one interval to the next, where a series runs down: a ball."""
    rings: bool = False
    """Whether the next event may begin while this one still sounds."""


@dataclass(frozen=True)
class Entry:
    """The words for one label: "a dog" "barks", "barking", "dog bark", "dog barks"."""

    noun: str
    """What happens, without article: "dog bark"; for a texture what is heard: "rain"."""
    nouns: str
    """Plural of `noun`; empty for a texture, which cannot be counted."""
    subject: str
    """Who or what makes it, without article: "dog"."""
    verb: str
    """Of the third person, with what belongs to it: "barks", "knocks on a door"."""
    ing: str
    """Present participle: "barking", "knocking on a door"."""
    absent: str
    """What is not there, after "no" or "without": "dogs barking"."""
    rhythm: Rhythm = Rhythm()
    article: bool = True
    """Whether the subject takes "a": not "rain", not "waves"."""
    plural: bool = False
    """Whether the subject is plural: "crickets are chirping"."""
    diffuse: bool = False
    """Whether it has no single source: two rains at once are one rain."""

    @property
    def countable(self) -> bool:
        """Whether its events are single happenings that can be counted."""
        return bool(self.nouns)


_SLOW = Rhythm(0.7, 1.3)
_QUICK = Rhythm(0.18, 0.42)

LEXICON: Mapping[str, Entry] = MappingProxyType(
    {
        # What hits what.
        "ball bounce": Entry(
            "ball bounce", "ball bounces", "ball", "bounces", "bouncing", "ball bouncing",
            Rhythm(0.45, 0.75, 0.0, restitution=(0.72, 0.92), rings=True),
        ),
        "door knock": Entry(
            "door knock", "door knocks", "person", "knocks on a door", "knocking on a door",
            "knocking", Rhythm(0.2, 0.42, 0.06, rings=True),
        ),
        "hand clap": Entry(
            "hand clap", "hand claps", "person", "claps", "clapping", "clapping",
            Rhythm(0.25, 0.6, 0.06),
        ),
        "applause": Entry(
            "applause", "", "audience", "applauds", "applauding", "applause"
        ),
        "footstep": Entry(
            "footstep", "footsteps", "person", "steps", "stepping", "footsteps",
            Rhythm(0.4, 0.68, 0.05),
        ),
        "hammer blow": Entry(
            "hammer blow", "hammer blows", "hammer", "hits a nail", "hitting a nail", "hammering",
            Rhythm(0.35, 0.7, 0.06, rings=True),
        ),
        "glass clink": Entry(
            "glass clink", "glass clinks", "glass", "clinks", "clinking", "glasses clinking",
            Rhythm(0.35, 0.9, 0.15, rings=True),
        ),
        "clock tick": Entry(
            "clock tick", "clock ticks", "clock", "ticks", "ticking", "clock ticking",
            Rhythm(0.35, 1.0, 0.01),
        ),
        "water drop": Entry(
            "water drop", "water drops", "drop of water", "falls", "falling", "water dripping",
            Rhythm(0.3, 0.9, 0.2),
        ),
        "stream": Entry(
            "flowing water", "", "stream", "flows", "flowing", "water flowing"
        ),
        "typing": Entry(
            "typing", "", "person", "types on a keyboard", "typing on a keyboard", "typing"
        ),
        # Animals.
        "dog bark": Entry(
            "dog bark", "dog barks", "dog", "barks", "barking", "dogs barking",
            Rhythm(0.32, 0.75, 0.15),
        ),
        "cat meow": Entry(
            "cat meow", "cat meows", "cat", "meows", "meowing", "cats meowing", _SLOW
        ),
        "rooster": Entry(
            "rooster crow", "rooster crows", "rooster", "crows", "crowing", "roosters", _SLOW
        ),
        "bird chirp": Entry(
            "bird chirp", "bird chirps", "bird", "chirps", "chirping", "birds",
            Rhythm(0.25, 0.6, 0.15),
        ),
        "owl hoot": Entry(
            "owl hoot", "owl hoots", "owl", "hoots", "hooting", "owls", Rhythm(0.6, 1.1)
        ),
        "frog croak": Entry(
            "frog croak", "frog croaks", "frog", "croaks", "croaking", "frogs", Rhythm(0.5, 0.9)
        ),
        "crickets": Entry(
            "crickets", "", "crickets", "chirp", "chirping", "crickets",
            article=False, plural=True,
        ),
        # People.
        "baby cry": Entry(
            "baby cry", "baby cries", "baby", "cries", "crying", "babies crying", _SLOW
        ),
        "person sneeze": Entry(
            "sneeze", "sneezes", "person", "sneezes", "sneezing", "sneezing", Rhythm(0.7, 1.1)
        ),
        "whistle": Entry(
            "whistle", "whistles", "person", "whistles", "whistling", "whistling",
            Rhythm(0.6, 1.1),
        ),
        # Weather, water and fire.
        "rain": Entry(
            "rain", "", "rain", "falls", "falling", "rain", article=False, diffuse=True
        ),
        "wind": Entry(
            "wind", "", "wind", "blows", "blowing", "wind", article=False, diffuse=True
        ),
        "sea waves": Entry(
            "sea waves", "", "sea waves", "roll ashore", "rolling ashore", "sea waves",
            article=False, plural=True, diffuse=True,
        ),
        "thunder": Entry(
            "clap of thunder", "claps of thunder", "clap of thunder", "rumbles", "rumbling",
            "thunder", Rhythm(1.2, 2.2, rings=True),
        ),
        "fire crackling": Entry(
            "fire crackling", "", "fire", "crackles", "crackling", "fire crackling",
            diffuse=True,
        ),
        # Machines.
        "engine": Entry("engine noise", "", "engine", "runs", "running", "engine noise"),
        "helicopter": Entry(
            "helicopter noise", "", "helicopter", "flies", "flying", "helicopters"
        ),
        "chainsaw": Entry(
            "chainsaw noise", "", "chainsaw", "buzzes", "buzzing", "chainsaws"
        ),
        "hand saw": Entry(
            "sawing", "", "hand saw", "cuts wood", "cutting wood", "sawing"
        ),
        "vacuum cleaner": Entry(
            "vacuum cleaner noise", "", "vacuum cleaner", "hums", "humming", "vacuum cleaner noise"
        ),
        # Signals made for ears.
        "church bell": Entry(
            "church bell stroke", "church bell strokes", "church bell", "rings", "ringing",
            "church bells", Rhythm(0.9, 1.5, 0.02, rings=True),
        ),
        "bicycle bell": Entry(
            "bicycle bell ring", "bicycle bell rings", "bicycle bell", "rings", "ringing",
            "bicycle bells", Rhythm(0.7, 1.1, rings=True),
        ),
        "doorbell": Entry(
            "doorbell ring", "doorbell rings", "doorbell", "rings", "ringing", "doorbell ringing",
            Rhythm(1.3, 2.0, rings=True),
        ),
        "alarm beep": Entry(
            "alarm beep", "alarm beeps", "alarm", "beeps", "beeping", "alarms",
            Rhythm(0.3, 0.7, 0.0),
        ),
        "siren": Entry("siren wailing", "", "siren", "wails", "wailing", "sirens"),
        "car horn": Entry(
            "car horn honk", "car horn honks", "car horn", "honks", "honking", "car horns",
            Rhythm(0.4, 0.9, 0.15),
        ),
        "phone ring": Entry(
            "phone ring", "phone rings", "phone", "rings", "ringing", "phones ringing",
            Rhythm(1.4, 2.2, 0.02),
        ),
        # Instruments.
        "guitar pluck": Entry(
            "guitar pluck", "guitar plucks", "guitar string", "is plucked", "being plucked",
            "guitar music", Rhythm(0.35, 0.8, 0.05, rings=True),
        ),
        "piano note": Entry(
            "piano note", "piano notes", "piano key", "is struck", "being struck", "piano music",
            Rhythm(0.35, 0.8, 0.05, rings=True),
        ),
        "flute note": Entry(
            "flute note", "flute notes", "flute", "plays a note", "playing a note", "flute music",
            Rhythm(0.6, 1.1),
        ),
        "snare drum": Entry(
            "snare drum hit", "snare drum hits", "snare drum", "is hit", "being hit",
            "snare drum", Rhythm(0.25, 0.6, 0.04, rings=True),
        ),
        "kick drum": Entry(
            "kick drum hit", "kick drum hits", "kick drum", "is hit", "being hit", "kick drum",
            Rhythm(0.3, 0.6, 0.04, rings=True),
        ),
        "cymbal": Entry(
            "cymbal crash", "cymbal crashes", "cymbal", "crashes", "crashing", "cymbals",
            Rhythm(0.6, 1.2, 0.05, rings=True),
        ),
    }
)  # fmt: skip
"""Label -> entry, for every label of the generators and of ESC-10."""


def entry_of(label: str) -> Entry:
    """The entry of `label`; one that nobody has described is a texture: "a kettle sound"."""
    known = LEXICON.get(label)
    if known is not None:
        return known
    sound = f"{label} sound"
    return Entry(sound, "", sound, "is heard", "being heard", f"{label} sounds")
