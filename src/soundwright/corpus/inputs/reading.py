"""All inputs of a corpus, one recording after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.clips import read_corpus, read_published
from soundwright.corpus.inputs.files import sign_file, walk
from soundwright.corpus.inputs.folders import read_folder
from soundwright.corpus.inputs.tables import read_rows
from soundwright.corpus.records import Media


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
    """Every input file, with its size and time of change; what has not changed need not be read."""
    for given in inputs:
        for path in (given.table, given.manifest, given.intervals):
            if path is not None:
                yield str(path), sign_file(root / path)
        if given.folder is not None:
            for path in walk(root / given.folder):
                yield path.relative_to(root / given.folder).as_posix(), sign_file(path)
