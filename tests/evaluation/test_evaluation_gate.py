import shutil
from types import MappingProxyType

import numpy as np
import pytest
from evaluated_sounds import BandEncoder, write_sounds

from soundwright.core.errors import MissingWeightsError, UserError
from soundwright.evaluation import differences, encoders, evaluating, metrics, set_scores
from soundwright.evaluation.baseline import keep_embeddings
from soundwright.evaluation.collection import read_collection
from soundwright.evaluation.encoders import CLASSES, SETS, EncoderChoice
from soundwright.evaluation.evaluating import evaluate
from soundwright.evaluation.gate import compare_with_baseline, is_worse, read_tolerances
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.results import read_results, write_results

PROMPTS = range(14)
BANDS = [Metric(f"{kind}:bands", kind, "bands") for kind in ("kad", "fd", "kl", "is", "fd-inf")]


class LoudBands(BandEncoder):
    """Hears everything louder, as a tool that levels what it is given."""

    def __init__(self):
        super().__init__("bands-loud", gain="three times")

    def encode(self, waveforms):
        return super().encode([3 * waveform for waveform in waveforms])


def lacking(device):
    raise MissingWeightsError("gone.pt is not on this machine.", change="Fetch it.")


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """The table of encoders with two more: the small one, and one whose weights are gone.

    Fréchet distances are drawn less often, for the sake of time.
    """
    more = {
        "bands": EncoderChoice(lambda device: BandEncoder(), "bands", (*SETS, *CLASSES)),
        "bands-loud": EncoderChoice(lambda device: LoudBands(), "bands, louder", ()),
        "gone": EncoderChoice(lacking, "gone"),
    }
    more = MappingProxyType({**encoders.ENCODERS, **more})
    for module in (encoders, metrics, evaluating):
        monkeypatch.setattr(module, "ENCODERS", more)
    monkeypatch.setattr(set_scores, "FRECHET_DRAWS", 200)
    monkeypatch.setattr(differences, "DRAWS", 200)


@pytest.fixture
def run(tmp_path):
    """Evaluates a folder against clean tones; keeps the results under the folder's name."""
    write_sounds(tmp_path / "real", PROMPTS, noise=0.02)

    def evaluated(name, wanted=BANDS, cache="cache", **settings):
        folder = tmp_path / name
        if settings:
            write_sounds(folder, settings.pop("numbers", PROMPTS), **settings)
        sides = [read_collection(side) for side in (folder, tmp_path / "real")]
        found = evaluate(*sides, wanted, cache=tmp_path / cache, workers=0)
        write_results(tmp_path / "out" / name, found.results)
        keep_embeddings(tmp_path / "out" / name, found)
        return found

    return evaluated


def against(new, name, tmp_path, **tolerances):
    folder = tmp_path / "out" / name
    allowed = {metric.name: 0.0 for metric in new.metrics} | tolerances
    return compare_with_baseline(new, read_results(folder), folder, allowed)


def test_numbers_controls_and_rows_stand_in_the_results(run):
    results = run("made", noise=0.05).results
    assert [score.metric for score in results.scores] == [metric.name for metric in BANDS]
    by_name = {score.metric: score for score in results.scores}
    assert by_name["kl:bands"].card.direction == "reference||generated"
    assert by_name["fd:bands"].card.generated_rows == 4 * len(PROMPTS)
    assert by_name["kad:bands"].card.generated_rows == len(PROMPTS)
    rows = results.clips
    assert {row.name for row in rows} == {f"{number}.wav" for number in PROMPTS}
    mean = np.mean([row.values["kl:bands"] for row in rows])
    assert by_name["kl:bands"].value == pytest.approx(mean, rel=1e-12)
    interval = by_name["kl:bands"].interval
    assert interval.low < mean < interval.high
    assert interval.units == len(PROMPTS)
    span = by_name["is:bands"].interval
    assert span.low < by_name["is:bands"].value < span.high
    assert (span.method, span.units) == ("t", len(PROMPTS))
    for name in ("fd:bands", "fd-inf:bands"):
        assert by_name[name].interval is None
        assert f"there are {len(PROMPTS)}" in by_name[name].remark
    controls = {
        name: {score.metric: score for score in row} for name, row in results.controls.items()
    }
    kinds = {"silence", "noise", "shuffled prompts", "real against real"}
    assert controls.keys() == kinds
    for name in kinds - {"real against real"}:
        assert controls[name]["kl:bands"].value > 2 * mean
    assert controls["shuffled prompts"]["fd:bands"].unavailable.reason.startswith("Prompts do not")
    assert controls["silence"]["kad:bands"].value > by_name["kad:bands"].value


