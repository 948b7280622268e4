"""The tables of the page; every text that comes from files is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from soundwright.evaluation.gate import Verdict
from soundwright.evaluation.report.charts import (
    SHAPES,
    draw_difference,
    draw_mark,
    draw_rows,
    format_number,
)
from soundwright.evaluation.report.ranking import RankedClip
from soundwright.evaluation.results import Results, Score, SubsetScores

ARROWS = {"lower": "lower is better", "higher": "higher is better"}


def table_of(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, name: str, kind: str = ""
) -> str:
    """A table in a frame that scrolls; cells are HTML."""
    head = "".join(heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(name)}">'
        f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def table_scores(results: Results) -> str:
    """Metrics in rows; the system, its interval and the controls in columns."""
    controls = list(results.controls)
    heads = [
        _head("metric"),
        _head("generated", number=True),
        _head("95 %", number=True),
        *(_head(name, number=True) for name in controls),
        _head("on one line"),
    ]
    rows = []
    for place, score in enumerate(results.scores):
        others = {name: results.controls[name][place] for name in controls}
        rows.append(
            [
                _name(score.metric, score.better),
                _value(score),
                f'<td class="number">{_span(score)}</td>',
                *(_value(other, "–") for other in others.values()),
                f"<td>{_plot(score, others)}</td>",
            ]
        )
    marks = "".join(f"<li>{draw_mark(name)}{escape(name)}</li>" for name in SHAPES)
    return (
        table_of(heads, rows, name="Scores")
        + f'<ul class="legend" aria-label="Marks">{marks}</ul>{_notes(results.scores)}'
    )


def table_subsets(parts: Sequence[SubsetScores]) -> str:
    """Metrics in rows; the subsets of one split, each with its intervals, in columns."""
    heads = [_head("metric")]
    for part in parts:
        heads += [_head(f"{part.name} ({part.generated})", number=True), _head("95 %", number=True)]
    rows = [
        [
            _name(scores[0].metric, scores[0].better),
            *(
                cell
                for score in scores
                for cell in (_value(score), f'<td class="number">{_span(score)}</td>')
            ),
        ]
        for scores in zip(*(part.scores for part in parts), strict=True)
    ]
    notes = "".join(_notes(part.scores, f"{part.name}, ") for part in parts)
    return table_of(heads, rows, name=" and ".join(part.name for part in parts)) + notes


def table_verdicts(verdicts: Sequence[Verdict]) -> str:
    """What the comparison with the baseline says, metric by metric."""
    heads = [
        _head("metric"),
        _head("this less the baseline", number=True),
        _head("95 %", number=True),
        _head("p", number=True),
        _head("p (Holm)", number=True),
        _head("prompts", number=True),
        _head("verdict"),
        _head("against no difference"),
    ]
    rows = []
    for verdict in verdicts:
        name = _name(verdict.metric, verdict.better)
        if verdict.difference is None or verdict.interval is None:
            reason = escape(verdict.reason)
            rows.append([name, f'<td colspan="7">not compared<small>{reason}</small></td>'])
            continue
        low, high = verdict.interval.low, verdict.interval.high
        kind = verdict.verdict if verdict.verdict in ("worse", "better") else ""
        rows.append(
            [
                name,
                f'<td class="number">{verdict.difference:+.4g}</td>',
                f'<td class="number">{low:+.4g} to {high:+.4g}</td>',
                f'<td class="number">{verdict.p:.3g}</td>',
                f'<td class="number">{verdict.p_holm:.3g}</td>',
                f'<td class="number">{verdict.prompts}</td>',
                f'<td class="{kind}">{verdict.verdict}</td>',
                f"<td>{draw_difference(verdict.difference, verdict.interval, verdict.better)}</td>",
            ]
        )
    return table_of(heads, rows, name="Against the baseline")


def table_clips(clips: Sequence[RankedClip], metrics: Sequence[str], *, compared: bool) -> str:
    """Every sound with its numbers, worst first; columns sort."""
    heads = [_head("prompt", sorts=True), _head("sound", sorts=True)]
    for metric in metrics:
        heads.append(_head(metric, number=True, sorts=True))
        if compared:
            heads.append(_head(f"Δ {metric}", number=True, sorts=True))
    rows = []
    for clip in clips:
        row = [
            f'<td class="name">{escape(clip.prompt or clip.group)}</td>',
            f"<td>{escape(clip.name)}</td>",
        ]
        for metric in metrics:
            row.append(_cell(clip.values.get(metric), ".4g"))
            if compared:
                row.append(_cell(clip.deltas.get(metric), "+.4g"))
        rows.append(row)
    return table_of(heads, rows, name="Sounds", kind="sortable")


def table_problems(results: Results) -> str:
    """Every problem by name."""
    rows = [
        [
            f"<td>{escape(problem.side)}</td>",
            f'<td class="name">{escape(problem.item)}</td>',
            f"<td>{escape(problem.kind)}</td>",
            f"<td>{'left out' if problem.left_out else 'measured'}</td>",
            f"<td>{escape(problem.detail)}</td>",
        ]
        for problem in results.problems
    ]
    heads = [_head(name, sorts=True) for name in ("set", "sound", "problem", "counts", "detail")]
    return table_of(heads, rows, name="Problems", kind="sortable")


def list_cards(results: Results) -> str:
    """The metric cards, folded."""
    return "".join(
        f"<details><summary>{escape(score.metric)}</summary><table><tbody>"
        + "".join(
            f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>"
            for key, value in _lines(score)
        )
        + "</tbody></table></details>"
        for score in results.scores
        if score.card is not None
    )


def _lines(score: Score) -> list[tuple[str, str]]:
    assert score.card is not None
    lines: list[tuple[str, str]] = []
    for key, value in score.card.model_dump(mode="json").items():
        if isinstance(value, Mapping):
            lines += [(f"encoder: {fact}", str(told)) for fact, told in value.items()]
        elif value not in ("", None):
            lines.append((key.replace("_", " "), str(value)))
    return lines


def _notes(scores: Sequence[Score], where: str = "") -> str:
    return "".join(
        f'<p class="note"><b>{escape(where + score.metric)}</b>: {escape(told)}</p>'
        for score in scores
        if (told := score.unavailable.reason if score.unavailable else score.remark)
    )


def _plot(score: Score, others: Mapping[str, Score]) -> str:
    if score.value is None:
        return ""
    values = {name: other.value for name, other in others.items() if other.value is not None}
    return draw_rows({"generated": score.value, **values}, score.interval)


def _head(name: str, *, number: bool = False, sorts: bool = False) -> str:
    kind = ' class="number"' if number else ""
    inside = f'<button type="button">{escape(name)}</button>' if sorts else escape(name)
    return f'<th scope="col"{kind}>{inside}</th>'


def _name(metric: str, better: str) -> str:
    return f'<td class="name">{escape(metric)}<small>{ARROWS[better]}</small></td>'


def _value(score: Score, lacking: str = "unavailable") -> str:
    if score.value is None:
        reason = "" if score.unavailable is None else score.unavailable.reason
        return f'<td class="number quiet" title="{escape(reason)}">{lacking}</td>'
    return f'<td class="number">{format_number(score.value)}</td>'


def _span(score: Score) -> str:
    if score.interval is None:
        return ""
    return f"{format_number(score.interval.low)} to {format_number(score.interval.high)}"


def _cell(value: float | None, form: str) -> str:
    if value is None:
        return '<td class="number quiet" data-value="">–</td>'
    return f'<td class="number" data-value="{value!r}">{value:{form}}</td>'
