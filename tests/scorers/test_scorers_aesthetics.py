"""The adapter of an optional package: what it hands over and gives back, and what it tells without.

The package cannot be installed beside every torch, so that the adapter meets a stand-in here.
"""

import sys

import pytest
import torch
from filling import waveform

from soundwright.core.errors import AudioError, CheckpointError, MissingWeightsError
from soundwright.core.files import write_json
from soundwright.core.protocols import AudioEncoder, Scorer
from soundwright.scorers.aesthetics import AXES, load_aesthetics

INFER = """
class AesPredictor:
    def __init__(self, checkpoint_pth):
        self.setup_model()

    def forward(self, batch):
        (item,) = batch
        mono = item["path"].mean(0)
        raw = self.model(mono) * item["sample_rate"] / 16000
        return [{axis: normal.inverse(raw) for axis, normal in self.target_transform.items()}]
"""
MODEL = """
import json
import pathlib

import torch


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def inverse(self, value):
        return value * self.std + self.mean


class AesMultiOutput(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, folder, local_files_only):
        print("Loading weights from local directory")
        model = cls()
        config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        model.target_transform = config["target_transform"]
        return model

    def forward(self, mono):
        assert not torch.is_grad_enabled()
        return mono.abs().mean()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in with the names of audiobox-aesthetics 0.0.4."""
    home = tmp_path / "site" / "audiobox_aesthetics"
    (home / "model").mkdir(parents=True)
    for file, text in (
        ("__init__.py", ""),
        ("infer.py", INFER),
        ("model/__init__.py", ""),
        ("model/aes.py", MODEL),
    ):
        (home / file).write_text(text)
    told = tmp_path / "site" / "audiobox_aesthetics-0.0.4.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Name: audiobox-aesthetics\nVersion: 0.0.4\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield home
    for name in [name for name in sys.modules if name.startswith("audiobox_aesthetics")]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path):
    scales = {axis: {"mean": mean, "std": 2} for mean, axis in enumerate(AXES, start=1)}
    (tmp_path / "weights").mkdir()
    write_json(tmp_path / "weights" / "config.json", {"target_transform": scales})
    return tmp_path / "weights"


def test_it_gives_four_marks_for_each_sound_alone(package, folder, capsys):
    scorer: Scorer = load_aesthetics(str(folder))
    sounds = [waveform("a", 3000), waveform("b", 900), torch.stack([waveform("a", 3000)] * 2)]
    marks = scorer.score(sounds, 16000)
    for sound, row in zip(sounds, marks, strict=True):
        assert row["CE"] == pytest.approx(1 + 2 * float(sound.abs().mean()))
        assert row["PQ"] == pytest.approx(row["CE"] + 3)
        assert scorer.score([sound], 16000) == [row]
    assert scorer.name == "audiobox-aesthetics-0.0.4"
    assert scorer.score(sounds[:1], 32000)[0]["CE"] > marks[0]["CE"]
    assert capsys.readouterr().out == ""


def test_as_an_encoder_its_marks_are_a_row(package, folder):
    encoder: AudioEncoder = load_aesthetics(str(folder))
    sound = waveform("a", 3000)
    (encoded,) = encoder.encode([sound])
    marks = encoder.score([sound], 16000)[0]
    assert encoded.embeddings.tolist() == [pytest.approx([marks[axis] for axis in AXES])]
    assert encoded.vector.shape == (4,)
    assert encoder.identity.startswith("audiobox-aesthetics-0.0.4/")


def test_unusable_sounds_are_refused(package, folder):
    with pytest.raises(AudioError, match="without samples"):
        load_aesthetics(str(folder)).score([torch.zeros(1, 0)], 16000)


def test_without_package_or_weights_it_says_what_to_install(monkeypatch, package, own_cache):
    monkeypatch.setenv("HF_HUB_CACHE", str(own_cache / "hub"))
    with pytest.raises(MissingWeightsError, match="hf download facebook/audiobox-aesthetics"):
        load_aesthetics()
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics.infer", None)
    with pytest.raises(MissingWeightsError, match="pip install audiobox-aesthetics"):
        load_aesthetics()


def test_incomplete_weights_are_told(package, folder):
    (folder / "config.json").write_text('{"target_transform": {}}')
    with pytest.raises(CheckpointError, match="cannot be read: 'CE'"):
        load_aesthetics(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(MissingWeightsError, match="is not whole"):
        load_aesthetics(str(folder))
