"""Typed, frozen configuration, composed from YAML recipes and `key=value` overrides."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from soundwright.core.errors import ConfigError, nearest

LONGEST_SHOWN = 120
"""Characters of a wrong value that a message repeats; a longer one would hide what is wrong."""


class Config(BaseModel):
    """Base of every configuration object: frozen, strict about its keys, made of plain values.

    A subclass stands beside the class that it configures. `Config.read` turns a mapping into an
    object and pydantic's complaints into a `ConfigError` that names the nearest valid key.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

    @classmethod
    def read(cls, values: Mapping[str, Any], *, origin: str = "the configuration") -> Self:
        """Validate `values`.

        Args:
            values: Nested plain values, as read from YAML or JSON.
            origin: What the values came from, for the error message.

        Raises:
            ConfigError: An unknown key, a missing key or a wrong type.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(
                "\n".join(_explain(cls, fault, origin) for fault in error.errors()),
            ) from error

    def plain(self) -> dict[str, Any]:
        """The configuration as JSON values; `read` of it gives an equal object."""
        return self.model_dump(mode="json")


def compose(
    recipe: str,
    overrides: Iterable[str] = (),
    *,
    find: Callable[[str], Path],
) -> dict[str, Any]:
    """Read a recipe with everything it extends, then apply overrides.

    Args:
        recipe: A name that `find` knows, or a path to a YAML file.
        overrides: Assignments such as "lm.dim=512"; the value is read as YAML.
        find: Turns a name, as given or as written under `extends:`, into a file.

    Returns:
        Nested plain values, without `extends`.

    Raises:
        ConfigError: A file that is not YAML, a cycle of `extends`, a malformed override.
    """
    values = _read_recipe(find(recipe), find, ())
    for override in overrides:
        values = merge(values, parse_override(override))
    return values


def parse_override(text: str) -> dict[str, Any]:
    """Turn "a.b=1" into {"a": {"b": 1}}; an empty value means null.

    Raises:
        ConfigError: There is no "=" or no key, or the value is not YAML.
    """
    key, separator, value = text.partition("=")
    path = key.strip().split(".")
    if not separator or not all(path):
        raise ConfigError(
            f"The override {text!r} cannot be read.", expected="key=value, such as lm.dim=512"
        )
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of the override {text!r} is not YAML: {error}") from error
    for name in reversed(path):
        tree = {name: tree}
    return tree


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`: mappings are merged key by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        standing = merged.get(key)
        if isinstance(value, Mapping) and isinstance(standing, Mapping):
            merged[key] = merge(standing, value)
        else:
            merged[key] = value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigError: The file is missing, is not YAML or holds something else.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        raise ConfigError(f"{path} is empty.", expected="a mapping of keys")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}.", expected="a mapping of keys")
    return values


def _read_recipe(
    path: Path, find: Callable[[str], Path], above: tuple[Path, ...]
) -> dict[str, Any]:
    if path in above:
        chain = " -> ".join(str(step) for step in (*above, path))
        raise ConfigError(f"The recipes extend each other in a circle: {chain}")
    values = read_yaml(path)
    parents = values.pop("extends", [])
    merged: dict[str, Any] = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        beside = path.parent / parent
        found = beside if beside.is_file() else find(parent)
        merged = merge(merged, _read_recipe(found, find, (*above, path)))
    return merge(merged, values)


def _explain(root: type[BaseModel], fault: Any, origin: str) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        names = _keys_at(root, path[:-1])
        hint = nearest(path[-1], names) if names else ""
        return f"{origin}: unknown key {key!r}. {hint}".rstrip()
    if fault["type"] == "missing":
        return f"{origin}: the key {key!r} is missing."
    told = fault["msg"].removeprefix("Value error, ").rstrip(".") + "."
    if not key:  # What was given is the whole configuration.
        return f"{origin}: {told}"
    given = repr(fault["input"])
    return f"{origin}: {key!r}{f' is {given}' if len(given) <= LONGEST_SHOWN else ''}: {told}"


def _keys_at(root: type[BaseModel], path: Iterable[str]) -> list[str]:
    """The valid keys of the configuration object that stands at `path` below `root`."""
    models = [root]
    for name in path:
        inner: list[type[BaseModel]] = []
        for model in models:
            field = model.model_fields.get(name)
            inner += _models_in(field.annotation) if field else []
        # The name of a tagged union's branch or a list's index stands in the path too.
        models = inner or models
    return sorted({key for model in models for key in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
