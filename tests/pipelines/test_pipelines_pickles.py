import os

import pytest
import torch
from foreign_models import write_musicgen

from soundwright.core.errors import CheckpointError
from soundwright.pipelines.importing import import_model


class Trap:
    """What an attacker would put in: it writes a file as soon as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def trap(tmp_path):
    return Trap(tmp_path / "sprung")


def test_an_export_of_audiocraft_that_would_run_code_is_not_run(trap, tmp_path):
    torch.save({"best_state": {"a": [1.0]}, "xp.cfg": trap}, tmp_path / "state_dict.bin")
    with pytest.raises(CheckpointError, match="Nothing of it was run"):
        import_model(tmp_path, tmp_path / "x")
    assert not trap.path.exists()


def test_pickled_weights_of_transformers_are_read_as_carefully(trap, tmp_path):
    model = write_musicgen(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save({**model.state_dict(), "extra": trap}, tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="would run code"):
        import_model(tmp_path / "m", tmp_path / "x")
    assert not trap.path.exists()
