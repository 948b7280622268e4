"""Licences as data sets write them: those of Creative Commons, by their short names."""

from __future__ import annotations

import re

COMMONS = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z+-]+)", re.IGNORECASE)
SPECIAL = {"zero": "CC0", "mark": "public-domain", "sampling+": "CC-Sampling+"}
FULL = re.compile(
    r"creative commons[ -]+attribution(?P<terms>(?:[ -]+(?:non-?commercial|share-?alike|"
    r"no-?deriv(?:ative)?s))*)(?:[ -]+(?:licen[cs]e|\d\.\d|international|unported|generic)\b)*"
    r"(?: \(reuse allowed\))?",
    re.IGNORECASE,
)
"""A name in full; YouTube's is "Creative Commons Attribution license (reuse allowed)"."""
TERMS = re.compile(r"(non)|(share)|(no-?deriv)", re.IGNORECASE)


def commons_name(address: str) -> str:
    """Name the licence at an address, such as CC-BY-NC; "unknown" for any other."""
    match = COMMONS.search(address)
    if match is None:
        return "unknown"
    kind = match[1].lower()
    return SPECIAL.get(kind, f"CC-{kind.upper()}")


def short_name(text: str) -> str:
    """Name a licence that is given by its address or in full; any other text stays as it is."""
    if COMMONS.search(text):
        return commons_name(text)
    match = FULL.fullmatch(text.strip())
    if match is None:
        return text
    terms = (("NC", "SA", "ND")[(found.lastindex or 1) - 1] for found in TERMS.finditer(match[1]))
    return "-".join(("CC-BY", *terms))
