"""Words for sounds by category, so that an event can be replaced by another one of its kind."""

from __future__ import annotations

from collections.abc import Sequence

from soundwright.synthesis.lexicon import LEXICON, Entry

CATEGORIES: tuple[tuple[str, ...], ...] = (
    ("dog bark", "cat meow", "rooster", "bird chirp", "owl hoot", "frog croak"),
    ("baby cry", "person sneeze", "whistle", "hand clap", "footstep", "door knock", "typing"),
    ("rain", "wind"),
    ("crickets", "sea waves"),
    ("stream", "thunder", "water drop", "fire crackling"),
    ("engine", "helicopter", "chainsaw", "hand saw", "vacuum cleaner"),
    (
        *("church bell", "bicycle bell", "doorbell", "alarm beep", "siren", "car horn"),
        "phone ring",
    ),
    ("ball bounce", "hammer blow", "glass clink", "clock tick"),
    ("guitar pluck", "piano note", "flute note", "snare drum", "kick drum", "cymbal"),
)
"""Labels of the lexicon."""

WORDS: tuple[tuple[str, ...], ...] = (
    ("man", "woman", "boy", "girl", "child"),
    ("men", "women", "boys", "girls", "children"),
    ("crowd", "audience"),
    ("dog", "cat", "horse", "cow", "goat", "sheep", "duck", "pig", "bird", "frog"),
    ("dogs", "cats", "horses", "cows", "goats", "ducks", "pigs", "birds", "frogs"),
    ("car", "truck", "motorcycle", "bus", "train", "tractor", "boat", "helicopter"),
    ("cars", "trucks", "motorcycles", "buses", "trains", "tractors", "boats", "helicopters"),
    ("airplane", "plane", "jet", "helicopter"),
    (
        *("sewing machine", "vacuum cleaner", "blender", "drill", "chainsaw", "lawn mower"),
        *("hair dryer", "printer"),
    ),
    ("rain", "wind", "thunder"),
    ("bell", "siren", "alarm", "horn", "phone", "buzzer"),
    ("bells", "sirens", "alarms", "horns", "phones"),
    ("guitar", "piano", "flute", "violin", "drum", "trumpet"),
    ("door", "window", "drawer", "gate"),
    ("gunshots", "explosions", "fireworks"),
    ("gunshot", "explosion", "firework"),
    ("speaks", "sings", "laughs", "shouts", "whispers", "cries", "coughs"),
    ("talks", "sings", "laughs", "shouts", "whispers", "cries", "coughs"),
    ("speak", "sing", "laugh", "shout", "whisper", "cry", "cough"),
    ("talk", "sing", "laugh", "shout", "whisper", "cry", "cough"),
    ("speaking", "singing", "laughing", "shouting", "whispering", "crying", "coughing"),
    ("talking", "singing", "laughing", "shouting", "whispering", "crying", "coughing"),
    ("cheering", "clapping", "applauding", "booing"),
    ("barking", "growling", "howling", "whimpering"),
    ("barks", "growls", "howls", "whimpers"),
    ("rings", "beeps", "buzzes", "chimes"),
    ("ringing", "beeping", "buzzing", "chiming"),
    ("idles", "revs", "accelerates", "stalls"),
    ("idling", "revving", "accelerating", "stalling"),
    ("opens", "closes", "slams", "creaks"),
    ("opening", "closing", "slamming", "creaking"),
    ("knocking", "tapping", "scraping", "hammering"),
)
"""Words of which one may stand for another; a word that stands in several rows is of the first."""


def forms_of(entry: Entry) -> tuple[str, ...]:
    """How an event is said, without article; the same place means the same form.

    Empty where there is no such form.
    """
    be = "are" if entry.plural else "is"
    return (
        f"{entry.subject} {entry.verb}",
        f"{entry.subject} {be} {entry.ing}",
        f"{entry.subject} {entry.ing}",
        entry.nouns,
        entry.noun if entry.countable else "",
        "" if entry.countable else entry.noun,
    )


def fellows(label: str) -> list[str]:
    """The other labels of the category that take the same article."""
    entry = LEXICON[label]
    category: Sequence[str] = next((row for row in CATEGORIES if label in row), ())
    return [
        other
        for other in category
        if other != label
        and (LEXICON[other].article, LEXICON[other].plural) == (entry.article, entry.plural)
    ]


def replacements() -> dict[str, tuple[str, ...]]:
    """Words -> those that may stand for them; longer ones first."""
    table: dict[str, tuple[str, ...]] = {}
    for label, entry in LEXICON.items():
        others = [forms_of(LEXICON[other]) for other in fellows(label)]
        for place, form in enumerate(forms_of(entry)):
            found = tuple(dict.fromkeys(other[place] for other in others if other[place]))
            if form and found:
                table.setdefault(form, tuple(one for one in found if one != form))
    for row in WORDS:
        for word in row:
            table.setdefault(word, tuple(other for other in row if other != word))
    return dict(sorted(table.items(), key=lambda item: -len(item[0])))
