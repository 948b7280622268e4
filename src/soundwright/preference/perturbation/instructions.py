"""What a chat model is asked: the requirements of Tango 2's Table 1, in words of our own."""

from __future__ import annotations

from soundwright.preference.perturbation.perturber import PerturbedStrategy

REVISION = 1
"""Raised with any change to the words: answers to other words are other answers."""
_REQUIREMENTS = {
    "S2": (
        "be closely related to the clip and to its caption;",
        "describe the clip wrongly in some respect, so that it is a somewhat inaccurate caption;",
        "still not be unrelated: always keep some of the concepts of the caption;",
        "be about as long as the caption.",
    ),
    "S3": (
        "be closely related to the clip and to its caption;",
        "change the order of the events that the caption describes;",
        "describe the clip wrongly in some respect, so that it is a somewhat inaccurate caption;",
        "still not be unrelated: always keep some of the concepts of the caption;",
        "be about as long as the caption.",
    ),
}
_NUMERALS = ("i", "ii", "iii", "iv", "v")


def write_request(caption: str, strategy: PerturbedStrategy, count: int) -> str:
    """What is asked about one caption."""
    wanted = "\n".join(
        f"{numeral}) {text}"
        for numeral, text in zip(_NUMERALS, _REQUIREMENTS[strategy], strict=False)
    )
    return (
        f"This is the caption of an audio clip: {caption}\n\n"
        f"Write {count} other captions. Each of them must\n{wanted}\n\n"
        f"Answer with the {count} captions alone, each on a line of its own, without numbers and "
        "without anything before or after them: a program reads them."
    )
