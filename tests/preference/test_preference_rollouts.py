import json
import math
import os

import pytest
import torch
from preference_sounds import StepModel, ToneModel, run_and_kill, select

from forks import Fork
from soundwright.audio.files import read
from soundwright.core.errors import UserError
from soundwright.core.journal import Journal
from soundwright.data.clips import hash_samples
from soundwright.preference.records import Perturbation
from soundwright.preference.rollouts import (
    RolloutChoice,
    plan_takes,
    read_rollouts,
    roll_out,
    takes_steps,
)

SHORT = RolloutChoice(duration=0.25)


def wrong_for(caption, strategy, *texts):
    return [
        Perturbation(caption=caption.id, strategy=strategy, number=number, text=text, by="rules")
        for number, text in enumerate(texts, start=1)
    ]


def test_the_plan_is_the_papers():
    first, second = select("a dog barks", "rain, then wind")
    second = second.model_copy(update={"cluster": None})
    wrong = [*wrong_for(first, "S2", "cats", "owls"), *wrong_for(second, "S3", "wind, then rain")]
    groups = plan_takes([first, second], wrong, RolloutChoice(), has_steps=True)
    told = [
        (group[0].strategy, group[0].prompt, [(take.asked, take.steps) for take in group])
        for group in groups
    ]
    assert told == [
        ("S1.1", "a dog barks", [("a dog barks", steps) for steps in (5, 25, 50, 100)]),
        ("S1.2", "a dog barks", [("a dog barks", 50)] * 4),
        ("S2", "a dog barks", [("a dog barks", 50), ("cats", 50), ("owls", 50)]),
        ("S3", "rain, then wind", [("rain, then wind", 50), ("wind, then rain", 50)]),
    ]
    assert [take.is_perturbed for take in groups[2]] == [False, True, True]
    takes = [take for group in groups for take in group]
    assert len({take.seed for take in takes}) == len(takes)
    assert len({take.id for take in takes}) == len(takes)
    alone = plan_takes([first], [], RolloutChoice(strategies=("S1.2",)), has_steps=True)
    assert alone == groups[1:2], "a seed follows from its caption and strategy alone"
    other = plan_takes([first], [], RolloutChoice(seed=1, strategies=("S1.2",)), has_steps=True)
    assert other[0][0].seed != alone[0][0].seed


def test_a_model_without_steps_varies_its_temperature():
    groups = plan_takes(select("a dog barks"), [], RolloutChoice(), has_steps=False)
    assert [take.temperature for take in groups[0]] == [0.6, 0.9, 1.2, 1.5]
    assert {take.temperature for take in groups[1]} == {None}
    assert {take.steps for group in groups for take in group} == {None}
    assert (takes_steps(StepModel()), takes_steps(ToneModel())) == (True, False)


def test_nothing_to_be_made_is_said():
    with pytest.raises(UserError, match="nothing to be made for S2"):
        plan_takes(select("a dog"), [], RolloutChoice(strategies=("S2",)), has_steps=True)


def test_sounds_are_written_with_their_origin(tmp_path):
    caption = select("a dog barks")[0]
    groups = plan_takes([caption], wrong_for(caption, "S2", "a cat"), SHORT, has_steps=True)
    notes = tmp_path / "notes"
    facts = roll_out(groups, StepModel(notes), tmp_path / "out", SHORT)
    assert facts["sounds"] == {"S1.1": 4, "S1.2": 4, "S2": 2}
    assert facts["model_hash"] == StepModel.hash
    found = read_rollouts(tmp_path / "out")
    assert len(found.items) == 10
    for item, take in zip(found.items, [take for group in groups for take in group], strict=True):
        assert item.model_dump(include=set(type(take).model_fields)) == take.model_dump()
        sound = read(found.folder / item.path)
        assert (hash_samples(sound), sound.duration) == (item.pcm_hash, 0.25)
        origin = json.loads((found.folder / item.path).with_suffix(".json").read_text())
        assert (origin["prompt"], origin["seed"]) == (item.asked, item.seed)
    # One call for what differs in prompt and seed only.
    assert [line.split()[1] for line in notes.read_text().splitlines()] == ["1"] * 4 + ["4", "2"]
    assert roll_out(groups, StepModel(notes), tmp_path / "out", SHORT) == facts
    assert len(notes.read_text().splitlines()) == 6
    with pytest.raises(UserError, match="made of something else"):
        roll_out(groups[:1], StepModel(), tmp_path / "out", SHORT)


class BrokenModel(ToneModel):
    def spoil(self, samples, prompt):
        return samples * math.nan if prompt == "a cat" else samples


def test_a_sound_that_is_not_finite_is_noted_and_not_written(tmp_path):
    caption = select("a dog barks")[0]
    choice = SHORT.model_copy(update={"strategies": ("S2",), "format": "flac"})
    groups = plan_takes([caption], wrong_for(caption, "S2", "a cat"), choice, has_steps=False)
    facts = roll_out(groups, BrokenModel(), tmp_path, choice)
    good, bad = read_rollouts(tmp_path).items
    assert (good.fault, bad.fault, facts["not_written"]) == ("", "not-finite", 1)
    assert (tmp_path / good.path).suffix == ".flac"
    assert not (tmp_path / bad.path).exists()


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in ("notes.txt", "flushes") and file.name[0] != "."
    }


def calls_of(folder):
    return (folder / "notes.txt").read_text().splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_stages_killed_anywhere_give_the_same_bytes_and_do_nothing_twice(tmp_path):
    plans = [(0.02,), (0.1, 0.05), (0.3, 0.25, 0.03), (0.5,), (0.85, 0.05), (1.0,)]
    ended = Fork(run_and_kill, tmp_path, plans).wait()
    assert ended.status == 0, ended.errors
    expected, calls = contents(tmp_path / "whole"), calls_of(tmp_path / "whole")
    assert len(calls) == len(set(calls)) > 15
    for number, kills in enumerate(plans):
        folder = tmp_path / str(number)
        assert contents(folder) == expected
        assert set(calls_of(folder)) == set(calls)
        # What was in work when the kill came is begun anew: for sounds, one caption's calls.
        assert len(calls_of(folder)) <= len(calls) + 2 * len(kills)


def test_a_journal_keeps_what_is_whole(tmp_path):
    path = tmp_path / "j"
    with Journal(path, "f") as journal:
        journal.append({"a": 1})
        journal.append({"b": 2})
    with path.open("ab") as file:
        file.write(b'{"c": ')
    with Journal(path, "f") as journal:
        assert journal.entries == [{"a": 1}, {"b": 2}]
        journal.append({"c": 3})
    with Journal(path, "f") as journal:
        assert journal.entries == [{"a": 1}, {"b": 2}, {"c": 3}]
    content = path.read_bytes()
    with pytest.raises(UserError, match="other settings"), Journal(path, "g"):
        pass
    assert path.read_bytes() == content
    path.write_bytes(content[:7])
    with Journal(path, "f") as journal:
        assert journal.entries == []


def test_sounds_that_are_not_all_made_are_no_rollouts(tmp_path):
    class Stopped(ToneModel):
        def generate(self, prompts, **wishes):
            if len(prompts) == 4:
                raise KeyboardInterrupt
            return super().generate(prompts, **wishes)

    groups = plan_takes(select("a dog barks"), [], SHORT, has_steps=False)
    with pytest.raises(KeyboardInterrupt):
        roll_out(groups, Stopped(), tmp_path, SHORT)
    with pytest.raises(UserError, match="not all made yet"):
        read_rollouts(tmp_path)
    assert torch.isfinite(read(next(tmp_path.rglob("*.wav"))).samples).all()
