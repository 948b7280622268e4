"""Licences as data sets write them: addresses of Creative Commons, by their short names."""

from __future__ import annotations

import re

COMMONS = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z+-]+)", re.IGNORECASE)
SPECIAL = {"zero": "CC0", "mark": "public-domain", "sampling+": "CC-Sampling+"}


def commons_name(address: str) -> str:
    """Name the licence at an address, such as CC-BY-NC; "unknown" for any other."""
    match = COMMONS.search(address)
    if match is None:
        return "unknown"
    kind = match[1].lower()
    return SPECIAL.get(kind, f"CC-{kind.upper()}")
