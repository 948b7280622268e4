"""Where an export may be written: it replaces an older export, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.corpus.layout import Corpus

EXPORT = "export"
CREDITS = "credits.csv"
CREDIT_COLUMNS = ("id", "title", "author", "licence", "licence_url", "url", "evidence")
CARD = "README.md"
TABLES = "data"
OURS = re.compile(
    r"README\.md|credits\.csv|manifest(-.+)?\.jsonl|shard-\d{5,}\.tar"
    r"|data/train-\d{5,}-of-\d{5,}\.parquet"
)
"""All files that an export can hold."""
SHOWN = 3


def export_folder(corpus: Corpus) -> Path:
    """The export of a corpus's run; that of a limited one has another name."""
    limit = corpus.config.ingest.limit
    return corpus.root / (EXPORT if limit is None else f"{EXPORT}-limit-{limit}")


def check_destination(corpus: Corpus, out: Path) -> None:
    """Make sure that nothing but an older export is lost when `out` is replaced.

    Raises:
        UserError: It is a file, holds the corpus or a part of it, or has files in it of which no
            export is made.
    """
    place, root = out.resolve(), corpus.root.resolve()
    if root.is_relative_to(place) or place.is_relative_to(root / "stages"):
        raise UserError(
            f"An export cannot be written to {out}: the corpus is there.",
            expected="a folder of its own, new or empty, or an older export",
        )
    if not place.exists():
        return
    if not place.is_dir():
        raise UserError(f"An export cannot be written to {out}: it is a file.", expected="a folder")
    found = sorted(_files(place))
    foreign = [name for name in found if not OURS.fullmatch(name)]
    if foreign or (found and not _has_credits(place)):
        shown = ", ".join((foreign or found)[:SHOWN])
        raise UserError(
            f"{out} would be replaced by the export, but there is something else in it: {shown}.",
            expected="a folder that is new, empty, or an older export with nothing added",
            change="Move that elsewhere, or give `corpus export` another --out.",
        )


def _files(folder: Path) -> Iterator[str]:
    """All that is in a folder but the folder of tables, as names below it."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name != TABLES or not path.is_dir():
            yield name


def _has_credits(folder: Path) -> bool:
    """Whether there are credits and a card: every export has them, and few other folders."""
    try:
        with (folder / CREDITS).open(encoding="utf-8") as file:
            head = file.readline().rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return False
    return head == ",".join(CREDIT_COLUMNS) and (folder / CARD).is_file()
