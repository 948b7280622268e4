"""The page as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from soundwright.core.files import write_text
from soundwright.data.manifest import MANIFEST_NAME
from soundwright.evaluation.collection import Collection
from soundwright.evaluation.controls import CONTROLS
from soundwright.evaluation.gate import Verdict, is_worse
from soundwright.evaluation.report.charts import draw_histogram
from soundwright.evaluation.report.players import show_takes
from soundwright.evaluation.report.ranking import RankedClip, clip_metrics, rank_clips
from soundwright.evaluation.report.tables import (
    list_cards,
    table_clips,
    table_problems,
    table_scores,
    table_subsets,
    table_verdicts,
)
from soundwright.evaluation.results import Results
from soundwright.evaluation.subsets import TITLES

REPORT_FILE = "report.html"
SUBSETS_ARE = (
    "Some of the sounds and their references, measured by themselves. Fréchet distances and "
    "inception scores depend on how many sounds there are, a kernel distance on how far the "
    "references lie apart: compare systems by them, not these columns."
)


def write_report(
    folder: Path,
    results: Results,
    generated: Collection,
    reference: Collection,
    *,
    baseline: Results | None = None,
    verdicts: Sequence[Verdict] = (),
) -> Path:
    """Write report.html into a folder, atomically; everything is inside it.

    Args:
        folder: Where results.json is.
        results: What is shown.
        generated: The sounds, of which the worst are put into the page.
        reference: Those that they are heard against.
        baseline: Another system's results, for differences of single sounds.
        verdicts: What the gate says.

    Raises:
        UserError: The folder cannot be written.
    """
    path = Path(folder) / REPORT_FILE
    clips = rank_clips(results, baseline)
    page = _template().substitute(
        title=escape(f"{_name(generated)} against {_name(reference)}"),
        facts=_facts(results),
        banners=_banners(results, verdicts, compared=baseline is not None),
        body=_body(results, clips, generated, reference, verdicts, compared=baseline is not None),
        footer=escape(
            f"{results.created_by}. Intervals draw prompts again, with all their sounds. Made to "
            "be read without a network: sounds, pictures and scripts are inside this file."
        ),
    )
    write_text(path, page)
    return path


def _body(
    results: Results,
    clips: Sequence[RankedClip],
    generated: Collection,
    reference: Collection,
    verdicts: Sequence[Verdict],
    *,
    compared: bool,
) -> str:
    parts: list[str] = []
    if verdicts:
        parts.append(
            "<h2>Against the baseline</h2><p class=quiet>Both systems on the prompts that they "
            "share. The verdict is that of the interval at the level of Holm's procedure.</p>"
            + table_verdicts(verdicts)
        )
    controls = "; ".join(f"<b>{name}</b>, {told}" for name, told in CONTROLS.items())
    parts.append(
        f"<h2>Scores</h2>{table_scores(results)}"
        f'<p class="note">Controls, by the same encoders: {controls}.</p>'
    )
    parts += [
        f"<h2>{TITLES[split].capitalize()}</h2><p class=quiet>{SUBSETS_ARE}</p>"
        + table_subsets(subsets)
        for split, subsets in results.by_split().items()
    ]
    metrics = clip_metrics(results)
    if metrics:
        parts.append(f"<h2>Single sounds</h2>{_plots(clips, metrics, compared=compared)}")
    ordered = f" by {metrics[0]}" if metrics else ""
    what = f"Worst first{escape(ordered)}" + (", by the difference" if compared else "")
    heading = what if metrics else "Sounds"
    parts.append(f"<h2>{heading}</h2>")
    parts.append(f'<div class="takes">{show_takes(clips, generated, reference)}</div>')
    parts.append(f"<h2>All sounds</h2>{table_clips(clips, metrics, compared=compared)}")
    if results.problems:
        told = "Left out of every metric is only what has no numbers; nothing takes its place."
        parts.append(f"<h2>Problems</h2><p class=quiet>{told}</p>{table_problems(results)}")
    parts.append(f"<h2>Metric cards</h2>{list_cards(results)}")
    return "\n".join(parts)


def _plots(clips: Sequence[RankedClip], metrics: Sequence[str], *, compared: bool) -> str:
    figures: list[str] = []
    for metric in metrics:
        values = [clip.values[metric] for clip in clips if metric in clip.values]
        figures.append(_figure(metric, draw_histogram(values)))
        deltas = [clip.deltas[metric] for clip in clips if metric in clip.deltas]
        if compared and deltas:
            told = f"{metric}, this less the baseline"
            figures.append(_figure(told, draw_histogram(deltas, zero=True)))
    return f'<div class="plots">{"".join(figures)}</div>'


def _figure(caption: str, plot: str) -> str:
    return f"<figure>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


def _facts(results: Results) -> str:
    made, real = results.generated, results.reference
    facts = {
        "generated": f"{made.measured} of {made.clips} measured ({made.path})",
        "reference": f"{real.measured} of {real.clips} measured ({real.path})",
        "paired": f"{results.paired} by {results.pairing}",
        "problems": str(len(results.problems)),
    }
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(told)}</dd></div>" for name, told in facts.items()
    )


def _banners(results: Results, verdicts: Sequence[Verdict], *, compared: bool) -> str:
    banners = [("", warning) for warning in results.warnings]
    if compared:
        worse = [verdict.metric for verdict in verdicts if verdict.verdict == "worse"]
        told = f"Worse than the baseline by {', '.join(worse)}."
        fine = "No metric says that this system is worse than the baseline."
        banners.insert(0, ("worse", told) if is_worse(verdicts) else ("fine", fine))
    return "".join(
        f'<div class="banner {kind}" role="note"><p>{escape(told)}</p></div>'
        for kind, told in banners
    )


def _name(collection: Collection) -> str:
    """Of the folder; manifests all have one name."""
    root = collection.root.resolve()
    return root.parent.name if root.name == MANIFEST_NAME else root.name


def _template() -> Template:
    place = files("soundwright.evaluation.report").joinpath("page.html")
    return Template(place.read_text(encoding="utf-8"))
