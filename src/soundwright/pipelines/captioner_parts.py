"""The parts of captioners: found by their sources, loaded from model folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from soundwright.captioner.language import Language, fetch_bart
from soundwright.captioner.model import AutoCap, AutoCapConfig
from soundwright.captioner.towers import (
    FrozenTowers,
    HtsatConfig,
    HtsatTower,
    SmallTower,
    TowerChoice,
    build_tower,
)
from soundwright.captioner.words import Words
from soundwright.core.errors import CheckpointError
from soundwright.pipelines.captioner_recipe import ClapSource, LanguageSource, TowerSource
from soundwright.pipelines.language_system import load_language, read_words
from soundwright.pipelines.models import ModelRecord, find_model, verify_model
from soundwright.pipelines.parts import load_part
from soundwright.scorers.clap import Clap, load_clap
from soundwright.scorers.clap_weights import find_clap
from soundwright.scorers.detector import Detector
from soundwright.scorers.matching import Matcher, MatcherConfig, matcher_folder
from soundwright.scorers.tagger import Tagger, tagger2_folder

TAGGER2, MATCHER1 = "tagger2", "matcher1"


@dataclass(frozen=True)
class Ears:
    """Frozen towers, and what a model folder says of them."""

    towers: FrozenTowers
    choice: TowerChoice
    """Of the audio tower."""
    clap: Clap | Matcher | None
    """As the towers' own, which hear and do not read."""
    clap_name: str | None
    """CLAP by name; None where there is none, or where the folder holds a matcher."""

    @property
    def vector_width(self) -> int | None:
        """V."""
        return None if self.clap is None else self.clap.width

    @property
    def parts(self) -> dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]]:
        """For a model folder."""
        parts = {"tower": (self.choice.plain(), self.towers.tower.state_dict())}
        if isinstance(self.clap, Matcher):
            parts["matcher"] = (self.clap.config.plain(), self.clap.state_dict())
        return parts


@dataclass(frozen=True)
class CaptionerParts:
    """A captioner, taken apart."""

    ears: Ears
    model: AutoCap
    """In evaluation mode."""
    words: Words
    record: ModelRecord


def open_ears(tower: TowerSource, clap: ClapSource | None, device: torch.device) -> Ears:
    """The towers that a recipe names.

    Raises:
        UserError: There is no such tagger or matcher.
        MissingWeightsError: A model's weights are neither here nor reachable.
        CheckpointError: They are damaged, or of another kind.
    """
    built, choice = _open_tower(tower)
    name = clap.clap if clap is not None else None
    return _join(built, choice, _open_clap(clap, device), name, device)


def open_language(source: LanguageSource) -> Language:
    """The language model that a recipe names; one of a recipe has been trained already.

    Raises:
        MissingWeightsError: Its weights are neither here nor reachable.
        CheckpointError: They are damaged, or of another kind.
    """
    if source.bart is not None:
        return fetch_bart(source.bart)
    assert source.model is not None
    return load_language(source.model)


def load_captioner_parts(name: str | Path, device: torch.device) -> CaptionerParts:
    """A captioner from its folder.

    Raises:
        UserError: There is no such model.
        MissingWeightsError: It hears with a CLAP whose weights are neither here nor reachable.
        CheckpointError: It is damaged, or no captioner.
    """
    folder = find_model(name)
    record = verify_model(folder)
    if record.kind != "captioner":
        raise CheckpointError(
            f"{name} is a {record.kind}, and does not caption.",
            expected="a captioner, such as bundled-captioner",
        )
    origin = f"the model {name}"
    choice = TowerChoice.read(record.parts["tower"], origin=origin)
    tower = build_tower(choice)
    load_part(tower, folder, "tower")
    clap: Clap | Matcher | None = None
    clap_name = record.settings["clap"]
    if "matcher" in record.parts:
        clap = Matcher(MatcherConfig.read(record.parts["matcher"], origin=origin))
        load_part(clap, folder, "matcher")
    elif clap_name is not None:
        clap = load_clap(clap_name, device=device)
    model = AutoCap(AutoCapConfig.read(record.parts["captioner"], origin=origin))
    load_part(model, folder, "captioner")
    ears = _join(tower, choice, clap, clap_name, device)
    return CaptionerParts(ears, model.to(device).eval(), read_words(folder), record)


def _open_tower(source: TowerSource) -> tuple[HtsatTower | SmallTower, TowerChoice]:
    if source.tagger is not None or source.detector is not None:
        return _join_small(source)
    if source.htsat is not None:
        choice = TowerChoice(htsat=source.htsat)
        return build_tower(choice), choice
    assert source.clap is not None
    audio = find_clap(source.clap).model.audio_model
    choice = TowerChoice(htsat=HtsatConfig.of_clap(audio.config))
    tower = build_tower(choice)
    assert isinstance(tower, HtsatTower)
    tower.network.load_state_dict(audio.state_dict())
    return tower, choice


def _join_small(source: TowerSource) -> tuple[SmallTower, TowerChoice]:
    parts: dict[str, Tagger | Detector] = {}
    if source.tagger is not None:
        shipped = source.tagger == TAGGER2
        folder = tagger2_folder() if shipped else Path(source.tagger).expanduser()
        parts["tagger"] = Tagger.load(folder)
    if source.detector is not None:
        parts["detector"] = Detector.load(Path(source.detector).expanduser())
    choice = TowerChoice.read({"small": {name: one.config.plain() for name, one in parts.items()}})
    tower = build_tower(choice)
    assert isinstance(tower, SmallTower)
    for name, part in parts.items():
        tower.get_submodule(name).load_state_dict(part.state_dict())
    return tower, choice


def _open_clap(source: ClapSource | None, device: torch.device) -> Clap | Matcher | None:
    if source is None:
        return None
    if source.clap is not None:
        return load_clap(source.clap, device=device)
    assert source.matcher is not None
    shipped = source.matcher == MATCHER1
    return Matcher.load(matcher_folder() if shipped else Path(source.matcher).expanduser())


def _join(
    tower: HtsatTower | SmallTower,
    choice: TowerChoice,
    clap: Clap | Matcher | None,
    clap_name: str | None,
    device: torch.device,
) -> Ears:
    if isinstance(clap, Matcher):
        clap.to(device)
    return Ears(FrozenTowers(tower.to(device), clap), choice, clap, clap_name)
