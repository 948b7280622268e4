import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from evaluated_sounds import RATE, BandEncoder, tone, write_sounds

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.data.importers.folder import FolderImportConfig, import_folder
from soundwright.data.manifest import write_manifest
from soundwright.evaluation.collection import read_collection
from soundwright.evaluation.encoding import Ear
from soundwright.evaluation.hearing import count_clipped
from soundwright.evaluation.pairing import pair
from soundwright.evaluation.problems import count_problems, find_partnerless, find_problems


@pytest.fixture
def listen(tmp_path):
    """Hears a collection with the small encoder."""

    def hear(collection):
        return Ear({"bands": BandEncoder()}, tmp_path / "cache").listen(collection.items, "here")

    return hear


def manifest_of(folder, captions):
    rows = "\n".join(f"{file}\t{text}" for file, text in captions.items())
    (folder / "captions.tsv").write_text(f"file\tcaption\n{rows}\n")
    imported = import_folder(folder, FolderImportConfig(split="test"))
    write_manifest(folder / "manifest.jsonl", imported.manifest)
    return folder


def test_a_folder_tells_prompts_from_json_or_from_the_sounds_own_tags(tmp_path):
    folder = write_sounds(tmp_path / "made", [1, 2])
    described = {"prompt": "ein Ton <b>", "seed": 5, "duration": 1.0}
    write(folder / "deep" / "own.wav", tone(3), metadata={"comment": json.dumps(described)})
    write(folder / "silent.flac", tone(4))
    (folder / "notes.json").write_text("{}")
    (folder / ".hidden").mkdir()
    write(folder / ".hidden" / "x.wav", tone(5))
    items = {item.name: item for item in read_collection(folder).items}
    assert list(items) == sorted(["1.wav", "2.wav", "deep/own.wav", "silent.flac"])
    assert items["1.wav"].prompts == ("tone 1",)
    assert items["deep/own.wav"].prompts == ("ein Ton <b>",)
    assert items["deep/own.wav"].seed == 5
    assert items["silent.flac"].prompts == ()
    assert items["silent.flac"].duration is None


def test_a_manifest_tells_captions_and_may_be_read_by_split(tmp_path):
    folder = write_sounds(tmp_path / "real", [1, 2])
    manifest_of(folder, {"1.wav": "a low tone", "2.wav": "a high tone"})
    whole = read_collection(folder)
    assert sorted(item.prompts[0] for item in whole.items) == ["a high tone", "a low tone"]
    assert {item.stem for item in whole.items} == {"1", "2"}
    assert len(read_collection(folder / "manifest.jsonl", split="test").items) == 2
    with pytest.raises(UserError, match="No clip has the split 'tst'; did you mean 'test'"):
        read_collection(folder, split="tst")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "holds no sound"),
        (lambda folder: shutil.rmtree(folder), "does not exist"),
        (lambda folder: (folder / "manifest.jsonl").write_text("?"), "is no manifest"),
    ],
)
def test_what_holds_nothing_is_refused(tmp_path, make, says):
    folder = tmp_path / "empty"
    folder.mkdir()
    make(folder)
    with pytest.raises(UserError, match=says):
        read_collection(folder)


def test_every_fault_is_counted_by_name_and_nothing_takes_its_place(tmp_path, listen):
    folder = write_sounds(tmp_path / "made", range(6))
    shutil.copy(folder / "1.wav", folder / "copy of 1.wav")
    (folder / "0.wav").unlink()
    write(folder / "2.wav", Sound(torch.zeros(1, RATE), RATE))
    write(folder / "3.wav", Sound((3 * tone(3).samples).clamp(-1, 1), RATE))
    soundfile.write(folder / "4.wav", np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    write(folder / "5.wav", tone(5, seconds=0.5))
    (folder / "broken.wav").write_bytes((folder / "1.wav").read_bytes()[:2000])
    (folder / "text.wav").write_text("no sound")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    collection = read_collection(folder)
    hearing = listen(collection)
    problems = find_problems("generated", collection, hearing)
    found = {(problem.item, problem.kind): problem.left_out for problem in problems}
    assert found == {
        ("0.wav", "missing"): True,
        ("2.wav", "silent"): False,
        ("3.wav", "clipped"): False,
        ("4.wav", "not-finite"): True,
        ("5.wav", "wrong-length"): False,
        ("copy of 1.wav", "duplicate"): False,
        ("broken.wav", "undecodable"): True,
        ("text.wav", "undecodable"): True,
    }
    assert count_problems(problems)["generated"]["undecodable"] == 2
    assert set(hearing.heard) == {"1.wav", "2.wav", "3.wav", "5.wav", "copy of 1.wav"}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_full_scale_sample_or_two_is_not_clipping():
    samples = torch.zeros(2, 12)
    samples[0, 2:4] = 1.0
    samples[1, 5:8] = torch.tensor([-1.0, 1.0, -1.0])
    assert count_clipped(samples) == 0
    samples[1, 1:5] = -1.0
    assert count_clipped(samples) == 5
    assert count_clipped(samples[:, :2]) == 0


def test_the_rule_that_pairs_the_most_holds(tmp_path):
    made = write_sounds(tmp_path / "made", [1, 2, 3], prompt="A  Tone {}.")
    real = write_sounds(tmp_path / "real", [11, 12], prompt="a tone 1")
    sides = read_collection(made).items, read_collection(real).items
    by_prompt = pair(*sides)
    assert by_prompt.rule == "prompt"
    assert by_prompt.partners == {"1.wav": ("11.wav", "12.wav")}
    for number in (1, 2):
        (real / f"1{number}.wav").rename(real / f"{number}.wav")
    by_stem = pair(sides[0], read_collection(real).items)
    assert by_stem.rule == "stem"
    assert by_stem.partners == {"1.wav": ("1.wav",), "2.wav": ("2.wav",)}
    with pytest.raises(UserError, match="shares id with a reference"):
        pair(*sides, "id")


def test_sounds_without_partner_and_those_on_both_sides_are_listed(tmp_path, listen):
    made = write_sounds(tmp_path / "made", [1, 2])
    real = write_sounds(tmp_path / "real", [2, 3])
    generated, reference = read_collection(made), read_collection(real)
    pairing = pair(generated.items, reference.items)
    sides = [(side, listen(side)) for side in (generated, reference)]
    problems = find_partnerless(*sides, pairing)
    assert {(problem.side, problem.item, problem.kind) for problem in problems} == {
        ("generated", "1.wav", "unpaired"),
        ("reference", "3.wav", "not-generated"),
        ("generated", "2.wav", "in-both"),
    }
