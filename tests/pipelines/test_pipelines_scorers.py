"""The scorers' recipes, from nothing to a folder that hears."""

import pytest
import torch

from soundwright.core.errors import ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.pipelines.training import train_recipe
from soundwright.scorers.detector import Detector
from soundwright.scorers.matching import Matcher
from soundwright.scorers.tagger import Tagger

NOISE = 0.1 * torch.randn(16000, generator=torch_stream(0, "noise"))


def test_a_detector_trains_and_another_rule_needs_no_training(tmp_path):
    trained = train_recipe("detector-tiny", out=tmp_path / "run")
    first = Detector.load(trained.model)
    assert first.labels == ("rain", "dog bark", "church bell")
    assert first.probabilities(NOISE, 16000)[0].shape == (3, 51)
    assert "detector-tiny" in (trained.model / "card.md").read_text()
    changed = ["detector.rule.onset=0.25"]
    train_recipe("detector-tiny", changed, out=tmp_path / "run", resume=True, accept_changes=True)
    second = Detector.load(trained.model)
    assert second.config.rule.onset == 0.25
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_a_matcher_trains_on_captions_and_contrasts(tmp_path):
    trained = train_recipe("matcher-tiny", out=tmp_path / "run")
    matcher = Matcher.load(trained.model)
    (sound,) = matcher.encode([NOISE])
    assert (matcher.embed_texts(["rain falls"]) @ sound.vector).isfinite().all()
    assert {"first", "above_contrast"} <= trained.result.validation.keys()


def test_a_matcher_without_scenes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="scenes alone"):
        train_recipe("matcher-tiny", ["data.manifests=[some.jsonl]"], out=tmp_path / "run")


def test_a_second_tagger_trains_on_scenes_of_one_label(tmp_path):
    forms = "data.scenes.composer.forms={single: 1.0, sequence: 1.0}"
    trained = train_recipe("tagger2-tiny", [forms], out=tmp_path / "run")
    (sound,) = Tagger.load(trained.model).encode([NOISE])
    assert sound.logits is not None
    assert sound.logits.shape == (1, 3)
