import json
import math

import numpy as np
import pytest
import torch
from preference_sounds import LEVELS, RATE, LevelJudge

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.data.clips import hash_samples
from soundwright.preference.pairing import (
    Hearing,
    is_same_sound,
    pair_rollouts,
    propose,
    read_rejected,
)
from soundwright.preference.record_files import RecordFile, sound_path
from soundwright.preference.records import Candidate, Rollout, Scores, Side
from soundwright.preference.scoring import find_faults
from soundwright.preference.statistics import describe_pairs
from soundwright.preference.thresholds import (
    PRESETS,
    Quantile,
    Rule,
    Selection,
    find_reasons,
    read_selection,
    settle_limits,
)

TANGO = PRESETS["tango2"]
FIRST, SECOND = TANGO.judges


def kinds(winner, loser, selection=TANGO):
    """Reasons, where both judges of `selection` say these scores."""
    said = {
        name: Scores(winner=w, loser=lo)
        for name, w, lo in zip(selection.judges, winner, loser, strict=True)
    }
    return [(reason.kind, reason.about) for reason in find_reasons(said, selection)]


@pytest.mark.parametrize(
    ("winner", "loser", "expected"),
    [
        # Limits are reached exactly: winners at alpha, losers at beta, differences at both ends.
        ((0.45, 0.60), (0.40, 0.0), []),
        ((0.75, 0.70), (0.40, 0.0), []),
        ((0.60, 0.68), (0.55, 0.60), []),
        ((0.44, 0.60), (0.39, 0.50), [("winner below alpha", FIRST), ("loser below beta", FIRST)]),
        ((0.50, 0.59), (0.42, 0.30), [("winner below alpha", SECOND)]),
        ((0.50, 0.60), (0.46, 0.30), [("delta too small", FIRST)]),
        ((0.80, 0.60), (0.44, 0.30), [("delta too large", FIRST)]),
        ((0.50, 0.67), (0.42, 0.60), [("delta too small", SECOND)]),
        ((0.50, 0.70), (0.42, -0.1), [("loser below beta", SECOND), ("delta too large", SECOND)]),
        ((0.50, 0.60), (0.42, 0.65), [("judge disagrees", SECOND)]),
        ((0.42, 0.70), (0.42, 0.60), [("winner not better", FIRST)]),
        ((math.nan, 0.70), (0.42, 0.60), [("score not finite", FIRST)]),
    ],
)
def test_the_papers_thresholds(winner, loser, expected):
    assert kinds(winner, loser) == expected


def test_a_judge_without_a_say_is_passed_over_but_somebody_must_compare():
    selection = Selection(judges={"a": Rule(least_delta=0.1), "g": Rule(alpha=-50, ordered=False)})
    good = Scores(winner=0.5, loser=0.1)
    assert find_reasons({"a": good}, selection) == []
    assert [one.kind for one in find_reasons({"g": good}, selection)] == ["not judged"]
    # A guard does not compare.
    assert find_reasons({"a": good, "g": Scores(winner=-20, loser=-10)}, selection) == []


def candidate(number, winner, loser):
    def side(name):
        return Side(rollout=name, path=name, pcm_hash=name, seed=0, asked="a")

    return Candidate(
        id=str(number), caption="c", prompt="a", strategy="S1.2", duration=1.0, sample_rate=RATE,
        winner=side("w"), loser=side("l"), scores={"matcher": Scores(winner=winner, loser=loser)},
    )  # fmt: skip


def test_quantiles_are_those_of_candidates_whose_winner_is_better():
    rng = np.random.default_rng(0)
    pool = [candidate(number, *rng.normal(size=2)) for number in range(41)]
    limits = settle_limits(PRESETS["matcher"], pool).judges["matcher"]
    said = [one.scores["matcher"] for one in pool if one.scores["matcher"].delta > 0]
    assert 10 < len(said) < 31
    assert limits.alpha == np.quantile([one.winner for one in said], 0.5)
    assert limits.beta == np.quantile([one.loser for one in said], 0.1)
    assert limits.least_delta == np.quantile([one.delta for one in said], 0.25)
    assert limits.greatest_delta == np.quantile([one.delta for one in said], 0.95)
    assert settle_limits(PRESETS["matcher"], []).judges["matcher"].alpha is None


