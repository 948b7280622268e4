"""What recording a source is, whatever data set names it: YouTube and Freesound ids, own names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from soundwright.core.records import Source

YOUTUBE_URL = re.compile(
    r"(?:youtu\.be/|youtube(?:-nocookie)?\.com/(?:watch\?(?:[^#]*&)?v=|embed/|shorts/|live/|v/))"
    r"([\w-]{11})(?![\w-])",
    re.ASCII,
)
YOUTUBE_NAME = re.compile(r"Y?([\w-]{11})(?:_\d+(?:\.\d+)?){0,2}", re.ASCII)
"""How data sets name their files: the id, after a Y or not, before start and end or not."""
FREESOUND_URL = re.compile(r"freesound\.org/(?:people/[^/]+/sounds|s|sounds)/(\d+)")
SUFFIX = re.compile(r"\.(?:wav|flac|mp3|ogg|opus|m4a|aac|webm|mp4|mkv)", re.IGNORECASE)


def youtube(video: str) -> str:
    """The identity of a video on YouTube."""
    return f"youtube:{video}"


def identities(source: Source) -> tuple[str, ...]:
    """Names of the recording that hold in other data sets too, and its name in its own.

    `youtube:<id>` and `freesound:<number>` come from the URL, `<data set>:<item>` is always there.
    """
    found = [youtube(video) for video in YOUTUBE_URL.findall(source.url)]
    found += [f"freesound:{number}" for number in FREESOUND_URL.findall(source.url)]
    return (*dict.fromkeys(found), f"{source.dataset}:{source.item}")


def possible_identities(source: Source) -> tuple[str, ...]:
    """`identities`, and the video that the item's name may stand for.

    Many a file name of eleven letters looks like an id. That does no harm where it is sought among
    true ids, which is why evaluation sets are described by `identities` alone.
    """
    name = PurePosixPath(source.item).name
    stem = PurePosixPath(name).stem if SUFFIX.fullmatch(PurePosixPath(name).suffix) else name
    looks_like = YOUTUBE_NAME.fullmatch(stem)
    guess = [youtube(looks_like[1])] if looks_like else []
    return tuple(dict.fromkeys([*identities(source), *guess]))
