"""What yt-dlp writes beside a video: its title, its address, its licence ..."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INFO = ".info.json"
CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Description:
    """What is said of a recording; empty or None where nothing is."""

    item: str = ""
    """Its id where it comes from."""
    page: str = ""
    """Where it was found."""
    title: str = ""
    uploader: str = ""
    upload_date: str = ""
    licence: str = ""
    """As it is written there."""
    duration: float | None = None
    """Seconds."""
    tags: tuple[str, ...] = ()


def info_file(path: Path) -> Path:
    """Where the description of a recording would be."""
    return path.with_name(path.stem + INFO)


def read_description(path: Path) -> Description:
    """What stands beside a recording; an empty one where nothing does.

    Raises:
        ValueError: The file does not hold; the message names it.
    """
    info = info_file(path)
    if not info.is_file():
        return Description()
    try:
        values = json.loads(info.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is no JSON object")
        return Description(
            item=_text(values, "id"),
            page=_text(values, "webpage_url"),
            title=_text(values, "title"),
            uploader=_text(values, "uploader"),
            upload_date=_text(values, "upload_date"),
            licence=_text(values, "license"),
            duration=_seconds(values),
            tags=_tags(values),
        )
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{info.name}: {error}") from error


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None or value == "":
        return ""
    if isinstance(value, (dict, list)):
        raise ValueError(f"{key} is {_short(value)}, not a text")
    text = str(value)
    # Half a pair of UTF-16, as in "\\ud83d", is valid JSON and no text.
    text.encode()
    return text


def _seconds(values: dict[str, Any]) -> float | None:
    """A number, or a clock as in "1:02:30"; nothing is known where it is 0."""
    value = values.get("duration")
    if value is None or value == "":
        return None
    match = CLOCK.fullmatch(str(value).strip())
    if isinstance(value, bool) or match is None:
        raise ValueError(f'duration is {_short(value)}, not seconds or a clock as in "12:30"')
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    found = 3600 * hours + 60 * minutes + seconds
    return found if 0 < found < math.inf else None


def _tags(values: dict[str, Any]) -> tuple[str, ...]:
    """A list, or one text with commas."""
    value = values.get("tags")
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or any(isinstance(tag, (dict, list)) for tag in value):
        raise ValueError(f"tags is {_short(value)}, not a list of texts")
    tags = [str(tag).strip() for tag in value if tag is not None]
    "".join(tags).encode()
    return tuple(tag for tag in tags if tag)


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 40 else f"{told[:37]}..."
