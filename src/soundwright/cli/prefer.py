"""`soundwright prefer`: preference data from a model's own sounds, as Tango 2 makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from soundwright.cli import prefer_training
from soundwright.cli.chat import ChatModelOption, ChatOption, open_endpoint
from soundwright.cli.output import (
    AdapterOption,
    JsonOption,
    emit_json,
    emit_table,
    emit_text,
    note,
)
from soundwright.core.errors import UserError

app = typer.Typer(
    help="Preference data: captions, perturb, rollout, pair, stats; and training: train, loop.",
    no_args_is_help=True,
)


class OnFailure(StrEnum):
    """What is done where a chat model gives nothing."""

    RULES = "rules"
    STOP = "stop"


DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, as often as needed."),
]
CaptionsArgument = Annotated[
    Path, typer.Argument(metavar="CAPTIONS", help="What `prefer captions` wrote.")
]
StrategiesOption = Annotated[
    str, typer.Option(metavar="NAMES", help="Of S1.1, S1.2, S2, S3, with commas between.")
]


@app.command()
def captions(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A manifest, or a text file with a caption a line."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    clusters: Annotated[int, typer.Option(min=1, help="Of sentence vectors, by K-means.")] = 200,
    each: Annotated[int, typer.Option(min=1, help="Captions of each cluster.")] = 70,
    encoder: Annotated[
        str,
        typer.Option(help="Of sentences: minilm (offline), gte-large (the paper's), or any other."),
    ] = "minilm",
    split: Annotated[
        str | None, typer.Option(help="Only clips of this split; never those of a test.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of clusters and of draws from them.")] = 0,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Select captions: some of each cluster, and all that tell of an order of events.

    Example: soundwright prefer captions train.jsonl --split train --out alpaca/captions.jsonl
    """
    from soundwright.preference.captions import (
        CaptionChoice,
        encoder_config,
        read_captions,
        write_captions,
    )
    from soundwright.text.encoders import load_text_encoder

    texts = read_captions(source, split)
    reader = load_text_encoder(encoder_config(encoder), device)
    choice = CaptionChoice(clusters=clusters, each=each, seed=seed)
    found = write_captions(out, texts, reader, choice)
    if found["selected"] < clusters * each:
        note(
            f"{found['selected']} captions in {found['clusters']} clusters, of {clusters} x {each} "
            "asked for: there are no more that differ."
        )
    _say(
        found,
        json,
        f"{out}: {found['selected']} captions of {found['read']} from {found['clusters']} "
        f"clusters; {found['temporal']} tell of time",
    )


