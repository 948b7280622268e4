"""What a caption says, by rules: the events that it names, and whether it tells of time."""

from __future__ import annotations

import re

TEMPORAL_WORDS = ("while", "before", "after", "then", "followed")
"""Tango 2, section 4.1, strategy 3."""

_TEMPORAL = re.compile(rf"\b(?:{'|'.join(TEMPORAL_WORDS)})\b", re.IGNORECASE)
_JOINT = re.compile(
    r"[,;.]|\b(?:and|while|as|then|before|after|with|during|followed(?:\s+by)?)\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{2,}")


def is_temporal(caption: str) -> bool:
    """Whether a caption has one of `TEMPORAL_WORDS`."""
    return bool(_TEMPORAL.search(caption))


def count_concepts(caption: str) -> int:
    """How many events a caption names, by its joints: commas, "and", "while", "followed by" ...

    The paper asked GPT-4 and found rules wanting; this one gives the counts of the paper's own
    examples, and stands in where nobody has counted.
    """
    return max(1, sum(bool(_WORD.search(part)) for part in _JOINT.split(caption)))


def split_concepts(caption: str) -> tuple[list[str], list[str]]:
    """The events that a caption names, and the joints between them.

    Returns:
        Concepts, as written and without the white space around them, and the words and marks
        between each two, such as "," or ", and then": one less than concepts. Those before the
        first and after the last concept are left out.
    """
    concepts: list[str] = []
    joints: list[str] = []
    begin, joint_begin = 0, 0
    for joint in [*_JOINT.finditer(caption), None]:
        end = len(caption) if joint is None else joint.start()
        if _WORD.search(caption, begin, end):
            if concepts:
                joints.append(" ".join(caption[joint_begin:begin].split()))
            concepts.append(caption[begin:end].strip())
            joint_begin = end
        begin = begin if joint is None else joint.end()
    return concepts, joints