def test_thresholds_are_named_overridden_and_read_from_a_file(tmp_path):
    assert read_selection("tango2") == TANGO
    changed = read_selection("tango2", [f"judges.{SECOND}.least_delta=0.1"])
    assert changed.judges[SECOND].least_delta == 0.1
    assert changed.judges[FIRST] == TANGO.judges[FIRST]
    assert list(read_selection("matcher", ["judges.loudness="]).judges) == ["matcher"]
    one = read_selection("matcher", ["judges.matcher.alpha.quantile=0.7"]).judges["matcher"]
    assert one.alpha == Quantile(quantile=0.7)
    file = tmp_path / "mine.yaml"
    file.write_text("judges:\n  level: {least_delta: 0.01}\n")
    assert read_selection(str(file)) == LEVELS
    for name, overrides, says in [
        ("tango", [], "did you mean 'tango2'"),
        ("tango2", ["judges.x.alfa=1"], "alfa"),
        ("matcher", ["judges.matcher=", "judges.loudness="], "first judge"),
        ("matcher", ["judges.matcher="], "first judge"),
    ]:
        with pytest.raises(UserError, match=says):
            read_selection(name, overrides)


def tone(level, seconds=0.5, pitch=440.0):
    times = torch.arange(round(seconds * RATE)) / RATE
    return level * torch.sin(2 * math.pi * pitch * times)[None]


def put(folder, sounds):
    """Rollouts of (strategy, number, samples, changes) in a folder."""
    items = []
    for strategy, number, samples, changes in sounds:
        name = f"c-{strategy}-{number}"
        fields = {
            "id": name, "caption": "c", "prompt": "a dog", "asked": "a dog", "strategy": strategy,
            "number": number, "seed": number, "duration": 0.5, "path": f"{name}.wav",
            "pcm_hash": "", "sample_rate": RATE, "seconds": 0.5,
        }  # fmt: skip
        if samples is not None:
            sound = Sound(samples, RATE)
            write(folder / fields["path"], sound, bits=32)
            fields["pcm_hash"] = hash_samples(sound)
        items.append(Rollout(**{**fields, **changes}))
    return RecordFile("f", {"model": "tones"}, tuple(items), folder)


def reasons_of(rejected):
    return {
        one.loser.rollout: [(reason.kind, reason.about) for reason in one.reasons]
        for one in rejected
    }


