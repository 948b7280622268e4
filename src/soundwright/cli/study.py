"""`soundwright study`: blind listening tests, planned, served, and their results."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_table, emit_text, note
from soundwright.core.errors import UserError

app = typer.Typer(help="Blind listening tests: plan, serve, results.", no_args_is_help=True)

SHOWN = 10

StudyArgument = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A folder that `study plan` made.")
]


@app.command()
def plan(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The plan as YAML, instead of options.")
    ] = None,
    a: Annotated[
        str | None, typer.Option("--a", metavar="DIR", help="One system's sounds, or a manifest.")
    ] = None,
    b: Annotated[
        str | None, typer.Option("--b", metavar="DIR", help="The other system's, same prompts.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="rr-paper, tango2 or recommended (the default).")
    ] = None,
    prompts: Annotated[int | None, typer.Option(help="How many, drawn by the seed.")] = None,
    title: Annotated[str | None, typer.Option(help="What raters read on top of the page.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of prompts, orders and sides.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other key of the plan."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fix a listening test: prompts, loudness-matched copies, controls, rules for exclusion.

    The sounds' JSON files, tags or manifests say which prompt each was made for.

    Example: soundwright study plan --a with-rr --b without-rr --preset rr-paper --out study
    """
    from soundwright.core.config import merge, parse_override, read_yaml
    from soundwright.evaluation.study.materials import prepare_study
    from soundwright.evaluation.study.plan import read_plan

    values: dict[str, Any] = {} if file is None else read_yaml(file)
    if a is not None or b is not None:
        values["systems"] = _name_systems(a, b)
    given = {"preset": preset, "prompts": prompts, "title": title, "seed": seed}
    values.update({name: value for name, value in given.items() if value is not None})
    for override in overrides or ():
        values = merge(values, parse_override(override))
    if "systems" not in values:
        raise UserError(
            "The study names no sounds.",
            expected="--a DIR and --b DIR, or a FILE with `systems`",
        )
    origin = "the study" if file is None else str(file)
    from_file = file is not None and a is None and b is None
    beside = file.parent if file is not None and from_file else Path()
    study = prepare_study(read_plan(values, origin=origin), out, beside=beside)
    remarks = [remark.model_dump() for remark in study.remarks]
    for remark in study.remarks[:SHOWN]:
        note(f"{remark.kind}: {remark.system}, {remark.sound} {remark.detail}".rstrip())
    if len(remarks) > SHOWN:
        note(f"... and {len(remarks) - SHOWN} more: {out / 'study.json'}")
    numbers = {
        "study": str(out),
        "hash": study.hash,
        "prompts": len(study.materials),
        "systems": list(study.systems),
        "raters": study.plan.raters,
        "remarks": remarks,
    }
    if json:
        emit_json(numbers)
        return
    emit_text(
        f"{out}: {len(study.materials)} prompts, {' against '.join(study.systems)}; "
        f"{study.plan.raters} raters are planned. Next: soundwright study serve {out}"
    )


@app.command()
def serve(
    study: StudyArgument,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets others of the network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 8765,
    json: JsonOption = False,
) -> None:
    """Serve the page on which people listen and answer; Ctrl-C ends it, nothing is lost.

    Example: soundwright study serve study --host 0.0.0.0 --port 8765
    """
    from soundwright.evaluation.study.serving import open_sessions, serve_study
    from soundwright.web.ports import address_of, listen

    sessions = open_sessions(study)
    listener = listen(host, port)
    address = address_of(listener, host)
    if json:
        emit_json({"address": address, "study": sessions.study.hash})
    else:
        emit_text(f"Listen at {address} (every answer is saved at once; Ctrl-C ends)")
    sys.stdout.flush()
    serve_study(sessions, listener)


