"""The online loop: rounds that build on each other, kills, and what is refused."""

import itertools
import os
import signal
from pathlib import Path

import pytest
from preference_models import write_token_model
from preference_sounds import select

from forks import Fork
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.files import hash_file, read_json
from soundwright.pipelines.models import read_record
from soundwright.preference.online import choose_captions, run_loop
from soundwright.preference.record_files import read_pairs, write_records

TEXTS = ("rain", "a dog barks", "a bell rings", "wind")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    write_token_model(folder / "model")
    write_records(folder / "captions.jsonl", "captions", "f", {}, select(*TEXTS))
    (folder / "louder.yaml").write_text("judges: {loudness: {ordered: true}}\n")
    return folder


def settings(place: Path) -> list[str]:
    return [
        f"from_model={place / 'model'}",
        f"loop.captions={place / 'captions.jsonl'}",
        f"loop.thresholds={place / 'louder.yaml'}",
        "training.device=cpu",
    ]


@pytest.fixture(scope="module")
def finished(place):
    return run_loop("crpo-tiny", settings(place), place / "whole")


def files_of(folder: Path) -> dict[str, str]:
    """Hashes of sounds and weights; a cache's file names its entries in an order of its own."""
    kinds = (".wav", ".safetensors")
    found = [path for path in folder.rglob("*") if path.suffix in kinds]
    kept = [path for path in sorted(found) if "reference" not in path.parts]
    return {str(path.relative_to(folder)): hash_file(path) for path in kept}


def test_each_round_begins_with_the_model_of_the_one_before(place, finished):
    first, second = (place / "whole" / f"round-{number}" for number in (1, 2))
    assert len(finished.rounds) == 2
    models = [read_record(round_ / "training" / "model") for round_ in (first, second)]
    assert [model.name for model in models] == ["crpo-tiny-round-1", "crpo-tiny-round-2"]
    base = read_record(place / "model")
    assert models[0].recipe["from_hash"] == base.hash
    assert models[1].recipe["from_hash"] == models[0].hash
    assert len({base.hash, *(model.hash for model in models)}) == 3
    facts = [read_pairs(round_ / "pairs").facts for round_ in (first, second)]
    assert facts[0]["model_hash"] == base.hash
    assert facts[1]["model_hash"] == models[0].hash
    captions = [
        {pair.caption for pair in read_pairs(round_ / "pairs").items} for round_ in (first, second)
    ]
    assert all(1 <= len(some) <= 3 for some in captions)
    assert finished.rounds[-1]["model"] == str(second / "training" / "model")
    assert read_json(second / "round.json") == finished.rounds[1]
    assert finished.rounds[0]["pairs"]["pairs"] == len(read_pairs(first / "pairs").items)
    assert finished.rounds[0]["steps"] == 2


def test_a_finished_loop_does_nothing_again(place, finished):
    times = {path: path.stat().st_mtime_ns for path in (place / "whole").rglob("*")}
    assert run_loop("crpo-tiny", settings(place), place / "whole") == finished
    assert {path: path.stat().st_mtime_ns for path in (place / "whole").rglob("*")} == times


def test_killed_anywhere_it_ends_with_the_same_bytes(place, finished):
    limit = 3
    while (ended := Fork(loop_and_die, place, limit).wait(600)).status:
        assert ended.status == -signal.SIGKILL, ended
        limit *= 2
    assert limit > 20
    assert files_of(place / "killed") == files_of(place / "whole")
    for number, said in enumerate(run_loop("crpo-tiny", settings(place), place / "killed").rounds):
        assert said["validation"] == finished.rounds[number]["validation"]
    assert len(files_of(place / "whole")) > 20


def loop_and_die(place: Path, limit: int) -> None:
    """Go on with a loop, and die when the next file would get its name, after so many."""
    rename, count = Path.replace, itertools.count(1)

    def rename_or_die(self, target):
        if next(count) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = rename_or_die
    run_loop("crpo-tiny", settings(place), place / "killed")


@pytest.mark.usefixtures("finished")
def test_another_loop_is_not_taken_for_this_one(place):
    with pytest.raises(UserError, match="holds another loop:\n  epochs: 1"):
        run_loop("crpo-tiny", [*settings(place), "epochs=2"], place / "whole")


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        ("prefer-lm-tiny", [], "has no loop"),
        ("crpo-tiny", ["loop.captions="], "does not say loop.captions"),
        ("crpo-tiny", ["from_model="], "does not say from_model"),
        ("crpo-tiny", ["loop.rollout.sample=3"], "did you mean 'samples'"),
    ],
)
def test_what_is_no_loop_says_why(recipe, changes, says, place, tmp_path):
    given = settings(place) if recipe == "crpo-tiny" else settings(place)[:1]
    with pytest.raises(ConfigError, match=says):
        run_loop(recipe, [*given, *changes], tmp_path / "loop")


def test_captions_of_a_round_are_drawn_by_its_number():
    captions = select(*(f"sound {number}" for number in range(40)))
    rounds = [choose_captions(captions, 10, 0, number) for number in (1, 2)]
    assert [len({one.id for one in some}) for some in rounds] == [10, 10]
    assert rounds[0] != rounds[1]
    assert rounds[0] == choose_captions(captions, 10, 0, 1)
    assert choose_captions(captions, None, 0, 1) == captions
    assert choose_captions(captions, 99, 0, 1) == captions
