"""What tests of several rooms share: places of their own, and one small trained model."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

# What a test takes depends on the machine and on its load.
settings.register_profile("soundwright", deadline=None)
settings.load_profile("soundwright")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder, and no network."""
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    return tmp_path / "cache"


def run_once(recipe: str, name: str, tmp_path_factory) -> Path:
    """The finished run of a recipe: trained once for all workers; not to be changed."""
    from soundwright.pipelines.training import train_recipe

    here = tmp_path_factory.getbasetemp()
    # A worker's folder stands in one that all workers share.
    run = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / name
    with FileLock(f"{run}.lock"):
        if not (run / "model" / "model.json").is_file():
            train_recipe(recipe, out=run, resume=(run / "recipe.json").is_file())
    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """The finished run of bundled-lm-tiny."""
    return run_once("bundled-lm-tiny", "tiny-run", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_model(tiny_run) -> Path:
    """The model folder of `tiny_run`."""
    return tiny_run / "model"


@pytest.fixture(scope="session")
def tiny_captioner_run(tmp_path_factory) -> Path:
    """The finished run of bundled-captioner-tiny, with its language model and first stage."""
    return run_once("bundled-captioner-tiny", "tiny-captioner-run", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_captioner(tiny_captioner_run) -> Path:
    """The model folder of `tiny_captioner_run`."""
    return tiny_captioner_run / "model"


@pytest.fixture
def count_live_bytes():
    """Counts the bytes of all tensors that are alive; those packed by a library do not count."""
    import torch

    def count() -> int:
        gc.collect()
        # `isinstance` would ask other people's lazy objects what they are.
        tensors = (thing for thing in gc.get_objects() if type(thing) is torch.Tensor)
        stores = (one.untyped_storage() for one in tensors if one.layout is torch.strided)
        return sum({store.data_ptr(): store.nbytes() for store in stores}.values())

    return count


@pytest.fixture
def run_python():
    """Runs Python in a process of its own; gives the finished process."""

    def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, **options
        )

    return run
