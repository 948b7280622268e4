"""What an import gives: a manifest, and an account of everything that was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError
from soundwright.data.clips import Draft, Skip, describe_clips
from soundwright.data.manifest import Header, Manifest

SHOWN = 5
BLACKLISTED = "blacklisted"
"""The reason of skips that were asked for: strict does not stop at them."""


@dataclass(frozen=True)
class ImportReport:
    """What was kept and what was not."""

    kept: int
    skipped: tuple[Skip, ...]
    """Rows and files that did not become clips."""
    uncaptioned: tuple[str, ...] = ()
    """Audio files that no row gives a caption."""
    unread_columns: tuple[str, ...] = ()
    """Columns of a folder's own table that nothing was read from."""

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason for skipping occurred, most frequent first."""
        counts: Counter[str] = Counter()
        for skip in self.skipped:
            counts[skip.reason] += skip.count
        return dict(counts.most_common())

    @property
    def left_out(self) -> int:
        """How many rows and files did not become clips."""
        return sum(skip.count for skip in self.skipped)

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "kept": self.kept,
            "reasons": self.reasons,
            "skipped": [asdict(skip) for skip in self.skipped],
            "uncaptioned": list(self.uncaptioned),
            "unread_columns": list(self.unread_columns),
        }


@dataclass(frozen=True)
class Imported:
    """A manifest, not yet written, and its report."""

    manifest: Manifest
    report: ImportReport


def gather(
    found: Iterable[Draft | Skip],
    folder: Path,
    *,
    facts: dict[str, Any],
    uncaptioned: Sequence[str] = (),
    unread_columns: Sequence[str] = (),
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Decode every draft and put manifest and report together.

    Args:
        found: What the layout told: clips, and what it has already left out.
        folder: Where relative locations start.
        facts: For the manifest's header; the report's counts are added.
        uncaptioned: For the report.
        unread_columns: For the report.
        strict: Stop at the first thing that would be skipped.
        workers: Threads that decode.

    Raises:
        UserError: Nothing is left, or something is skipped where `strict`.
    """
    drafts: list[Draft] = []
    skipped: list[Skip] = []
    for one in found:
        if isinstance(one, Skip):
            skipped.append(one)
        else:
            drafts.append(one)
    faults = [skip for skip in skipped if skip.reason != BLACKLISTED]
    if strict and faults:
        first = faults[0]
        raise UserError(
            f"{first.item}: {first.detail or first.reason} ({len(faults)} such rows or files).",
            change="Mend them, or import without strict to skip them.",
        )
    clips, bad = describe_clips(drafts, folder, strict=strict, workers=workers)
    report = ImportReport(len(clips), (*skipped, *bad), tuple(uncaptioned), tuple(unread_columns))
    if not clips:
        examples = "".join(
            f"\n  {skip.item}: {skip.detail or skip.reason}" for skip in report.skipped[:SHOWN]
        )
        raise UserError(
            f"Nothing in {folder} can be imported; "
            f"{report.left_out} rows or files were skipped.{examples}",
            expected="at least one readable sound",
        )
    facts = {**facts, "kept": report.kept, "skipped": report.reasons}
    return Imported(Manifest(Header(facts=facts), tuple(clips), Path(folder)), report)
