import numpy as np
import pytest
from fastapi.testclient import TestClient

from soundwright.evaluation.study.analysis import analyse
from soundwright.evaluation.study.app import create_app
from soundwright.evaluation.study.exclusion import judge_raters
from soundwright.evaluation.study.materials import prepare_study
from soundwright.evaluation.study.plan import Exclusion, StudyPlan
from soundwright.evaluation.study.records import Answer, Check, Study
from soundwright.evaluation.study.sessions import Sessions
from studies import listen_to, put_systems

BETTER, WORSE = "with-rr", "without-rr"
OTHER = {"left": "right", "right": "left"}


def serve(root, prompts, **values):
    folders = put_systems(root, prompts)
    plan = StudyPlan(
        systems={one.name: str(one) for one in folders},
        prompts=prompts,
        headphones=False,
        **values,
    )
    prepare_study(plan, root / "study")
    return Sessions(root / "study")


def take_part(sessions, number, choose):
    """One rater through the real application; `choose` sees the trial as the schedule has it."""
    with TestClient(create_app(sessions)) as client:
        token = client.post("/api/raters").json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        session = client.get("/api/session", headers=headers).json()
        while session["trial"]:
            place = session["trial"]["number"]
            trial = sessions.schedule.trials(number)[place]
            body = {
                "trial": place,
                "choices": {name: choose(trial, name) for name in ("quality", "alignment")},
                "plays": listen_to(session),
                "seconds": 5.0,
            }
            answered = client.post("/api/answers", headers=headers, json=body)
            assert answered.status_code == 200, answered.text
            session = answered.json()


def prefer(random, shares, tie):
    """A rater who prefers the better system so often, and ties so often."""

    def choose(trial, question):
        if trial.kind == "identical":
            return "tie"
        if trial.kind == "foil" and question == "alignment":
            return OTHER[trial.foil]
        if random.random() < tie:
            return "tie"
        if trial.kind == "foil":
            return "tie"
        [better] = [side for side, one in trial.sides.items() if one.system == BETTER]
        return better if random.random() < shares[question] else OTHER[better]

    return choose


def contains(interval, value):
    return interval["low"] <= value <= interval["high"]


def test_eight_raters_with_known_preferences_give_them_back(tmp_path):
    sessions = serve(tmp_path, 20, controls={"identical": 1, "foils": 2, "repeats": 0}, seed=5)
    shares, tie = {"quality": 0.55, "alignment": 0.8}, 0.2
    for number in range(8):
        random = np.random.default_rng(100 + number)
        take_part(sessions, number, prefer(random, shares, tie))
    take_part(sessions, 8, lambda trial, question: "left")
    found = analyse(sessions.study, sessions.answers.read(), {}, draws=300)
    assert [rater["excluded"] for rater in found["raters"]].count([]) == 8
    assert "identical: 2 of 2" in found["raters"][8]["excluded"]
    for question, share in shares.items():
        kept, everybody = (found["questions"][question][name] for name in ("kept", "all"))
        assert (kept["votes"], everybody["votes"]) == (160, 180)
        [pair] = kept["pairs"]
        assert pair["first_preferred"] + pair["ties"] + pair["second_preferred"] == 160
        assert contains(pair["share_of_first"], tie / 2 + (1 - tie) * share)
        assert contains(pair["decided_share_if_independent"], share)
        half = np.log((tie / 2 + (1 - tie) * share) / (tie / 2 + (1 - tie) * (1 - share))) / 2
        assert contains(kept["strengths"][BETTER], half)
        assert kept["davidson"]["tie"] == pytest.approx(
            tie / ((1 - tie) * np.sqrt(share * (1 - share))), rel=0.5
        )
        assert kept["sides"]["p"] > 0.01
    assert found["questions"]["alignment"]["kept"]["pairs"][0]["share_of_first"]["low"] > 0.5


def test_ratings_give_back_known_means(tmp_path):
    sessions = serve(tmp_path, 10, form="ratings", controls={"foils": 1, "repeats": 1})
    chances = {BETTER: [0, 0.1, 0.2, 0.4, 0.3], WORSE: [0.2, 0.3, 0.3, 0.2, 0]}
    for number in range(5):
        random = np.random.default_rng(number)

        def choose(trial, question, random=random):
            if trial.kind == "foil":
                return 1
            return int(random.choice(5, p=chances[trial.stimuli[0].system])) + 1

        take_part(sessions, number, choose)
    found = analyse(sessions.study, sessions.answers.read(), {}, draws=500)
    truth = {name: float(np.arange(1, 6) @ p) for name, p in chances.items()}
    for question in ("quality", "alignment"):
        everybody = found["questions"][question]["all"]
        assert everybody["votes"] == 100
        for name, mean in truth.items():
            assert contains(everybody["means"][name], mean)
        [row] = everybody["differences"]
        assert contains(row["difference"], truth[BETTER] - truth[WORSE])
        assert row["difference"]["low"] > 0


def answer(number=0, trial=0, kind="vote", choice="left", left=BETTER, prompt=None, **fields):
    return Answer(
        rater=f"rater {number}",
        number=number,
        trial=trial,
        kind=kind,
        prompt=prompt or f"prompt {trial}",
        systems={"left": left, "right": WORSE if left == BETTER else BETTER},
        hashes={},
        choices={"quality": choice, "alignment": fields.pop("alignment", choice)},
        plays=(),
        seconds=1.0,
        answered_at="",
        seed=0,
        study="",
        soundwright="",
        **fields,
    )


