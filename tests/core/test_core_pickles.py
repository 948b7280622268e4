import os
import pickle

import numpy as np
import pytest
import torch

from soundwright.core.errors import CheckpointError
from soundwright.core.pickles import read_pickle


class Trap:
    """What an attacker would put in: it writes a file as soon as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def trap(tmp_path):
    return Trap(tmp_path / "sprung")


def raw(value, path):
    path.write_bytes(pickle.dumps(value, protocol=2))


def old(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def test_the_trap_works_where_nobody_looks(trap, tmp_path):
    pickle.loads(pickle.dumps(trap))
    assert trap.path.exists()


@pytest.mark.parametrize("save", [torch.save, old, raw])
def test_a_pickle_that_would_run_code_is_named_and_not_run(trap, tmp_path, save):
    save({"best_state": {"a": [1.0]}, "xp.cfg": trap}, tmp_path / "state_dict.bin")
    with pytest.raises(CheckpointError, match=r"would run code(.|\n)*mkdir"):
        read_pickle(tmp_path / "state_dict.bin")
    assert not trap.path.exists()


@pytest.mark.parametrize("save", [torch.save, old])
def test_tensors_and_plain_values_come_back(tmp_path, save):
    held = {"best_state": {"w": torch.arange(6.0).half()}, "xp.cfg": "a: 1", "exported": True}
    save(held, tmp_path / "a.bin")
    back = read_pickle(tmp_path / "a.bin")
    assert torch.equal(back.pop("best_state")["w"], held.pop("best_state")["w"])
    assert back == held


@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_arrays_of_numbers_come_back_whichever_numpy_wrote_them(tmp_path, core):
    held = {"model": torch.ones(2), "thresholds": np.arange(3.0), "iteration": np.int64(7)}
    old(held, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes().replace(b"numpy._core", core)
    (tmp_path / "a.pth").write_bytes(content)
    back = read_pickle(tmp_path / "a.pth")
    assert back["thresholds"].tolist() == [0, 1, 2]
    assert back["iteration"] == 7


def test_arrays_of_objects_are_refused(trap, tmp_path):
    old({"a": np.array([trap], dtype=object)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"would run code(.|\n)*mkdir"):
        read_pickle(tmp_path / "a.pth")
    assert not trap.path.exists()


@pytest.mark.parametrize("save", [torch.save, old])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path, save, share):
    save({"w": torch.ones(5000)}, tmp_path / "a.bin")
    whole = (tmp_path / "a.bin").read_bytes()
    (tmp_path / "a.bin").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"a\.bin is damaged") as caught:
        read_pickle(tmp_path / "a.bin")
    # torch recommends to read it unsafely; nobody shall be told so.
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("<html>404</html>", "damaged, or no checkpoint"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path, content, says):
    (tmp_path / "a.bin").write_text(content)
    with pytest.raises(CheckpointError, match=says):
        read_pickle(tmp_path / "a.bin")


def test_a_training_checkpoint_says_how_to_export_it(tmp_path):
    # As pickle writes a class of a package that is not installed here.
    (tmp_path / "checkpoint.th").write_bytes(b"\x80\x02comegaconf.dictconfig\nDictConfig\n)\x81.")
    with pytest.raises(CheckpointError, match=r"training checkpoint(.|\n)*export_lm"):
        read_pickle(tmp_path / "checkpoint.th")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_pickle(tmp_path / "none.th")
