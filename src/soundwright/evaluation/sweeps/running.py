"""A sweep carried out: tokens made once, then each run trained, its sounds made and measured.

OUT/sweep.json            what is compared
OUT/data, codec, tokens   made once, for all runs
OUT/runs/ROW/seed-N       the run, as `soundwright train` leaves it
OUT/sounds/ROW/seed-N     its sounds, named after the held-out clips
OUT/results/ROW/seed-N    its measurement
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from soundwright.core.errors import ConfigError, UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.progress import Meter
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest, read_manifest
from soundwright.data.selection import Selection, select_clips
from soundwright.data.store import TokenStore
from soundwright.evaluation.sweeps.measuring import measure_run
from soundwright.evaluation.sweeps.plan import Run, Sweep, check_rows, find_start, plan_runs
from soundwright.pipelines.generation import BATCH_SIZE, load
from soundwright.pipelines.jobs import Workplace
from soundwright.pipelines.lm_recipe import LmRecipe
from soundwright.pipelines.lm_system import share_tokens
from soundwright.pipelines.models import RECORD_FILE
from soundwright.pipelines.recipe import Recipe, compare_recipes
from soundwright.pipelines.systems import SYSTEMS, System, read_recipe
from soundwright.pipelines.training import RECIPE_FILE, train_recipe

SWEEP_FILE = "sweep.json"
WORDS = ("name", "description")
"""Keys of a recipe that change nothing in what is trained."""

Tell = Callable[[str], None]


def run_sweep(sweep: Sweep, out: Path, tell: Tell, systems: Mapping[str, System] = SYSTEMS) -> None:
    """Train, generate and measure every run of a sweep that is not finished yet.

    Stopped or killed, the same call goes on. Rows and seeds may be added to a sweep that stands
    in `out`, and another row may be its baseline; what its runs have in common may not change.

    Args:
        sweep: What to compare.
        out: The sweep's folder.
        tell: Told which run is next.
        systems: By kind of recipe; a stranger adds its own.

    Raises:
        UserError: `out` holds another sweep, or a recipe or data set cannot be used.
        TrainingInterrupted: SIGINT or SIGTERM came; everything is saved.
    """
    runs = prepare_runs(sweep, out, systems)
    held_out = held_out_clips(sweep, check_rows(sweep, systems), out)
    for number, run in enumerate(runs, start=1):
        title = f"{run.row.name}, seed {run.seed} ({number} of {len(runs)})"
        model = find_start(read_recipe(sweep.recipe, run.overrides, systems), run.row)
        if model is None:
            _train(sweep, run, out, lambda text, title=title: tell(f"{title}: {text}"), systems)
            model = out / "runs" / run.place / "model"
        _generate(sweep, run, out, held_out.clips, model)
        measure_run(run, sweep.measuring, held_out, out)


def prepare_runs(sweep: Sweep, out: Path, systems: Mapping[str, System] = SYSTEMS) -> list[Run]:
    """Write down what a folder's sweep is, and make the codec and the tokens that its runs share.

    Only language models share some; other recipes name what they share, such as `latents`.

    Raises:
        UserError: As `run_sweep`.
    """
    recipe = check_rows(sweep, systems)
    _claim(sweep, out)
    if not isinstance(recipe, LmRecipe):
        return list(plan_runs(sweep))
    return list(plan_runs(sweep, share_tokens(recipe, Workplace(out, out / "data", resume=True))))


def held_out_clips(sweep: Sweep, recipe: Recipe, out: Path) -> Manifest:
    """The clips that the models are asked for: held out of training, with a caption.

    Raises:
        UserError: There are fewer than two, or a model is trained on some of them.
    """
    measuring = sweep.measuring
    if measuring.references is not None:
        selection = Selection(splits=measuring.splits, captioned=True)
        there = select_clips(read_manifest(measuring.references), selection)
    else:
        assert isinstance(recipe, LmRecipe)
        there = _own_clips(sweep, recipe, out)
    if len(there.clips) < 2:
        raise UserError(
            f"Only {len(there.clips)} clips with a caption are held out.",
            expected="at least two to measure with",
            change="Hold out more: data.validation, or measuring.splits with references.",
        )
    return there.with_clips(there.clips[: sweep.measuring.prompts])


def _own_clips(sweep: Sweep, recipe: LmRecipe, out: Path) -> Manifest:
    """Those that a recipe holds out of its own data."""
    corpus = TokenStore(out / "tokens" if recipe.tokens is None else recipe.tokens).manifest
    validation = recipe.data.validation or Selection(splits=("test",))
    there = select_clips(corpus, validation.model_copy(update={"captioned": True}))
    trained = {clip.id for clip in select_clips(corpus, recipe.data.train).clips}
    if any(clip.id in trained for clip in there.clips):
        raise UserError(
            f"{sweep.recipe} trains on clips that it is measured on.",
            change="Exclude their split: data.train.exclude_splits.",
        )
    return there


def prompt_of(clip: Clip) -> str:
    """What a model is asked for, that shall resemble the clip."""
    return clip.captions[0].text


def read_claim(out: Path) -> Sweep:
    """The sweep that stands in a folder.

    Raises:
        UserError: There is none.
    """
    path = out / SWEEP_FILE
    if not path.is_file():
        raise UserError(
            f"{out} holds no sweep.",
            expected="a folder that `soundwright sweep run` has begun",
            change="Check the path, or begin one: soundwright sweep run TABLE --out DIR",
        )
    return Sweep.read(read_json(path), origin=str(path))


def _claim(sweep: Sweep, out: Path) -> None:
    """Write down what stands in `out`, or see that it fits what stands there."""
    if (out / SWEEP_FILE).is_file():
        there = read_claim(out)
        if there.name != sweep.name:
            raise UserError(
                f"{out} holds the sweep {there.name}.",
                expected=f"an empty folder for {sweep.name}, or one that it has begun",
                change="Choose another folder, or give the sweep its name back.",
            )
        for key in ("recipe", "set", "measuring"):
            if getattr(there, key) != getattr(sweep, key):
                raise UserError(
                    f"{out} holds the sweep {there.name} with other values of `{key}`.",
                    change="Choose another folder.",
                )
        _check_row_sets(there, sweep, out)
        sweep = _join(there, sweep)
    write_json(out / SWEEP_FILE, sweep.plain())


def _join(there: Sweep, sweep: Sweep) -> Sweep:
    """The sweep as it is told now, with the rows and seeds that stand in a folder besides.

    A baseline, a description and what rows say of themselves change no run.
    """
    rows = {row.name: row for row in (*there.rows, *sweep.rows)}
    seeds = tuple(dict.fromkeys((*there.seeds, *sweep.seeds)))
    return sweep.model_copy(update={"rows": tuple(rows.values()), "seeds": seeds})


def _check_row_sets(there: Sweep, sweep: Sweep, out: Path) -> None:
    known = {row.name: row for row in there.rows}
    for row in sweep.rows:
        before = known.get(row.name, row)
        if before.set != row.set:
            raise UserError(
                f"{out} holds runs of the row {row.name} with other overrides.",
                expected=" ".join(before.set) or "no overrides",
                change="Give the changed row another name, or choose another folder.",
            )
        if (before.trained, before.generate) != (row.trained, row.generate):
            raise UserError(
                f"{out} holds sounds of the row {row.name}, made in another way.",
                expected=f"trained: {before.trained}, generate: {before.generate.given()}",
                change="Give the changed row another name, or choose another folder.",
            )


def _train(sweep: Sweep, run: Run, out: Path, tell: Tell, systems: Mapping[str, System]) -> None:
    folder = out / "runs" / run.place
    if (folder / RECIPE_FILE).is_file():
        _check_same(read_recipe(sweep.recipe, run.overrides, systems).plain(), folder)
    if (folder / "model" / RECORD_FILE).is_file():
        return
    tell("training")
    resume = (folder / RECIPE_FILE).is_file()
    train_recipe(sweep.recipe, run.overrides, out=folder, resume=resume, systems=systems)


def _check_same(wanted: dict[str, Any], folder: Path) -> None:
    differing = [
        key for key in compare_recipes(read_json(folder / RECIPE_FILE), wanted) if key not in WORDS
    ]
    if differing:
        raise ConfigError(
            f"The run in {folder} was made with other values of {', '.join(differing)}.",
            change="Remove the run, or choose another folder for the sweep.",
        )


def _generate(sweep: Sweep, run: Run, out: Path, clips: tuple[Clip, ...], name: str | Path) -> None:
    folder = out / "sounds" / run.place
    groups = [
        (start, clips[start : start + BATCH_SIZE]) for start in range(0, len(clips), BATCH_SIZE)
    ]
    missing = [
        (start, group)
        for start, group in groups
        if not all((folder / f"{clip.id}.json").is_file() for clip in group)
    ]
    if not missing:
        return
    model = load(name)
    settings = {"cfg_scale": sweep.measuring.cfg_scale, **run.row.generate.given()}
    done = len(clips) - sum(len(group) for _, group in missing)
    with Meter(f"sounds of {run.place}", len(clips), done=done, unit="sound") as meter:
        for start, group in missing:
            sounds = model.generate(
                [prompt_of(clip) for clip in group],
                seed=sweep.measuring.seed + start,
                **settings,
            )
            for clip, sound in zip(group, sounds, strict=True):
                sound.save(folder / f"{clip.id}.wav")
            meter.advance(len(group))
