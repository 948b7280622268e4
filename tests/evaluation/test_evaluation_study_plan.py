import math
from collections import Counter

import pytest
import torch

from soundwright.audio.files import read
from soundwright.audio.loudness import integrated_loudness, peak_db
from soundwright.audio.sound import Sound
from soundwright.core.errors import ConfigError, UserError
from soundwright.evaluation.study.materials import prepare_study
from soundwright.evaluation.study.plan import read_plan
from soundwright.evaluation.study.records import Check, read_study, verify_copies
from soundwright.evaluation.study.schedule import Schedule
from studies import RATE, put_sound, put_systems, tone


def make(tmp_path, prompts=6, systems=("with-rr", "without-rr"), **values):
    folders = put_systems(tmp_path, prompts, systems)
    given = {"prompts": prompts, **values}
    plan = read_plan({"systems": {one.name: str(one) for one in folders}, **given})
    return prepare_study(plan, tmp_path / "study")


def test_presets_are_what_the_papers_did():
    systems = {"systems": {"a": "a", "b": "b"}}
    paper = read_plan({"preset": "rr-paper", **systems})
    assert (paper.prompts, paper.raters, paper.form) == (20, 8, "pairs")
    assert paper.questions == ("quality", "alignment")
    assert not paper.ties
    tango = read_plan({"preset": "tango2", **systems})
    assert (tango.prompts, tango.raters, tango.form) == (50, 4, "ratings")
    ours = read_plan(systems)
    assert (ours.prompts, ours.votes, ours.ties) == (100, 5, True)
    assert ours.controls.total == pytest.approx(0.1 * ours.per_rater)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"preset": "rr-papre"}, "did you mean 'rr-paper'"),
        ({"promts": 3}, "did you mean 'prompts'"),
        ({"systems": {"a": "a"}}, "at least two systems"),
        ({"preset": "rr-paper", "controls": {"identical": 1}}, "ties are allowed"),
        ({"questions": ["quality"]}, "foils need the question of alignment"),
        ({"prompts": 4, "prompts_per_rater": 5}, "more prompts than there are"),
        ({"questions": []}, "questions are one or both"),
    ],
)
def test_plans_that_do_not_hold_are_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        read_plan({"systems": {"a": "a", "b": "b"}, **values})


