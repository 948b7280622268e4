"""Sweeps of aligned models, beside the model that they start from."""

import json
import shutil

import pytest
import torch
from preference_models import make_pairs

from latent_models import write_latent_model
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.seeding import torch_stream
from soundwright.data.importers.folder import FolderImportConfig, import_folder
from soundwright.data.manifest import write_manifest
from soundwright.evaluation.sweeps.plan import Sweep, check_rows, read_sweep
from soundwright.evaluation.sweeps.running import run_sweep
from soundwright.evaluation.sweeps.table import tabulate
from soundwright.preference.system import ALL_SYSTEMS

PROMPTS = ("a dog barks", "rain falls", "a bell rings")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    write_latent_model(folder / "unet")
    make_pairs(folder / "pairs", 5)
    references = folder / "references"
    for number, prompt in enumerate(PROMPTS):
        noise = 0.1 * torch.randn(1, 16_000, generator=torch_stream(number, prompt))
        write(references / f"{number}.wav", Sound(noise, 16_000))
    rows = [f"{number}.wav\t{prompt}" for number, prompt in enumerate(PROMPTS)]
    (references / "captions.tsv").write_text("\n".join(["file\tcaption", *rows]) + "\n")
    found = import_folder(references, FolderImportConfig(split="test"))
    write_manifest(references / "manifest.jsonl", found.manifest)
    return folder


def ablation(place, **changes) -> Sweep:
    return Sweep.read(
        {
            "name": "ablation",
            "recipe": "prefer-diffusion-tiny",
            "set": (
                f"from_model={place / 'unet'}",
                f"pairs={place / 'pairs'}",
                "training.device=cpu",
                "training.steps=2",
            ),
            "seeds": (0, 1),
            "baseline": "before",
            "rows": (
                {"name": "before", "trained": False},
                {"name": "after", "generate": {"steps": 2, "sampler": "ddpm"}},
            ),
            "measuring": {"references": str(place / "references"), "prompts": 3},
            **changes,
        }
    )


def test_aligned_models_are_measured_beside_the_one_that_they_start_from(place, tmp_path):
    told = []
    run_sweep(ablation(place), tmp_path, told.append, ALL_SYSTEMS)
    assert told == ["after, seed 0 (2 of 4): training", "after, seed 1 (4 of 4): training"]
    assert not (tmp_path / "runs" / "before").exists()
    for row, steps, sampler in (("before", 3, None), ("after", 2, "ddpm")):
        for seed in (0, 1):
            files = sorted((tmp_path / "sounds" / row / f"seed-{seed}").glob("*.json"))
            made = [json.loads(file.read_text()) for file in files]
            assert sorted(one["prompt"] for one in made) == sorted(PROMPTS)
            settings = [one["settings"] for one in made]
            assert {(one["steps"], one["sampler"]) for one in settings} == {(steps, sampler)}
    other = ({"name": "before", "trained": False}, {"name": "after", "generate": {"steps": 3}})
    with pytest.raises(UserError, match="the row after, made in another way"):
        run_sweep(ablation(place, rows=other), tmp_path, told.append, ALL_SYSTEMS)
    table = tabulate(ablation(place), tmp_path)
    assert table.missing == ()
    assert [row.name for row in table.rows] == ["before", "after"]


def test_what_a_table_lacks_is_said_before_anything_is_trained(place):
    with pytest.raises(UserError, match="are not given"):
        check_rows(ablation(place, measuring={}), ALL_SYSTEMS)
    with pytest.raises(ConfigError, match="nothing to measure untrained"):
        check_rows(ablation(place, set=()).model_copy(update={"recipe": "tango2"}), ALL_SYSTEMS)


@pytest.mark.parametrize(
    ("table", "small"),
    [
        ("tango2-table-3", "prefer-diffusion"),
        ("tango2-figure-4", "prefer-diffusion-tiny"),
        ("tango-steps", "bundled-diffusion"),
        ("tango-guidance", "bundled-diffusion-tiny"),
    ],
)
def test_the_papers_tables_fit_their_recipes_and_small_ones(place, table, small, monkeypatch):
    monkeypatch.chdir(place)
    for row in read_sweep("tango2-figure-4").rows:
        shutil.copytree("pairs", place / "alpaca" / row.name, dirs_exist_ok=True)
    for recipe in (read_sweep(table).recipe, small):
        changes = {
            "recipe": recipe,
            "set": [f"from_model={place / 'unet'}"],
            "measuring": {"references": "held-out.jsonl"},
        }
        sweep = read_sweep(table, changes)
        check_rows(sweep, ALL_SYSTEMS)
        assert sweep.measuring.prompts == 886
