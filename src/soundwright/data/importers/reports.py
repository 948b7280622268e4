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


@dataclass(frozen=True)
class ImportReport:
    """What was kept and what was not."""

    kept: int
    skipped: tuple[Skip, ...]
    """Rows and files that did not become clips."""
    uncaptioned: tuple[str, ...] = ()
    """Audio files that no row gives a caption."""

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason for skipping occurred, most frequent first."""
        return dict(Counter(skip.reason for skip in self.skipped).most_common())

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "kept": self.kept,
            "reasons": self.reasons,
            "skipped": [asdict(skip) for skip in self.skipped],
            "uncaptioned": list(self.uncaptioned),
        }


@dataclass(frozen=True)
class Imported:
    """A manifest, not yet written, and its report."""

    manifest: Manifest
    report: ImportReport


def gather(
    drafts: Iterable[Draft],
    folder: Path,
    *,
    facts: dict[str, Any],
    skipped: Sequence[Skip] = (),
    uncaptioned: Sequence[str] = (),
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Decode every draft and put manifest and report together.

    Args:
        drafts: What the layout told.
        folder: Where relative locations start.
        facts: For the manifest's header; the report's counts are added.
        skipped: What the layout has already left out.
        uncaptioned: For the report.
        strict: Stop at the first thing that would be skipped.
        workers: Threads that decode.

    Raises:
        UserError: Nothing is left, or something is skipped where `strict`.
    """
    if strict and skipped:
        first = skipped[0]
        raise UserError(
            f"{first.item}: {first.detail or first.reason} ({len(skipped)} such rows or files).",
            change="Mend them, or import without strict to skip them.",
        )
    clips, bad = describe_clips(drafts, folder, strict=strict, workers=workers)
    report = ImportReport(len(clips), (*skipped, *bad), tuple(uncaptioned))
    if not clips:
        examples = "".join(
            f"\n  {skip.item}: {skip.detail or skip.reason}" for skip in report.skipped[:SHOWN]
        )
        raise UserError(
            f"Nothing in {folder} can be imported; "
            f"{len(report.skipped)} rows or files were skipped.{examples}",
            expected="at least one readable sound",
        )
    facts = {**facts, "kept": report.kept, "skipped": report.reasons}
    return Imported(Manifest(Header(facts=facts), tuple(clips), Path(folder)), report)