@app.command()
def perturb(
    source: CaptionsArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    chat: ChatOption = None,
    chat_model: ChatModelOption = None,
    on_failure: Annotated[
        OnFailure, typer.Option(help="Where the chat model gives nothing: rules, or stop.")
    ] = OnFailure.STOP,
    strategies: StrategiesOption = "S2,S3",
    count: Annotated[int, typer.Option(min=1, max=20, help="For each caption.")] = 5,
    seed: Annotated[int, typer.Option(help="Of what the rules draw.")] = 0,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Make captions somewhat wrong: other events, other counts, another order.

    With --chat, --set takes key_variable, timeout, attempts, pause and longest_pause. The key is
    read from the environment variable that key_variable names, OPENAI_API_KEY.

    Example: soundwright prefer perturb alpaca/captions.jsonl --out alpaca/perturbed.jsonl
    """
    from soundwright.preference.captions import read_selected
    from soundwright.preference.perturbation.chat_perturber import ChatPerturber
    from soundwright.preference.perturbation.relation import SentenceRelation
    from soundwright.preference.perturbation.rules import RulePerturber
    from soundwright.preference.perturbing import PerturbingChoice, perturb_captions

    rules = RulePerturber(seed)
    endpoint = open_endpoint(chat, chat_model, settings or ())
    asked = None if endpoint is None else ChatPerturber(endpoint, SentenceRelation())
    choice = PerturbingChoice.read({"strategies": _split(strategies), "count": count})
    found = perturb_captions(
        read_selected(source),
        out,
        rules if asked is None else asked,
        choice,
        rules if asked is not None and on_failure is OnFailure.RULES else None,
    )
    for failure, times in found["failures"].items():
        note(f"{failure}: {times} captions")
    by = ", ".join(f"{number} by {name}" for name, number in found["by"].items())
    told = f"{out}: {found['perturbations']} perturbations of {found['captions']} captions; {by}"
    _say(found, json, told)


@app.command()
def rollout(
    source: CaptionsArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    model: Annotated[
        str, typer.Option(help="Name, model folder, or owner/name on the hub.")
    ] = "bundled",
    adapters: AdapterOption = None,
    perturbed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `prefer perturb` wrote.")
    ] = None,
    strategies: StrategiesOption = "",
    duration: Annotated[
        float | None, typer.Option(help="Seconds; the model's own without.")
    ] = None,
    cfg_scale: Annotated[
        float | None, typer.Option(help="Guidance; the model's own without, 3 in the paper.")
    ] = None,
    seed: Annotated[int, typer.Option(help="From it and the captions all seeds follow.")] = 0,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Make the sounds that are to be compared; a killed run goes on where it stood.

    --set takes samples, steps, varied_steps, varied_temperatures and format (wav, flac).

    Example: soundwright prefer rollout alpaca/captions.jsonl --perturbed alpaca/perturbed.jsonl
    --model tango-run/model --out alpaca/rollouts
    """
    from soundwright.pipelines.adapters import parse_choice
    from soundwright.pipelines.generation import load
    from soundwright.preference.captions import read_selected
    from soundwright.preference.perturbing import read_perturbations
    from soundwright.preference.rollouts import RolloutChoice, plan_takes, roll_out, takes_steps

    selected = read_selected(source).items
    wrong = () if perturbed is None else read_perturbations(perturbed).items
    named = strategies or ("S1.1,S1.2" if perturbed is None else "S1.1,S1.2,S2,S3")
    given = {"strategies": _split(named), "seed": seed, "cfg_scale": cfg_scale}
    if duration is not None:
        given["duration"] = duration
    RolloutChoice.read(_settle(given, settings or ()), origin="--set")
    generator = load(model, device=device, adapters=[parse_choice(one) for one in adapters or ()])
    choice = RolloutChoice.read(
        {"duration": generator.defaults.duration, **_settle(given, settings or ())}
    )
    groups = plan_takes(selected, wrong, choice, has_steps=takes_steps(generator))
    found = roll_out(groups, generator, out, choice)
    if found["not_written"]:
        note(f"{found['not_written']} sounds are not finite or empty, and will be rejected.")
    sounds = ", ".join(f"{name}: {number}" for name, number in found["sounds"].items())
    _say(found, json, f"{out}: sounds of {found['captions']} captions; {sounds}")


@app.command()
def pair(
    rollouts: Annotated[
        Path, typer.Argument(metavar="ROLLOUTS", help="The folder that `prefer rollout` wrote.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where pairs.jsonl and rejected.jsonl go.")
    ],
    thresholds: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="tango2 (the paper's two CLAPs), matcher (offline), or a YAML file.",
        ),
    ] = "matcher",
    judges: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            metavar="NAME=PLACE",
            help="Where a judge's weights are: events=DIR, matcher=DIR, clap=NAME; repeatable.",
        ),
    ] = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Score sounds and pair them; each rejected pair keeps its reasons and its scores.

    Scores are kept beside the sounds: other thresholds, in another --out, ask no judge again.

    Example: soundwright prefer pair alpaca/rollouts --thresholds tango2 --out alpaca
    """
    from soundwright.preference.judges import open_judge
    from soundwright.preference.pairing import pair_rollouts, read_rejected
    from soundwright.preference.rollouts import read_rollouts
    from soundwright.preference.statistics import describe_pairs
    from soundwright.preference.thresholds import read_selection

    selection = read_selection(thresholds, settings or ())
    sounds = read_rollouts(rollouts)
    places = {one.partition("=")[0]: one for one in judges or ()}
    unused = next((name for name in places if name not in selection.judges), None)
    if unused is not None:
        raise UserError(
            f"The thresholds have no rule for the judge {unused}.",
            change=f"Add one: --set judges.{unused}.least_delta=0",
        )
    opened = [open_judge(places.get(name, name), device) for name in selection.judges]
    found = pair_rollouts(sounds, opened, selection, out)
    numbers = describe_pairs(found.items, read_rejected(out).items)
    if json:
        emit_json(numbers)
    else:
        emit_text(f"{out}: {numbers['pairs']} pairs of {numbers['candidates']} candidates")
        _show(numbers)


@app.command()
def stats(
    folder: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="The folder that `prefer pair` wrote.")
    ],
    json: JsonOption = False,
) -> None:
    """Print Table 2: pairs by strategy, what judges say of them, and why others were rejected.

    Example: soundwright prefer stats alpaca
    """
    from soundwright.preference.pairing import read_rejected
    from soundwright.preference.record_files import read_pairs
    from soundwright.preference.statistics import describe_pairs

    numbers = describe_pairs(read_pairs(folder).items, read_rejected(folder).items)
    if json:
        emit_json(numbers)
    else:
        _show(numbers)


app.command("train")(prefer_training.train)
app.command("loop")(prefer_training.loop)


def _settle(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    from soundwright.core.config import merge, parse_override

    for override in overrides:
        values = merge(values, parse_override(override))
    return values


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _say(found: Mapping[str, Any], json: bool, text: str) -> None:
    if json:
        emit_json(found)
    else:
        emit_text(text)


def _show(numbers: Mapping[str, Any]) -> None:
    for judge, rows in numbers["table"].items():
        emit_text(f"\n{judge}")
        emit_table(
            ("strategy", "pairs", "winner", "loser", "delta"),
            (
                (row["strategy"], row["n"], *(f"{row[key]:.3f}" for key in ("winner", "loser")),
                 f"{row['delta']:.3f}")
                for row in rows
            ),
        )  # fmt: skip
    rejected = numbers["rejected"]
    if rejected["candidates"]:
        emit_text(f"\n{rejected['candidates']} candidates rejected; one may have several reasons")
        emit_table(
            ("strategy", "reason", "candidates"),
            (
                (strategy, kind, count)
                for strategy, counts in rejected["reasons"].items()
                for kind, count in counts.items()
            ),
        )
