"""Preference training from a recipe: model, pairs, reference, and the model that comes of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from soundwright.core.devices import claim_device
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.files import hash_bytes
from soundwright.data.manifest import Manifest
from soundwright.nn.lora import add_lora, merge_lora
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.models import (
    ModelRecord,
    find_model,
    read_part,
    verify_model,
    write_model,
)
from soundwright.pipelines.systems import SYSTEMS, System
from soundwright.preference.families import Family, load_module, open_family, trained_part
from soundwright.preference.judges import open_judge
from soundwright.preference.pair_data import PairBatches
from soundwright.preference.pair_sounds import check_lengths, check_sounds, list_sounds
from soundwright.preference.recipe import PreferenceRecipe, inherit_preference
from soundwright.preference.record_files import RecordFile, read_pairs
from soundwright.preference.records import Pair
from soundwright.preference.references import (
    AdapterReference,
    LiveReference,
    Reference,
    cache_scores,
    freeze,
)
from soundwright.preference.stopping import HeldOutReward, check_independent
from soundwright.preference.task import PreferenceTask
from soundwright.text.preparation import PreparationConfig, prepare
from soundwright.training.checkpoints import read_weights


@dataclass(frozen=True)
class _Base:
    """The model that training starts from."""

    record: ModelRecord
    folder: Path
    family: Family


@dataclass(frozen=True)
class _Data:
    """The pairs, encoded."""

    sounds: Manifest
    train: PairBatches
    held_out: PairBatches | None


def prepare_preference(recipe: PreferenceRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to align the model of a recipe.

    Encodes the sounds of the pairs and computes the reference's scores first, where they are
    missing.

    Raises:
        UserError: Model, pairs, reference or judge cannot be used.
    """
    if recipe.from_model is None or recipe.pairs is None:
        missing = "from_model" if recipe.from_model is None else "pairs"
        raise ConfigError(
            f"The recipe {recipe.name} does not say {missing}.",
            change="Give both: --set from_model=MODEL --set pairs=FOLDER (of `prefer pair`); or "
            "let `soundwright prefer loop` make the pairs.",
        )
    device = claim_device(recipe.training.device, place.ranks)
    found = read_pairs(recipe.pairs)
    train, held = recipe.select(found.items)
    folder = find_model(recipe.from_model)
    record = verify_model(folder)
    base = _Base(record, folder, open_family(recipe, record, folder, device))
    policy = base.family.policy
    if recipe.adapter is not None:
        add_lora(policy.module, recipe.adapter, recipe.training.seed)
    reward = _open_reward(recipe, place, base.family, found, held)
    data = _encode(recipe, place, base.family, found.folder, train, held)
    policy.module.to(device)
    if reward is not None:
        reward.begin()
    reference = _open_reference(recipe, place, base, data, device)
    task = PreferenceTask(policy, reference, recipe.loss, recipe.tuning_steps(len(train)))

    def save(checkpoint: Path, out: Path) -> None:
        weights, _ = read_weights(checkpoint, policy.player)
        if reward is not None:
            weights = reward.best_weights()
        _write(recipe, base, weights, out, _write_card(recipe, base, data, reward))

    hooks = () if reward is None else (reward,)
    ends = None if reward is None else reward.ends
    return Job(task, data.train, data.held_out, save, hooks, ends)


def _open_reward(
    recipe: PreferenceRecipe,
    place: Workplace,
    family: Family,
    found: RecordFile[Pair],
    held: list[Pair],
) -> HeldOutReward | None:
    config = recipe.stopping
    if config is None:
        return None
    if not held:
        raise UserError(
            "All pairs are of one caption, and none can be held out.",
            change="Make pairs of more captions, or set stopping=null.",
        )
    judge = open_judge(config.judge, recipe.training.device)
    check_independent(judge, found.facts, found.items)
    prompts = list(dict.fromkeys(pair.prompt for pair in held))
    maker = family.make(max(pair.duration for pair in held))
    return HeldOutReward(config, judge, maker, prompts, family.policy.module, place.run / "reward")


def _encode(
    recipe: PreferenceRecipe,
    place: Workplace,
    family: Family,
    folder: Path,
    train: list[Pair],
    held: list[Pair],
) -> _Data:
    pairs = [*train, *held]
    out = place.run / "sounds"
    check_sounds(pairs, folder, out)
    sounds = list_sounds(pairs, folder)
    store = family.encode(sounds, out)
    check_lengths(pairs, store, family.longest)
    text = functools.partial(_prepare, family.text.preparation)
    seed = recipe.training.seed
    return _Data(
        sounds,
        PairBatches(store, train, recipe.batch, seed=seed, text=text),
        PairBatches(store, held, recipe.batch, seed=seed, text=text, shuffle=False)
        if held
        else None,
    )


