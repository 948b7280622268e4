"""What a sweep compares: conditions, seeds, and how their models are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config, compose, merge, parse_override
from soundwright.core.errors import ConfigError, UserError, nearest
from soundwright.pipelines.lm_recipe import LmRecipe
from soundwright.pipelines.recipe import Recipe
from soundwright.pipelines.systems import SYSTEMS, System, read_recipe

SOUNDING = ("lm", "diffusion", "preference")
"""Kinds of recipe whose models make sounds."""


class Drawing(Config):
    """How a row's sounds are made; null is the model's default, or the table's."""

    cfg_scale: float | None = Field(default=None, gt=0)
    """1 is none."""
    steps: int | None = Field(default=None, ge=1)
    """Of a diffusion model's sampler."""
    sampler: str | None = None
    """Of a diffusion model: ddpm, ddim, dpm++, unipc; of flow: euler, midpoint."""

    def given(self) -> dict[str, Any]:
        """Arguments of `generate`, without those that are null."""
        return {name: value for name, value in self if value is not None}


class Condition(Config):
    """One row of the table."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    columns: dict[str, str | float] = Field(default_factory=dict)
    """What the row says of itself, such as {pool: max, CFG: 0.1}."""
    set: tuple[str, ...] = ()
    """Overrides of the recipe."""
    trained: bool = True
    """False measures the model that the recipe starts from, as it is."""
    generate: Drawing = Drawing()
    """What differs in how sounds are made."""
    seeds: tuple[int, ...] | None = None
    """Those of the table's seeds that this row is trained with; null takes all."""
    published: dict[str, float] = Field(default_factory=dict)
    """The paper's figures, shown apart: they were measured with other scorers on other data."""


class Measuring(Config):
    """How the model of every run is measured."""

    prompts: int = Field(default=120, ge=2)
    """How many of the held-out clips: their first captions are the prompts, their sounds the
    references."""
    references: Path | None = None
    """Manifest of the held-out clips. Null takes those that a language model's recipe holds out:
    of its validation; without one, those of the split `test`."""
    splits: tuple[str, ...] = ("test",)
    """Of `references`; of none, all."""
    seed: int = 1000
    """Of the first sound, the next ones count on; the same in all runs."""
    metrics: tuple[str, ...] = ()
    """Names for `soundwright evaluate`; empty takes its default."""
    cfg_scale: float | None = Field(default=None, gt=0)
    """Guidance; null is the model's default. The paper does not tell its own."""


class Sweep(Config):
    """A table of experiments."""

    name: str = Field(min_length=1)
    description: str = ""
    recipe: str
    """What is trained, by name or as a path to a .yaml file."""
    set: tuple[str, ...] = ()
    """Overrides for all rows."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """Of training: initial weights, order of data, hidden texts. Rows share them, in pairs."""
    baseline: str
    """The row that the others are compared with."""
    rows: tuple[Condition, ...] = Field(min_length=2)
    measuring: Measuring = Measuring()

    @model_validator(mode="after")
    def _rows_are_told_apart(self) -> Self:
        names = Counter(row.name for row in self.rows)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"two rows are called {twice[0]}")
        if self.baseline not in names:
            raise ValueError(f"baseline: {nearest(self.baseline, names)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is given twice")
        return self


@dataclass(frozen=True)
class Run:
    """One training of a sweep."""

    row: Condition
    seed: int
    overrides: tuple[str, ...]

    @property
    def place(self) -> Path:
        """Where it stands below each of the sweep's folders."""
        return Path(self.row.name) / f"seed-{self.seed}"


def table_folder() -> Path:
    """Where the tables that ship stand."""
    return Path(__file__).parent / "tables"


def list_tables() -> dict[str, Path]:
    """The tables that ship, by name."""
    return {path.stem: path for path in sorted(table_folder().glob("*.yaml"))}


def read_sweep(name: str, changes: dict[str, Any] | None = None) -> Sweep:
    """Read a table.

    Args:
        name: Of one that ships, or a path to a .yaml file.
        changes: Values that replace its own.

    Raises:
        ConfigError: No such table, or a wrong value in it.
    """
    values = merge(compose(name, find=_find_table), changes or {})
    return Sweep.read(values, origin=f"table {name}")


def plan_runs(sweep: Sweep, shared: tuple[str, ...] = ()) -> Iterator[Run]:
    """The runs, seed after seed, so that a sweep that is cut short has whole pairs."""
    for seed in sweep.seeds:
        for row in sweep.rows:
            if row.seeds is not None and seed not in row.seeds:
                continue
            yield Run(row, seed, (*sweep.set, *shared, *row.set, f"training.seed={seed}"))


def check_rows(sweep: Sweep, systems: Mapping[str, System] = SYSTEMS) -> Recipe:
    """Read the recipe of every row, so that a mistake is found before days of training.

    Args:
        sweep: What to compare.
        systems: By kind of recipe; a floor above, or a stranger, adds its own.

    Returns:
        The recipe without any row's overrides.

    Raises:
        ConfigError: A row does not fit the recipe.
        UserError: The recipe makes no sounds, or nobody says which clips to measure with.
    """
    for row in sweep.rows:
        try:
            recipe = read_recipe(sweep.recipe, (*sweep.set, *row.set), systems)
            find_start(recipe, row)
        except ConfigError as error:
            raise ConfigError(f"The row {row.name} of {sweep.name}: {error}") from error
        for override in row.set:
            if "seed" in parse_override(override).get("training", {}):
                raise ConfigError(f"The row {row.name} sets training.seed; that is `seeds`.")
        if recipe.kind == "lm" and (row.generate.steps or row.generate.sampler):
            raise ConfigError(f"The row {row.name} sets steps or sampler, for a language model.")
    recipe = read_recipe(sweep.recipe, sweep.set, systems)
    if recipe.kind not in SOUNDING:
        raise UserError(
            f"{sweep.recipe} trains a {recipe.kind}.", expected=f"one of {', '.join(SOUNDING)}"
        )
    if sweep.measuring.references is None and not isinstance(recipe, LmRecipe):
        raise UserError(
            f"The clips to measure {sweep.name} with are not given.",
            expected="a manifest of clips that no model was trained on",
            change="Give it: --references MANIFEST, or measuring.references in the table.",
        )
    return recipe


def find_start(recipe: Recipe, row: Condition) -> str | None:
    """The model that a row measures without training; None where it is trained.

    Raises:
        ConfigError: The recipe starts from none.
    """
    if row.trained:
        return None
    start = getattr(recipe, "from_model", None)
    if start is None:
        raise ConfigError("from_model is null: there is nothing to measure untrained.")
    return start


def _find_table(name: str) -> Path:
    known = list_tables()
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    raise ConfigError(
        f"There is no table {name!r}: {nearest(name, known)}",
        expected="a name from `soundwright sweep list`, or a path to a .yaml file",
    )
