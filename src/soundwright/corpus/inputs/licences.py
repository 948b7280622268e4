"""A recording's licence: what stands closest to it, over what its input says of all."""

from __future__ import annotations

from soundwright.core.records import Licence
from soundwright.data.importers.licences import commons_name, short_name

UNKNOWN = "unknown"


def closer_licence(
    given: Licence,
    *,
    evidence: str,
    name: str = "",
    url: str = "",
    author: str = "",
    title: str = "",
) -> Licence:
    """The input's licence, with whatever is said of a recording itself in its place.

    Args:
        given: The input's.
        evidence: Where the rest was found.
        name: A short name, a name in full, or an address; empty where nothing is said.
        url: Of the licence.
        author: Of the recording.
        title: Of the recording.
    """
    if not url and "://" in name:
        url = name
    found = short_name(name) if name else commons_name(url)
    if not name and found == UNKNOWN:
        found = given.name
    # The address of another licence would be wrong.
    address = url or (given.url if found == given.name else "")
    return Licence(
        name=found,
        url=address,
        author=author or given.author,
        title=title or given.title,
        evidence=evidence if name or url else given.evidence,
    )


def clip_licence(given: Licence, said: Licence) -> Licence:
    """That of a manifest's clip; the input's where the clip says that nothing is known."""
    if said.name != UNKNOWN or said.url or given.name == UNKNOWN:
        return said
    return given.model_copy(
        update={"author": said.author or given.author, "title": said.title or given.title}
    )
