"""What is known of a clip beside its sound, as delimited text (section 3.1 of the paper)."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from soundwright.core.records import Clip

Field = Literal["title", "tags", "visual"]
FIELDS: tuple[Field, ...] = ("title", "tags", "visual")
VISUAL = "visual_caption"
"""The key of `Clip.metadata` under which a caption of the clip's pictures stands."""
_ENDINGS = frozenset((".wav", ".aif", ".aiff", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".webm"))
_NAME = re.compile(r"[\W_]+")


def read_metadata(clip: Clip) -> dict[Field, str]:
    """The texts of a clip's title, tags and visual caption, as far as they are known.

    The title is that of `Clip.metadata`, or else the one by which its licence credits it.
    """
    title = clip.metadata.get("title") or clip.licence.title
    found: dict[Field, str] = {
        "title": clean_title(str(title)),
        "tags": ", ".join(clip.tags),
        "visual": " ".join(str(clip.metadata.get(VISUAL, "")).split()),
    }
    return {field: text for field, text in found.items() if text}


def clean_title(title: str) -> str:
    """A title in words: a file's ending, digits that stand alone and joints are left out.

    "animals_dog-bark_001.wav" becomes "animals dog bark".
    """
    path = PurePosixPath(title.replace("\\", "/"))
    name = path.stem if path.suffix.lower() in _ENDINGS else title
    words = (word for word in _NAME.sub(" ", name).split() if not word.isdigit())
    return " ".join(words).lower()