def test_copies_of_a_prompt_are_equally_loud_and_the_raw_sounds_stay(tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.wav")}
    study = make(tmp_path, loudness=-26)
    for material in study.materials:
        copies = [read(tmp_path / "study" / copy.file) for copy in material.copies.values()]
        levels = [integrated_loudness(one.samples, one.sample_rate) for one in copies]
        assert levels == pytest.approx([-26, -26], abs=0.05)
    assert {path: path.read_bytes() for path in before} == before
    assert read_study(tmp_path / "study") == study


def test_where_a_peak_forbids_the_loudness_the_whole_prompt_is_quieter(tmp_path):
    click = torch.zeros(1, RATE // 2)
    click[0, 100] = 0.9
    put_sound(tmp_path / "a", "one", "a click", Sound(click, RATE))
    put_sound(tmp_path / "b", "one", "A click.", tone(300))
    plan = read_plan({"systems": {"a": "a", "b": "b"}, "preset": "rr-paper", "prompts": 1})
    study = prepare_study(plan, tmp_path / "study", beside=tmp_path)
    [material] = study.materials
    loud = [read(tmp_path / "study" / copy.file) for copy in material.copies.values()]
    first, second = (integrated_loudness(one.samples, RATE) for one in loud)
    assert first == pytest.approx(second, abs=0.05)
    assert first < -24
    assert peak_db(loud[0].samples) == pytest.approx(-1, abs=0.05)


def test_bad_sounds_are_named_and_their_prompts_left_out(tmp_path):
    first, second = put_systems(tmp_path, 5)
    (first / "sound-001.wav").write_bytes(b"no sound at all")
    put_sound(second, "sound-002", "Sound number 2.", Sound(torch.zeros(1, RATE), RATE))
    (second / "sound-003.wav").unlink()
    put_sound(first, "sound-004-again", "sound number 4", tone(999))
    plan = read_plan(
        {
            "systems": {"a": str(first), "b": str(second)},
            "preset": "rr-paper",
            "prompts": 3,
            "seed": 2,
        }
    )
    study = prepare_study(plan, tmp_path / "study")
    assert sorted(one.prompt for one in study.materials) == [
        "Sound number 0.",
        "Sound number 2.",
        "sound number 4",
    ]
    found = {(remark.kind, remark.system, remark.sound) for remark in study.remarks}
    assert ("not-audio", "a", "sound-001.wav") in found
    assert ("missing", "b", "sound-003.wav") in found
    assert ("unshared", "a", "sound-003.wav") in found
    assert ("silent", "b", "sound-002.wav") in found
    assert ("several", "a", "sound-004.wav") in found
    silent = next(one for one in study.materials if one.prompt == "Sound number 2.")
    assert silent.copies["b"].loudness is None
    assert math.isfinite(silent.copies["a"].gain_db)


def test_too_few_shared_prompts_are_refused_and_nothing_is_left(tmp_path):
    first, second = put_systems(tmp_path, 3)
    plan = {"systems": {"a": str(first), "b": str(second)}, "preset": "rr-paper"}
    with pytest.raises(UserError, match="3 prompts have a sound of every system"):
        prepare_study(read_plan({**plan, "prompts": 4}), tmp_path / "study")
    put_sound(tmp_path / "c", "x", "something else", tone(500))
    other = {**plan, "systems": {"a": str(first), "c": str(tmp_path / "c")}}
    with pytest.raises(UserError, match=r"0 prompts .*(?s:.*)unshared: a, sound-000.wav"):
        prepare_study(read_plan({**other, "prompts": 1}), tmp_path / "study")
    (first / "sound-000.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match="2 prompts have a sound"):
        prepare_study(read_plan({**plan, "prompts": 3}), tmp_path / "study")
    assert not [path for path in tmp_path.iterdir() if "study" in path.name]


def test_the_same_plan_and_sounds_give_the_same_study(tmp_path):
    first, second = put_systems(tmp_path, 8)
    values = {"systems": {"a": str(first), "b": str(second)}, "prompts": 5}
    one = prepare_study(read_plan(values), tmp_path / "one")
    other = prepare_study(read_plan(values), tmp_path / "other")
    assert one.hash == other.hash
    elsewhere = prepare_study(read_plan({**values, "seed": 1}), tmp_path / "third")
    assert [m.prompt for m in elsewhere.materials] != [m.prompt for m in one.materials]


def test_a_changed_copy_is_noticed(tmp_path):
    study = make(tmp_path, prompts=2)
    [copy, *_] = study.materials[0].copies.values()
    (tmp_path / "study" / copy.file).write_bytes(b"other")
    with pytest.raises(UserError, match=r"1 sounds .*changed"):
        verify_copies(tmp_path / "study", study)


def test_sides_are_balanced_for_every_prompt_and_prompts_over_raters(tmp_path):
    study = make(tmp_path, prompts=10, prompts_per_rater=4, seed=3)
    lists = [Schedule(study).trials(number) for number in range(25)]
    votes = [trial for trials in lists for trial in trials if trial.kind == "vote"]
    per_prompt = Counter(trial.material for trial in votes)
    assert set(per_prompt.values()) == {10}
    lefts = Counter(trial.material for trial in votes if trial.stimuli[0].system == "with-rr")
    assert set(lefts.values()) == {5}
    # Which rater hears it on the left is drawn, not taken in turns.
    firsts = {tuple(trial.stimuli[0].system for trial in trials) for trials in lists}
    assert len(firsts) > 15


def test_a_rater_s_list_depends_on_the_seed_and_its_number_alone(tmp_path):
    study = make(tmp_path)
    assert Schedule(study).trials(5) == Schedule(study).trials(5)
    forwards = [Schedule(study).trials(number) for number in range(6)]
    schedule = Schedule(study)
    assert [schedule.trials(number) for number in (5, 0, 3)] == [forwards[n] for n in (5, 0, 3)]
    assert len(set(forwards)) == 6


def test_controls_are_what_they_claim(tmp_path):
    study = make(tmp_path, controls={"identical": 2, "foils": 3, "repeats": 2})
    for number in range(5):
        trials = Schedule(study).trials(number)
        assert Counter(trial.kind for trial in trials) == {
            "vote": 6,
            "identical": 2,
            "foil": 3,
            "repeat": 2,
        }
        assert trials[0].kind == "vote"
        for place, trial in enumerate(trials):
            left, right = trial.stimuli
            if trial.kind == "identical":
                assert left == right
            if trial.kind == "foil":
                wrong = trial.sides[trial.foil]
                others = [one for one in trial.stimuli if one != wrong]
                assert wrong.material != trial.material
                assert [one.material for one in others] == [trial.material]
            if trial.kind == "repeat":
                assert trial.repeats < place
                assert trials[trial.repeats].stimuli == (right, left)


def test_ratings_hear_every_system_alone(tmp_path):
    study = make(tmp_path, preset="tango2", prompts=3, controls={"foils": 1, "repeats": 1})
    trials = Schedule(study).trials(0)
    votes = {trial.stimuli for trial in trials if trial.kind == "vote"}
    assert len(votes) == 6
    assert all(len(trial.stimuli) == 1 for trial in trials)
    [foil] = [trial for trial in trials if trial.kind == "foil"]
    assert foil.stimuli[0].material != foil.material


def test_three_systems_meet_in_all_pairs(tmp_path):
    study = make(tmp_path, prompts=2, systems=("a", "b", "c"), preset="rr-paper")
    pairs = Counter(
        frozenset(one.system for one in trial.stimuli) for trial in Schedule(study).trials(0)
    )
    assert set(pairs.values()) == {2}
    assert len(pairs) == 3


def test_a_headphone_check_is_passed_whole():
    assert Check(right=3, rounds=3).passed
    assert not Check(right=2, rounds=3).passed