def test_every_fault_of_a_sound_is_a_reason(tmp_path):
    noise = torch.randn(1, RATE // 2, generator=torch.Generator().manual_seed(0)) * 0.05
    best = tone(0.5)
    sounds = put(
        tmp_path,
        [
            ("S1.2", 0, noise, {}),
            ("S1.2", 1, best, {}),
            ("S1.2", 2, torch.zeros(1, RATE // 2), {}),
            ("S1.2", 3, tone(4.0).clamp(-1, 1), {}),
            ("S1.2", 4, tone(0.1, 0.7), {}),
            ("S1.2", 5, None, {"fault": "not-finite"}),
            ("S1.2", 6, tone(0.2), {"pcm_hash": "other"}),
            ("S1.2", 7, best, {}),
            ("S1.2", 8, 0.5 * best, {}),
            ("S1.2", 9, tone(0.1), {"prompt": "a cat"}),
            ("S1.2", 10, tone(0.499, pitch=300), {}),
        ],
    )
    out = tmp_path / "pairs"
    found = pair_rollouts(sounds, [LevelJudge()], LEVELS, out)
    assert [(one.winner.rollout, one.loser.rollout) for one in found.items] == [
        ("c-S1.2-1", "c-S1.2-0")
    ]
    rejected = read_rejected(out).items
    assert reasons_of(rejected) == {
        "c-S1.2-2": [("silent", "loser")],
        "c-S1.2-3": [("clipped", "loser"), ("winner not better", "level")],
        "c-S1.2-4": [("wrong duration", "loser")],
        "c-S1.2-5": [("not finite", "loser")],
        "c-S1.2-6": [("missing", "loser")],
        "c-S1.2-7": [("equal sounds", ""), ("winner not better", "level")],
        "c-S1.2-8": [("equal sounds", "")],
        "c-S1.2-9": [("other prompt", "")],
        "c-S1.2-10": [("delta too small", "level")],
    }
    scored = {one.loser.rollout for one in rejected if one.scores}
    assert scored == {one.loser.rollout for one in rejected} - {"c-S1.2-5", "c-S1.2-6"}
    numbers = describe_pairs(found.items, rejected)
    assert numbers["candidates"] == 10
    assert numbers["rejected"]["reasons"]["all"]["equal sounds"] == 2
    for side in (found.items[0].winner, found.items[0].loser):
        assert sound_path(found.folder, side).is_file()


def test_faults_are_found_once(tmp_path):
    sounds = put(tmp_path, [("S1.2", 0, tone(0.5), {}), ("S1.2", 1, tone(0.0), {})])
    expected = {"c-S1.2-0": [], "c-S1.2-1": ["silent"]}
    assert find_faults(sounds) == expected
    (tmp_path / "c-S1.2-0.wav").unlink()
    assert find_faults(sounds) == expected


def test_the_sound_of_a_caption_wins_only_if_it_is_better(tmp_path):
    perturbed = {"asked": "a cat"}
    sounds = put(
        tmp_path,
        [
            ("S2", 0, tone(0.3), {}),
            ("S2", 1, tone(0.2, pitch=500), perturbed),
            ("S2", 2, tone(0.4, pitch=600), perturbed),
            ("S3", 0, tone(0.1), {}),
            ("S3", 1, tone(0.3, pitch=700), perturbed),
        ],
    )
    found = pair_rollouts(sounds, [LevelJudge()], LEVELS, tmp_path)
    assert [(one.strategy, one.loser.asked) for one in found.items] == [("S2", "a cat")]
    assert found.items[0].winner.asked == found.items[0].prompt == "a dog"
    assert found.items[0].winner.path == "c-S2-0.wav"
    assert reasons_of(read_rejected(tmp_path).items) == {
        "c-S2-2": [("winner not better", "level")],
        "c-S3-1": [("winner not better", "level")],
    }


def test_the_winner_of_samples_is_the_best_that_has_no_fault():
    def item(number):
        return Rollout(
            id=str(number), caption="c", prompt="a", asked="a", strategy="S1.1", number=number,
            seed=0, duration=1, path="", pcm_hash="", sample_rate=RATE, seconds=1,
        )  # fmt: skip

    items = [item(number) for number in range(4)]
    hearing = Hearing(
        {"0": [], "1": [], "2": [], "3": ["clipped"]},
        {
            "a": {"0": 0.1, "1": 0.3, "2": 0.3, "3": 0.9},
            "b": {"0": 1.0, "1": 0.0, "2": 0.1, "3": 0},
        },
    )
    pairs = [(winner.id, loser.id) for winner, loser in propose(items, hearing)]
    assert pairs == [("2", "0"), ("2", "1"), ("2", "3")]


class OddJudge(LevelJudge):
    """Gives what no judge should, and has nothing to say of cats."""

    name, identity = "odd", "odd/1"

    def score(self, waveforms, sample_rate, texts):
        return [None if "cat" in text else math.nan for text in texts]


def test_scores_that_are_not_finite_are_a_reason_and_silence_of_a_judge_is_none(tmp_path):
    cats = {"prompt": "a cat", "asked": "a cat", "caption": "d"}
    sounds = put(
        tmp_path,
        [
            ("S1.2", 0, tone(0.3), {}),
            ("S1.2", 1, tone(0.2, pitch=500), {}),
            ("S1.1", 0, tone(0.3), cats),
            ("S1.1", 1, tone(0.2, pitch=500), cats),
        ],
    )
    both = Selection(judges={"level": Rule(), "odd": Rule()})
    found = pair_rollouts(sounds, [LevelJudge(), OddJudge()], both, tmp_path)
    assert [one.prompt for one in found.items] == ["a cat"]
    assert list(found.items[0].scores) == ["level"]
    assert reasons_of(read_rejected(tmp_path).items) == {"c-S1.2-1": [("score not finite", "odd")]}
    for file in ("pairs.jsonl", "rejected.jsonl"):
        assert "NaN" not in (tmp_path / file).read_text()


def test_thresholds_that_leave_nothing_say_why(tmp_path):
    sounds = put(tmp_path, [("S1.2", 0, tone(0.3), {}), ("S1.2", 1, tone(0.2, pitch=500), {})])
    strict = Selection(judges={"level": Rule(alpha=0.9)})
    with pytest.raises(UserError, match="None of 1 candidates is left: winner below alpha 1"):
        pair_rollouts(sounds, [LevelJudge()], strict, tmp_path)
    assert not (tmp_path / "pairs.jsonl").exists()
    reason = read_rejected(tmp_path).items[0].reasons[0]
    assert (reason.threshold, round(reason.value, 3)) == (0.9, 0.212)


def test_other_thresholds_ask_no_judge_again(tmp_path):
    notes = tmp_path / "notes"
    sounds = put(tmp_path, [("S1.2", 0, tone(0.3), {}), ("S1.2", 1, tone(0.2, pitch=500), {})])
    first = pair_rollouts(sounds, [LevelJudge(notes)], LEVELS, tmp_path / "a")
    asked = notes.read_text()
    assert pair_rollouts(sounds, [LevelJudge(notes)], LEVELS, tmp_path / "a") == first
    other = Selection(judges={"level": Rule(least_delta=0.02)})
    second = pair_rollouts(sounds, [LevelJudge(notes)], other, tmp_path / "b")
    assert second.items == first.items
    assert notes.read_text() == asked
    assert second.facts["limits"]["judges"]["level"]["least_delta"] == 0.02
    with pytest.raises(UserError, match="made of something else"):
        pair_rollouts(sounds, [LevelJudge(notes)], other, tmp_path / "a")


def test_table_2_is_means_over_pairs(tmp_path):
    sounds = put(
        tmp_path,
        [
            ("S1.2", 0, tone(0.4), {}),
            ("S1.2", 1, tone(0.2, pitch=500), {}),
            ("S1.2", 2, tone(0.1, pitch=600), {}),
            ("S2", 0, tone(0.3), {}),
            ("S2", 1, tone(0.1, pitch=700), {"asked": "a cat"}),
        ],
    )
    found = pair_rollouts(sounds, [LevelJudge()], LEVELS, tmp_path)
    numbers = describe_pairs(found.items, read_rejected(tmp_path).items)
    assert json.loads(json.dumps(numbers)) == numbers
    rows = {row["strategy"]: row for row in numbers["table"]["level"]}
    rms = math.sqrt(0.5)
    expected = {
        "S1.2": (2, 0.4 * rms, 0.15 * rms),
        "S2": (1, 0.3 * rms, 0.1 * rms),
        "all": (3, (0.4 + 0.4 + 0.3) / 3 * rms, (0.2 + 0.1 + 0.1) / 3 * rms),
    }
    assert rows.keys() == expected.keys()
    for strategy, (n, winner, loser) in expected.items():
        row = rows[strategy]
        assert row["n"] == n
        assert [row["winner"], row["loser"]] == pytest.approx([winner, loser], abs=1e-3)
        assert row["delta"] == pytest.approx(row["winner"] - row["loser"])


def test_equal_sounds_are_known_at_any_level(tmp_path):
    noise = torch.randn(2, 4000, generator=torch.Generator().manual_seed(1)) * 0.1
    files = [tmp_path / f"{name}.wav" for name in "abcd"]
    for file, samples in zip(
        files, (noise, 0.3 * noise, noise.flip(1), torch.zeros(2, 4000)), strict=True
    ):
        write(file, Sound(samples.contiguous(), RATE))
    assert is_same_sound(files[0], files[1])
    assert not is_same_sound(files[0], files[2])
    assert not is_same_sound(files[3], files[3]), "silence is told elsewhere"
