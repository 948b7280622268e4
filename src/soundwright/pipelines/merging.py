"""Merging adapters into a model: a whole model folder that needs neither base nor adapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.pipelines.adapters import Adapter, AdapterChoice, gather_adapters
from soundwright.pipelines.models import ModelRecord, read_part, write_model
from soundwright.pipelines.parts import load_codec, load_lm
from soundwright.pipelines.storage import Storage


def merge_model(
    name: str | Path,
    adapters: Iterable[AdapterChoice],
    out: Path,
    *,
    storage: Storage = "fp32",
) -> ModelRecord:
    """Write a model with adapters merged into its weights; it is called like its folder.

    Args:
        name: Of the model, or of an adapter, which stands for its base with itself.
        adapters: Adapters, each alone or with how much of it is wanted.
        out: The new model's folder.
        storage: How weights are stored; fp32 loses nothing.

    Raises:
        UserError: `out` exists, there is nothing to merge, or an adapter is for another model.
        CheckpointError: Model or adapter are damaged.
    """
    if out.exists():
        raise UserError(f"{out} exists already.", change="Choose another folder (--out).")
    below, wanted = gather_adapters(name, adapters)
    if not wanted:
        raise UserError(
            f"There is nothing to merge into {name}.", change="Give adapters: --adapter DIR."
        )
    _, record, folder = load_codec(below)
    lm = load_lm(record, folder, wanted)
    licences = dict.fromkeys([record.licence, *(adapter.record.licence for adapter in wanted)])
    others = (part for part in record.parts if part != "lm")
    parts = {part: (record.parts[part], read_part(folder, part)) for part in others}
    mixture = {
        "base": {"name": record.name, "hash": record.hash},
        "adapters": [adapter.describe() for adapter in wanted],
    }
    return write_model(
        out,
        kind="lm",
        name=out.name,
        parts={**parts, "lm": (record.parts["lm"], lm.state_dict())},
        settings=record.settings,
        recipe={"merged": mixture, "base": record.recipe},
        licence="; ".join(licences),
        card=_write_card(out.name, record, wanted),
        storage=storage,
    )


def _write_card(name: str, base: ModelRecord, adapters: Sequence[Adapter]) -> str:
    rows = "\n".join(
        f"| {adapter.record.name} | {adapter.record.hash} | {adapter.weight:g} | "
        f"{adapter.record.licence} |"
        for adapter in adapters
    )
    return (
        f"# {name}\n\n{base.name} ({base.hash}, {base.licence}) with adapters merged into it. "
        "Their cards say what each was trained on.\n\n"
        f"| adapter | hash | weight | licence |\n|---|---|---|---|\n{rows}\n"
    )