def test_a_tool_that_levels_only_what_was_generated_has_two_encoders_on_the_card(run):
    one_sided = Metric("tool", "kl", "bands-loud", reference_encoder="bands")
    louder, plain = (Metric(name, "kl", name) for name in ("bands-loud", "bands"))
    results = run("made", wanted=[one_sided, louder, plain], noise=0.05).results
    scores = {score.metric: score for score in results.scores}
    assert len({score.value for score in scores.values()}) == 3
    card = scores["tool"].card
    assert card.encoder_identity == "bands-loud and bands-1"
    assert card.encoder_facts["gain"] == "three times"
    assert card.encoder_facts["gain of references"] == "none"
    assert "gain of references" not in scores["bands"].card.encoder_facts
    missing = Metric("half", "kl", "bands", reference_encoder="gone")
    (score,) = run("made", wanted=[missing]).results.scores
    assert "gone.pt is not on this machine" in score.unavailable.reason


def test_file_order_and_a_full_cache_give_the_same_bytes(run, tmp_path):
    run("made", noise=0.05)
    first = (tmp_path / "out" / "made" / "results.json").read_bytes()
    for cache in ("cache", "another"):
        run("made", cache=cache)
        assert (tmp_path / "out" / "made" / "results.json").read_bytes() == first
    for number in PROMPTS:
        for suffix in ("wav", "json"):
            file = tmp_path / "made" / f"{number}.{suffix}"
            content = file.read_bytes().replace(b'"%d.wav"' % number, b'"%d.wav"' % (99 - number))
            (tmp_path / "turned").mkdir(exist_ok=True)
            (tmp_path / "turned" / f"{99 - number}.{suffix}").write_bytes(content)
    turned = run("turned").results
    kept = read_results(tmp_path / "out" / "made")
    assert turned.pairing == "prompt"
    values = [[score.value for score in result.scores] for result in (turned, kept)]
    assert values[0] == values[1]


def test_a_system_is_not_worse_than_itself(run, tmp_path):
    run("made", noise=0.05)
    verdicts = against(run("made"), "made", tmp_path)
    by_metric = {verdict.metric: verdict for verdict in verdicts}
    assert by_metric.keys() == {metric.name for metric in BANDS}
    for name in by_metric:
        assert by_metric[name].verdict == "no difference seen"
        assert by_metric[name].difference == pytest.approx(0, abs=1e-9)
        assert by_metric[name].p == 1
    assert not is_worse(verdicts)


def test_the_gate_falls_for_what_is_worse_and_not_for_what_is_better(run, tmp_path):
    run("good", noise=0.02, detune=1.0)
    bad = run("bad", noise=0.3)
    verdicts = {verdict.metric: verdict for verdict in against(bad, "good", tmp_path)}
    for name in ("kad:bands", "fd:bands", "kl:bands", "fd-inf:bands"):
        found = verdicts[name]
        assert found.verdict == "worse", name
        assert found.difference > 0
        assert found.p <= found.p_holm < 0.05
        assert found.decided_at.level >= found.interval.level
        assert found.decided_at.low > 0
        assert found.prompts == len(PROMPTS)
    assert is_worse(list(verdicts.values()))
    turned = against(run("good"), "bad", tmp_path)
    assert [verdict.verdict for verdict in turned][:3] == ["better"] * 3
    assert not is_worse(turned)


def test_marks_need_no_partner_and_are_compared_by_prompt(run, tmp_path):
    wanted = [Metric("mark", "aesthetics", "bands", axis="PC")]
    old = run("good", wanted, noise=0.02).results
    (score,) = old.scores
    assert score.value == pytest.approx(np.mean([row.values["mark"] for row in old.clips]))
    assert score.interval.units == len(PROMPTS)
    assert old.controls["shuffled prompts"][0].unavailable is not None
    (verdict,) = against(run("bad", wanted, noise=0.3), "good", tmp_path)
    assert verdict.verdict == "better"
    assert [metric.name for metric in metrics.choose_metrics(["aesthetics"])] == [
        f"aesthetics-{axis}" for axis in ("ce", "cu", "pc", "pq")
    ]