@app.command()
def results(
    study: StudyArgument,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write every answer, as JSON lines."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what raters prefer, with intervals over raters and prompts, with and without exclusions.

    Example: soundwright study results study --export answers.jsonl
    """
    from soundwright.core.files import write_text
    from soundwright.evaluation.study.analysis import analyse
    from soundwright.evaluation.study.sessions import open_study

    design, answers = open_study(study)
    given = answers.read()
    if export is not None:
        write_text(export, "".join(answer.model_dump_json() + "\n" for answer in given))
        note(f"{export}: {len(given)} answers")
    found = analyse(design, given, answers.checks())
    if json:
        emit_json(found)
        return
    _say_raters(found)
    for question, groups in found["questions"].items():
        for group, numbers in groups.items():
            if group == "kept" and numbers == groups["all"]:
                continue
            who = "all raters" if group == "all" else "without excluded raters"
            emit_text(f"\n{question}, {who}")
            _say_numbers(numbers)
    _say_events(found["events"])


def _name_systems(a: str | None, b: str | None) -> dict[str, str]:
    if a is None or b is None:
        raise UserError("One folder alone cannot be compared.", expected="both --a DIR and --b DIR")
    names = [Path(given).resolve().name for given in (a, b)]
    if names[0] == names[1]:
        names = [a, b]
    if names[0] == names[1]:
        raise UserError(f"--a and --b are the same: {a}.", expected="two systems' sounds")
    return dict(zip(names, (a, b), strict=True))


def _say_raters(found: Mapping[str, Any]) -> None:
    raters, planned = found["raters"], found["planned"]
    excluded = [rater for rater in raters if rater["excluded"]]
    emit_text(
        f"{found['title']}: {len(raters)} of {planned['raters']} planned raters, "
        f"{len(excluded)} excluded by the plan's rules"
    )
    for rater in excluded:
        emit_text(f"  rater {rater['number']}: {', '.join(rater['excluded'])}")


def _say_numbers(numbers: Mapping[str, Any]) -> None:
    if "unavailable" in numbers:
        emit_text(f"unavailable: {numbers['unavailable']}")
        return
    emit_text(f"{numbers['votes']} votes, {numbers['raters']} raters, {numbers['prompts']} prompts")
    if "means" in numbers:
        rows = [(name, _show(mean, 2)) for name, mean in numbers["means"].items()]
        rows += [
            (f"{row['first']} - {row['second']}", _show(row["difference"], 2))
            for row in numbers["differences"]
        ]
        emit_table(("system", "rating, 95 % interval"), rows)
    else:
        _say_pairs(numbers)
    emit_text(f"agreement (Krippendorff's alpha): {_show(numbers['alpha'], 2)}")


def _say_pairs(numbers: Mapping[str, Any]) -> None:
    emit_table(
        ("preferred", "over", "votes", "ties", "against", "share, 95 % interval", "as independent"),
        (
            (
                row["first"],
                row["second"],
                row["first_preferred"],
                row["ties"],
                row["second_preferred"],
                _show(row["share_of_first"], 3),
                f"{_show(row['decided_share_if_independent'], 3)}, "
                f"p = {_show(row['p_if_independent'], 4)}",
            )
            for row in numbers["pairs"]
        ),
    )
    strengths = numbers["strengths"]
    if "unavailable" in strengths:
        emit_text(f"Bradley-Terry strengths: {_show(strengths, 2)}")
    else:
        emit_table(
            ("system", "Bradley-Terry strength"),
            ((name, _show(strength, 2)) for name, strength in strengths.items()),
        )
    sides = numbers["sides"]
    left = sides if "unavailable" in sides else sides["left"]
    p = f", p = {sides['p']:.3f}" if "p" in sides else ""
    emit_text(f"side bias (share of the left): {_show(left, 3)}{p}")


def _say_events(events: Mapping[str, Any]) -> None:
    if events:
        emit_text("\nevents of the checklist, without excluded raters")
        emit_table(
            ("system", "event", "answers", "heard", "mean count"),
            (
                (system, event, row["answers"], f"{row['heard']:.2f}", f"{row['mean_count']:.2f}")
                for system, rows in events.items()
                for event, row in rows.items()
            ),
        )


def _show(number: Any, digits: int) -> str:
    """A number, an interval, or why there is none."""
    if not isinstance(number, Mapping):
        return f"{number:.{digits}f}"
    estimate = [f"{number['estimate']:.{digits}f}"] if "estimate" in number else []
    if "unavailable" in number:
        return " ".join([*estimate, f"(unavailable: {number['unavailable']})"])
    return f"{estimate[0]} [{number['low']:.{digits}f}, {number['high']:.{digits}f}]"
