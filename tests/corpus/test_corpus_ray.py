"""The same corpus on a Ray cluster of this machine."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from small_media import exported, open_corpus, run, write_config, write_media

from soundwright.core.errors import UserError
from soundwright.corpus.assembly import assemble
from soundwright.corpus.executors.ray import RayExecutor
from soundwright.corpus.running import run_corpus


@pytest.mark.slow
def test_ray_gives_the_same_bytes_and_finds_poison(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the package ray")
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))
    monkeypatch.setenv("CRASH_ABOVE", "0.22")
    write_media(tmp_path / "media")
    scorer = {"kind": "plugin", "name": "corpus_plugins:CrashingScorer"}
    config = write_config(tmp_path, tag={"scorers": [scorer]})
    run(config, workers=1)
    found = exported(tmp_path)
    shutil.rmtree(tmp_path / "stages")
    shutil.rmtree(tmp_path / "export")
    executor = RayExecutor("local", 1)
    try:
        corpus = open_corpus(config)
        states = run_corpus(corpus, executor, lambda _: None)
    finally:
        executor.close()
    assemble(corpus, states, tmp_path / "export")
    assert exported(tmp_path) == found
    failed = {state.place.name: state.counts.failed for state in states}
    assert failed["tag"] == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_a_cluster_that_is_not_there_is_told(address):
    pytest.importorskip("ray", reason="needs the package ray")
    with pytest.raises(UserError, match="cannot be reached"):
        RayExecutor(address)