def test_a_tolerance_is_in_the_metrics_own_units(run, tmp_path):
    run("good", noise=0.02, detune=1.0)
    bad = run("bad", [BANDS[2]], noise=0.3)
    (strict,) = against(bad, "good", tmp_path)
    half = strict.decided_at.low
    for tolerance, verdict in ((half * 0.9, "worse"), (half * 1.1, "within tolerance")):
        (found,) = against(bad, "good", tmp_path, **{"kl:bands": tolerance})
        assert (found.verdict, found.tolerance) == (verdict, tolerance)


def test_tolerances_are_read_for_one_metric_or_all():
    found = read_tolerances(["0.1", "fd:bands=3"], BANDS[:2])
    assert found == {"kad:bands": 0.1, "fd:bands": 3.0}
    for wrong in ("much", "-1", "nan", "inf", "kl:bands=1"):
        with pytest.raises(UserError, match=wrong):
            read_tolerances([wrong], BANDS[:2])


def test_only_shared_prompts_are_compared_and_lacking_ones_counted(run, tmp_path):
    run("old", noise=0.05)
    new = run("new", [BANDS[2], BANDS[1]], numbers=range(4, 14), noise=0.05)
    for verdict in against(new, "old", tmp_path):
        assert (verdict.prompts, verdict.lacking) == (10, 4)
        assert verdict.difference == pytest.approx(0, abs=1e-9)
    strangers = run("strangers", numbers=range(14), noise=0.05, prompt="tone  {}.")
    assert against(strangers, "old", tmp_path)[0].prompts == 14


def test_a_baseline_is_whole_beside_its_results_or_in_the_cache(run, tmp_path):
    run("old", noise=0.05, cache="there")
    new = run("new", [BANDS[1]], noise=0.06)
    assert against(new, "old", tmp_path)[0].verdict != "not compared"
    shutil.rmtree(tmp_path / "out" / "old" / "embeddings")
    (verdict,) = against(new, "old", tmp_path)
    assert verdict.verdict == "not compared"
    assert "neither beside its results nor in the cache" in verdict.reason


def test_other_references_are_refused_by_the_key_that_differs(run, tmp_path):
    run("old", noise=0.05)
    write_sounds(tmp_path / "real", [3], noise=0.5)
    new = run("new", [BANDS[2]], noise=0.05)
    with pytest.raises(UserError, match="kl:bands: reference_hash is"):
        against(new, "old", tmp_path)


def test_weights_that_are_not_there_make_a_metric_unavailable_and_no_number(run, tmp_path):
    wanted = [Metric("fd:gone", "fd", "gone"), BANDS[2]]
    results = run("made", wanted, noise=0.05).results
    gone, there = results.scores
    assert gone.value is None
    assert "gone.pt is not on this machine" in gone.unavailable.reason
    assert "Fetch it." in gone.unavailable.reason
    assert there.value is not None
    assert all(row[0].value is None for row in results.controls.values())
    verdicts = against(run("made", wanted), "made", tmp_path)
    assert verdicts[0].verdict == "not compared"


def test_too_few_sounds_are_a_stated_estimator_or_a_refusal(run):
    wanted = [BANDS[0], BANDS[1], Metric("fd-inf:bands", "fd-inf", "bands")]
    kad, fd, fd_inf = run("made", wanted, numbers=[1], noise=0.05).results.scores
    assert "at least 2" in kad.unavailable.reason
    assert fd.card.estimator == "plug-in, singular covariance"
    assert "Fewer embeddings than dimensions" in fd.remark
    assert fd_inf.unavailable is not None


def test_sounds_shorter_than_a_window_are_told(run):
    (score,) = run("made", [BANDS[2]], numbers=[1, 2], seconds=0.1, noise=0.05).results.scores
    assert score.unavailable.reason.startswith("No generated sound has a reference")


def test_metrics_of_sets_need_no_pairs_and_the_others_refuse_without(run):
    settings = {"numbers": range(20, 30), "noise": 0.05}
    assert run("made", BANDS[:2], **settings).results.pairing == "none"
    with pytest.raises(UserError, match="need no pairs"):
        run("made", BANDS)
