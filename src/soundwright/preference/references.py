"""What training is compared with: the scores of a model that does not learn.

A reference is asked for the same sounds, at the same times and with the same noise, as the model in
training. Its scores can all be computed before the first step and stored: then no second model is
in memory, and a step costs no second forward pass. They are computed in the very batches in which
training will need them, so that they equal live ones to the last bit.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from soundwright.core.devices import Precision, autocast
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.core.packs import Packs
from soundwright.core.progress import Meter
from soundwright.nn.lora import lora_off
from soundwright.preference.pair_data import PairBatches
from soundwright.preference.policies import Role, ScoredPolicy, Sounds

PACK_BATCHES = 16
"""Batches whose scores are written at once: what a kill can cost."""
ROLES: tuple[Role, ...] = ("winner", "loser", "mismatched")


class Reference(Protocol):
    """Scores of a model that stays as it is."""

    def score(self, sounds: Sounds[Any]) -> Tensor:
        """[rows] fp32, without gradients, on any device."""
        ...


class LiveReference:
    """A model asked in every step; one that is `freeze`d, or does not learn yet."""

    def __init__(self, policy: ScoredPolicy[Any]) -> None:
        self.policy = policy

    @torch.no_grad()
    def score(self, sounds: Sounds[Any]) -> Tensor:
        """Its scores."""
        return self.policy.score(sounds)


class AdapterReference:
    """The model in training without its adapters (LoRA), asked in every step; no copy is needed."""

    def __init__(self, policy: ScoredPolicy[Any]) -> None:
        self.policy = policy

    @torch.no_grad()
    def score(self, sounds: Sounds[Any]) -> Tensor:
        """Those of the base."""
        with lora_off(self.policy.module):
            return self.policy.score(sounds)


class CachedReference:
    """Scores that were computed before; see `cache_scores`.

    Args:
        scores: By key and role.
        by_epoch: Whether a sound has a score for each epoch.
    """

    def __init__(self, scores: Mapping[tuple[str, Role], float], *, by_epoch: bool) -> None:
        self._scores, self._by_epoch = scores, by_epoch

    def score(self, sounds: Sounds[Any]) -> Tensor:
        """Look them up.

        Raises:
            UserError: One is not there: training has gone on for longer than was foreseen.
        """
        keys: list[tuple[str, Role]] = [
            (_key(pair, epoch, by_epoch=self._by_epoch), role)
            for pair, epoch, role in zip(sounds.pairs, sounds.epochs, sounds.roles, strict=True)
        ]
        missing = [key for key in keys if key not in self._scores]
        if missing:
            raise UserError(
                f"The reference has no score of {missing[0][0]}.",
                change="Remove the folder reference/ of the run, and go on.",
            )
        return torch.tensor([self._scores[key] for key in keys])


def cache_scores(
    reference: Reference,
    batches: Sequence[tuple[PairBatches, range]],
    folder: Path,
    *,
    by_epoch: bool,
    mismatched: bool,
    made_of: Mapping[str, Any],
    device: torch.device,
    precision: Precision = "fp32",
) -> CachedReference:
    """Compute all scores that training will need, once; a killed run goes on where it stood.

    Args:
        reference: On `device`.
        batches: All batches of training and of validation that will be asked for.
        folder: Where scores are kept.
        by_epoch: Whether a sound has a score for each epoch; otherwise one serves all.
        mismatched: Whether scores of mismatched prompts are needed too; they depend on the batch,
            so that there is one for each epoch.
        made_of: JSON values that decide on the scores, weights and pairs included.
        device: Where.
        precision: In which training multiplies.

    Raises:
        UserError: The folder cannot be written.
    """
    by_epoch = by_epoch or mismatched
    roles = ROLES if mismatched else ROLES[:2]
    made = {**made_of, "by_epoch": by_epoch, "roles": roles, "precision": precision}
    fingerprint = hash_bytes(json.dumps(made, sort_keys=True).encode())[:16]
    packs = Packs(folder / fingerprint, roles)
    wanted, missing = _plan(batches, packs, by_epoch=by_epoch)
    with Meter("reference", len(wanted), unit="pair") as meter:
        meter.advance(sum(key in packs for key in wanted))
        waiting: dict[str, dict[str, Tensor]] = {}
        for number, (source, index) in enumerate(missing, start=1):
            with torch.no_grad(), autocast(device, precision):
                found = _score_batch(reference, source, index, by_epoch, mismatched)
            before = len(waiting)
            waiting |= {
                key: entry
                for key, entry in found.items()
                if key not in packs and key not in waiting
            }
            meter.advance(len(waiting) - before)
            if number % PACK_BATCHES == 0 or number == len(missing):
                packs.write(waiting)
                waiting = {}
    known = packs.read(wanted)
    if len(known) < len(wanted):  # Packs that were damaged are gone now.
        return cache_scores(
            reference,
            batches,
            folder,
            by_epoch=by_epoch,
            mismatched=mismatched,
            made_of=made_of,
            device=device,
            precision=precision,
        )
    scores: dict[tuple[str, Role], float] = {
        (key, role): float(entry[role])
        for key, entry in known.items()
        for role in roles
        if role in entry
    }
    return CachedReference(scores, by_epoch=by_epoch)


def freeze(policy: ScoredPolicy[Any], module: nn.Module | None = None) -> ScoredPolicy[Any]:
    """The policy's view through a network that does not learn.

    Args:
        policy: Of the model in training.
        module: Any network of its shape; None takes a copy of the policy's as it is now.

    Raises:
        UserError: The network has another shape.
    """
    frozen = copy.deepcopy(policy.module) if module is None else module
    check_shape(policy.module, frozen)
    return policy.of(frozen.requires_grad_(False))


def check_shape(policy: nn.Module, reference: nn.Module) -> None:
    """Refuse a reference whose weights are not, one by one, of the model's shape.

    Raises:
        UserError: Names the first that differs.
    """
    ours = {name: tuple(value.shape) for name, value in policy.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"The reference is a model of another shape: its {name} is "
                f"{theirs.get(name, 'missing')}.",
                expected=f"{ours.get(name, 'no such weight')}, as in the model in training",
            )


def _plan(
    batches: Sequence[tuple[PairBatches, range]], packs: Packs, *, by_epoch: bool
) -> tuple[list[str], list[tuple[PairBatches, int]]]:
    """The keys of all scores, and the batches that have to be scored for those that are missing."""
    wanted: dict[str, None] = {}
    missing: list[tuple[PairBatches, int]] = []
    for source, numbers in batches:
        for index in numbers:
            keys = [_key(d.pair.id, d.epoch, by_epoch=by_epoch) for d in source.draws(index)]
            if any(key not in packs and key not in wanted for key in keys):
                missing.append((source, index))
            wanted |= dict.fromkeys(keys)
    return list(wanted), missing


def _score_batch(
    reference: Reference, source: PairBatches, index: int, by_epoch: bool, mismatched: bool
) -> dict[str, dict[str, Tensor]]:
    batch = source[index]
    parts = [batch.sounds]
    if mismatched and batch.mismatched is not None:
        parts.append(batch.mismatched)
    found: dict[str, dict[str, Tensor]] = {}
    for sounds in parts:
        scores = reference.score(sounds).float().cpu()
        for row, (pair, epoch) in enumerate(zip(sounds.pairs, sounds.epochs, strict=True)):
            key = _key(pair, epoch, by_epoch=by_epoch)
            found.setdefault(key, {})[sounds.roles[row]] = scores[row].clone()
    return found


def _key(pair: str, epoch: int, *, by_epoch: bool) -> str:
    return f"{pair}-{epoch}" if by_epoch else pair
