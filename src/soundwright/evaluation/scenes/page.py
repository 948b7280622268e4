"""The tables of a run as one HTML page, offline, with every prompt and what was heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from soundwright.evaluation.scenes.results import (
    CaseResult,
    SceneResults,
    say_quality,
    tabulate,
)

PAGE_NAME = "scenes.html"
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  color: #1c1c1c; background: #fdfdfc }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #ddd;
  vertical-align: top }
th { font-weight: 600 } .wrong { color: #a32020 } .scroll { overflow-x: auto }
"""


def write_page(results: SceneResults) -> str:
    """The page as HTML text."""
    title = f"Controllability of {results.system}"
    facts = [
        f"{results.prompts} prompts, {results.sounds} sounds, benchmark {results.benchmark}.",
        f"Judge: {results.judge} ({results.judge_identity}); on true scenes "
        f"{say_quality(results.quality)}.",
        f"The constant system always makes: {results.constant}. {results.rule}",
        "Brackets are 95 % intervals over prompts. Truth is the judge on true scenes. An axis is "
        "withheld where sensitivity + specificity - 1 is below 0.5.",
    ]
    facts += [f"Not measured, for want of sounds: {axis}." for axis in results.not_measured]
    against = bool(results.against)
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(fact)}</p>" for fact in facts)]
    for heading, rows in (("What prompts ask for", results.rows), ("Minimal pairs", results.pairs)):
        if rows:
            names, table = tabulate(rows, against=against)
            parts += [f"<h2>{heading}</h2>", _table(names, [map(escape, cells) for cells in table])]
    problems = [
        map(escape, (system, problem.name, problem.reason))
        for system, listed in (
            (results.system, results.problems),
            (results.against, results.against_problems),
        )
        for problem in listed
    ]
    if problems:
        parts += ["<h2>Problems</h2>", _table(("system", "file or prompt", "what"), problems)]
    parts += ["<h2>Prompt by prompt</h2>", _cases(results.cases)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _table(names: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that scrolls; cells are HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def _cases(cases: Iterable[CaseResult]) -> str:
    rows: list[tuple[str, ...]] = []
    for case in cases:
        for sample in case.samples:
            heard = ", ".join(
                f"{event.label} {event.onset:.1f}-{event.offset:.1f}" for event in sample.events
            )
            checks = ", ".join(
                name if holds else f'<span class="wrong">not {escape(name)}</span>'
                for name, holds in sample.checks.items()
            )
            said = (case.id, case.prompt, heard or "nothing")
            rows.append((*map(escape, said), checks))
    return _table(("case", "prompt", "heard, s", "checks"), rows)
