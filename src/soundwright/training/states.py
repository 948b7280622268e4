"""Nested state (tensors and plain values) as one JSON tree and one table of tensors, exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

TAG = "$"
"""Marks a JSON object that stands for something that JSON does not have."""


def flatten(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split `state` into JSON values and the tensors that they refer to by name.

    Tuples, mappings with keys that are not text, and floats that JSON lacks are tagged, so
    that `restore` gives back the same types.

    Raises:
        TypeError: Something is neither a tensor nor a plain value.
    """
    tensors: dict[str, Tensor] = {}
    return _flatten(state, "state", tensors), tensors


def restore(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten`."""
    if isinstance(tree, list):
        return [restore(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if TAG not in tree:
        return {key: restore(value, tensors) for key, value in tree.items()}
    kind, value = tree[TAG], tree["value"]
    if kind == "tensor":
        return tensors[value]
    if kind == "float":
        return float(value)
    items = [restore(item, tensors) for item in value]
    return tuple(items) if kind == "tuple" else dict(items)


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value
        return {TAG: "tensor", "value": name}
    if isinstance(value, float) and not math.isfinite(value):
        return {TAG: "float", "value": str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return _flatten_items(value, name, tensors)
    if isinstance(value, tuple):
        return {TAG: "tuple", "value": _flatten_items(value, name, tensors)}
    if isinstance(value, Mapping):
        return _flatten_mapping(value, name, tensors)
    raise TypeError(f"{name} is a {type(value).__name__}; states hold tensors and plain values.")


def _flatten_items(items: Any, name: str, tensors: dict[str, Tensor]) -> list[Any]:
    return [_flatten(item, f"{name}.{index}", tensors) for index, item in enumerate(items)]


def _flatten_mapping(value: Mapping[Any, Any], name: str, tensors: dict[str, Tensor]) -> Any:
    if all(isinstance(key, str) for key in value) and TAG not in value:
        # The number keeps the names of "a.b": and "a": {"b": apart.
        return {
            key: _flatten(item, f"{name}.{index}:{key}", tensors)
            for index, (key, item) in enumerate(value.items())
        }
    pairs = [(key, item) for key, item in value.items()]
    return {TAG: "mapping", "value": _flatten_items(pairs, name, tensors)}