def _open_reference(
    recipe: PreferenceRecipe, place: Workplace, base: _Base, data: _Data, device: torch.device
) -> Reference:
    policy, training = base.family.policy, recipe.training
    record = base.record
    live: Reference
    is_cached = recipe.reference.scores == "cached"
    if recipe.adapter is not None:
        live = AdapterReference(policy)
    elif recipe.reference.model is not None:
        folder = find_model(recipe.reference.model)
        record = verify_model(folder)
        _check_reference(base.record, record)
        live = LiveReference(freeze(policy, load_module(record, folder).to(device)))
    else:
        # Before the first step the model is its own reference.
        live = LiveReference(policy if is_cached else freeze(policy))
    if not is_cached:
        return live
    first = recipe.tuning_steps(len(data.train.pairs))
    needed = [
        (data.train, range(first * training.accumulate, training.steps * training.accumulate))
    ]
    if data.held_out is not None and training.validate_every is not None:
        needed.append((data.held_out, range(training.validate_batches)))
    order = [[pair.id, pair.prompt] for source, _ in needed for pair in source.pairs]
    return cache_scores(
        live,
        needed,
        place.run / "reference",
        by_epoch=policy.depends_on_epoch,
        mismatched=recipe.loss.kind == "kto",
        made_of={
            "model": record.hash,
            "scores": policy.describe(),
            "pairs": hash_bytes(json.dumps(order).encode()),
            "sounds": data.train.store.fingerprint,
            "batch": [recipe.batch, training.seed],
            "device": device.type,
        },
        device=device,
        precision=training.precision,
    )


def _check_reference(base: ModelRecord, reference: ModelRecord) -> None:
    """Refuse a reference that would not see the same frames and texts.

    Raises:
        UserError: It is of another kind, or has another codec or text encoder.
    """
    part = trained_part(base)
    shared = [name for name in base.parts if name != part]
    files = [f"{name}.safetensors" for name in shared]
    if (
        base.kind != reference.kind
        or [base.parts[name] for name in shared] != [reference.parts.get(name) for name in shared]
        or [base.files[name] for name in files] != [reference.files.get(name) for name in files]
        or any(
            base.settings.get(name) != reference.settings.get(name)
            for name in ("text", "conditions")
        )
    ):
        raise UserError(
            f"The reference {reference.name} does not read the sounds and texts that "
            f"{base.name} reads.",
            expected="a model of the same kind with the same codec and text encoder",
            change="Leave reference.model out: the reference is then the model itself.",
        )


def _write(
    recipe: PreferenceRecipe, base: _Base, weights: Mapping[str, Tensor], out: Path, card: str
) -> None:
    """A model folder like that of the base."""
    part = base.family.policy.player
    if recipe.adapter is not None:
        whole = read_part(base.folder, part)
        weights = merge_lora(whole, weights, recipe.adapter.scale, "The trained adapter")
    others = {name: read_part(base.folder, name) for name in base.record.parts if name != part}
    write_model(
        out,
        kind=base.record.kind,
        name=recipe.name,
        parts={
            name: (shape, weights if name == part else others[name])
            for name, shape in base.record.parts.items()
        },
        settings=base.record.settings,
        recipe=recipe.plain(),
        licence=recipe.licence,
        card=card,
        storage=recipe.storage,
    )


def _write_card(
    recipe: PreferenceRecipe, base: _Base, data: _Data, reward: HeldOutReward | None
) -> str:
    scoring = recipe.tokens if base.record.kind == "lm" else recipe.noise
    facts = {
        "pairs": f"{len(data.train.pairs)}, and "
        f"{0 if data.held_out is None else len(data.held_out.pairs)} held out",
        "loss": f"{recipe.loss.kind}, beta {recipe.loss.beta:g} of {scoring.reduction}s",
        "epochs": f"{recipe.sft_epochs:g} on winners, {recipe.epochs:g} on pairs",
        "steps": recipe.training.steps,
    }
    if reward is not None:
        facts["held-out reward"] = reward.describe()
    record = base.record
    lineage = f"Aligned from {record.name} ({record.hash}, {record.licence})."
    return write_card(recipe, facts, data.sounds, lineage=lineage)


def _prepare(preparation: PreparationConfig, prompt: str) -> str:
    return prepare(prompt, preparation)


ALL_SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        **SYSTEMS,
        "preference": System(PreferenceRecipe, prepare_preference, inherit=inherit_preference),
    }
)
"""The table of `pipelines.systems` with this room's kind of recipe."""
