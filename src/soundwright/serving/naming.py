"""Names of files that are sent to clients."""

from __future__ import annotations

import re

LONGEST_STEM = 60


def file_name(prompt: str, seed: int, suffix: str) -> str:
    """A file name, in ASCII, that still says what is heard."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return f"{words[:LONGEST_STEM].rstrip('-') or 'sound'}-{seed}.{suffix}"
