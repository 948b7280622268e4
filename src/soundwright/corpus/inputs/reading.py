"""All inputs of a corpus, one recording after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.clips import (
    list_corpus,
    list_published,
    read_corpus,
    read_published,
)
from soundwright.corpus.inputs.folders import list_folder, read_folder
from soundwright.corpus.inputs.tables import list_rows, read_rows
from soundwright.corpus.records import Media

VERSION = "2"
"""Raised when the same files give other rows, so that corpora read them again."""


def read_inputs(inputs: tuple[Input, ...], root: Path) -> Iterator[Media | Failure]:
    """All recordings, one after another, with flat memory; what cannot be one, as a failure.

    Args:
        inputs: As configured.
        root: The corpus's folder: relative paths start there.

    Raises:
        UserError: A folder or file is missing or has another layout.
    """
    for given in inputs:
        if given.manifest is not None:
            yield from read_corpus(given, root)
        elif given.table is not None:
            yield from read_rows(given, root)
        elif given.intervals is not None:
            yield from read_published(given, root)
        else:
            yield from read_folder(given, root)


def list_inputs(inputs: tuple[Input, ...], root: Path) -> Iterator[tuple[str, str]]:
    """Every file that rows come from, with its size and time of change.

    While these are the same, nothing needs to be read again.

    Raises:
        UserError: A folder or table is missing.
    """
    yield "rows", VERSION
    for given in inputs:
        if given.manifest is not None:
            listed = list_corpus(given, root)
        elif given.table is not None:
            listed = list_rows(given, root)
        elif given.intervals is not None:
            listed = list_published(given, root)
        else:
            listed = list_folder(given, root)
        for name, signature in listed:
            # A name that is not UTF-8 could not be hashed.
            yield name.encode("utf-8", "backslashreplace").decode(), signature