def study(**values):
    plan = StudyPlan(systems={BETTER: "a", WORSE: "b"}, **values)
    return Study(soundwright="0", plan=plan, materials=())


def test_the_reference_case_of_107_votes_out_of_160():
    votes = [
        answer(number, trial, left=side, choice="left" if (won == (side == BETTER)) else "right")
        for number in range(8)
        for trial in range(20)
        for won in [number * 20 + trial < 107]
        for side in [BETTER if trial % 2 else WORSE]
    ]
    found = analyse(study(ties=False), votes, {}, draws=200)["questions"]["quality"]["all"]
    [pair] = found["pairs"]
    assert (pair["first_preferred"], pair["ties"], pair["second_preferred"]) == (107, 0, 53)
    wilson = pair["decided_share_if_independent"]
    assert wilson["low"] == pytest.approx(0.5926, abs=5e-5)
    assert wilson["high"] == pytest.approx(0.7370, abs=5e-5)
    assert pair["p_if_independent"] == pytest.approx(2.4e-5, rel=0.05)
    strengths = {name: one["estimate"] for name, one in found["strengths"].items()}
    assert strengths[BETTER] - strengths[WORSE] == pytest.approx(0.70254, abs=1e-5)
    # Raters agree within themselves here, so votes are no independent ones.
    share = pair["share_of_first"]
    assert share["low"] < wilson["low"]
    assert share["high"] > wilson["high"]


def test_agreement_is_about_systems_not_sides():
    votes = [
        answer(number, trial, left=side, choice="left" if side == winner else "right")
        for number, side in enumerate((BETTER, WORSE))
        for trial, winner in enumerate((BETTER, BETTER, WORSE, BETTER))
    ]
    found = analyse(study(), votes, {}, draws=50)["questions"]["quality"]["all"]
    assert found["alpha"] == pytest.approx(1)
    left = [answer(number, trial) for number in range(3) for trial in range(8)]
    sides = analyse(study(), left, {}, draws=50)["questions"]["quality"]["all"]["sides"]
    assert sides["left"]["estimate"] == 1
    assert sides["p"] < 1e-6


def test_controls_are_judged_by_the_rules_of_the_plan():
    good = [
        answer(0, 0, choice="left"),
        answer(0, 1, kind="foil", foil="left", choice="tie", alignment="right"),
        answer(0, 2, kind="identical", choice="tie"),
        # Sides are changed: the same sound is on the right now.
        answer(0, 3, kind="repeat", repeats=0, left=WORSE, choice="right"),
    ]
    bad = [
        answer(1, 0, choice="left"),
        answer(1, 1, kind="foil", foil="left", choice="tie", alignment="left"),
        answer(1, 2, kind="identical", choice="right"),
        answer(1, 3, kind="repeat", repeats=0, left=WORSE, choice="left"),
    ]
    wavering = [
        answer(2, 0, choice="left"),
        answer(2, 3, kind="repeat", repeats=0, left=WORSE, choice="tie"),
    ]
    checks = {0: Check(right=3, rounds=3), 1: Check(right=1, rounds=3)}
    judged = judge_raters(Exclusion(), [*good, *bad, *wavering], checks)
    assert [rater.excluded for rater in judged] == [
        (),
        ("foils: 1 of 1", "identical: 2 of 2", "repeats: 2 of 2"),
        (),
    ]
    assert [rater.headphones for rater in judged] == [True, False, None]
    strict = judge_raters(Exclusion(headphones=True), good + wavering, checks)
    assert [rater.excluded for rater in strict] == [(), ("headphones",)]
    none = judge_raters(Exclusion(foils=1, identical=1, repeats=1), bad, checks)
    assert none[0].excluded == ()


def test_what_cannot_be_said_is_unavailable_and_why():
    alone = analyse(study(), [answer(0, trial) for trial in range(4)], {}, draws=50)
    found = alone["questions"]["quality"]["all"]
    assert found["pairs"][0]["share_of_first"]["estimate"] == 1
    assert "two raters" in found["pairs"][0]["share_of_first"]["unavailable"]
    assert "two raters" in found["strengths"]["unavailable"]
    assert "unavailable" in found["alpha"]
    ties = [answer(number, trial, choice="tie") for number in range(2) for trial in range(4)]
    found = analyse(study(), ties, {}, draws=50)["questions"]["quality"]["all"]
    assert found["pairs"][0]["share_of_first"]["estimate"] == 0.5
    for name in ("davidson", "sides", "alpha"):
        assert "unavailable" in found[name], name
    foil = answer(0, 9, kind="foil", foil="left", choice="left")
    nobody = analyse(study(), [answer(0, 0), foil], {}, draws=50)["questions"]["quality"]
    assert nobody["all"]["votes"] == 1
    assert nobody["kept"] == {"votes": 0, "unavailable": "no rater is left"}


def test_the_checklist_is_counted_by_system():
    counted = [
        answer(0, 0, counts={"left": {"dog": 2}, "right": {"dog": 0}}),
        answer(1, 0, left=WORSE, counts={"left": {"dog": 1}, "right": {"dog": 4}}),
    ]
    events = analyse(study(), counted, {}, draws=50)["events"]
    assert events[BETTER]["dog"] == {"answers": 2, "heard": 1.0, "mean_count": 3.0}
    assert events[WORSE]["dog"] == {"answers": 2, "heard": 0.5, "mean_count": 0.5}
