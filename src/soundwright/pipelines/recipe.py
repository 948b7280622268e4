"""Recipes: the root configuration of an experiment, and the files that ship with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from soundwright.core.config import Config, compose
from soundwright.core.errors import ConfigError, nearest
from soundwright.pipelines.corpora import DataConfig
from soundwright.pipelines.storage import Storage
from soundwright.training.settings import TrainingConfig


class Recipe(Config):
    """What the recipes of all kinds have in common; each kind adds its own sections."""

    kind: str
    """A name from the table of systems: codec, lm, tagger."""
    name: str = Field(min_length=1)
    """Of the recipe, and of the model that it makes."""
    description: str = ""
    """A sentence for people."""
    licence: str = "unknown"
    """Terms of the weights, which follow from the data; SPDX-like."""
    storage: Storage = "fp32"
    """How the weights of the finished model are stored."""
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()

    @field_validator("name")
    @classmethod
    def _is_file_name(cls, name: str) -> str:
        if set(name) & set('/\\:*?"<>|') or name.startswith("."):
            raise ValueError('a name has none of / \\ : * ? " < > | and no leading dot')
        return name


def recipe_folder() -> Path:
    """Where the shipped recipes stand."""
    return Path(__file__).parent / "recipes"


def list_recipes() -> dict[str, Path]:
    """The shipped recipes by name."""
    return {path.stem: path for path in sorted(recipe_folder().glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe, given by name or by path.

    Raises:
        ConfigError: There is no such recipe.
    """
    known = list_recipes()
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    raise ConfigError(
        f"There is no recipe {name!r}: {nearest(name, known)}",
        expected="a name from `soundwright recipes list`, or a path to a .yaml file",
    )


def compose_recipe(name: str, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a recipe with everything it extends and with overrides applied.

    Raises:
        ConfigError: No such recipe, or one that cannot be composed.
    """
    return compose(name, overrides, find=find_recipe)


def compare_recipes(first: Any, second: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    """The values in which two recipes differ, by dotted key; None where one has no such key."""
    if isinstance(first, dict) and isinstance(second, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in dict.fromkeys([*first, *second]):
            inner = f"{key}.{name}" if key else str(name)
            found |= compare_recipes(first.get(name), second.get(name), inner)
        return found
    return {} if first == second else {key: (first, second)}
