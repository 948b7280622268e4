import pytest
from pydantic import ValidationError

from soundwright.core.errors import UserError
from soundwright.evaluation.cards import MetricCard, differing, refuse_differing
from soundwright.evaluation.metrics import GROUPS, METRICS, choose_metrics
from soundwright.evaluation.results import Score, Unavailable, read_results

CARD = MetricCard(
    metric="torchvggish-fad",
    kind="fd",
    revision=1,
    encoder="vggish",
    encoder_identity="vggish/0123",
    encoder_facts={"gain": "none", "hop": "0.96 s"},
    sample_rate=16_000,
    estimator="plug-in",
    rows="a window",
    pairing="prompt",
    generated_clips=100,
    generated_rows=1000,
    reference_clips=100,
    reference_rows=1000,
    reference_hash="abcd",
)


def changed(**keys):
    return CARD.model_copy(update=keys)


@pytest.mark.parametrize(
    "key",
    [
        *("metric", "kind", "revision", "encoder", "encoder_identity", "channels", "resampler"),
        *("sample_rate", "estimator", "direction", "epsilon", "rows", "pairing"),
        *("generated_clips", "reference_clips", "reference_rows", "reference_hash"),
    ],
)
def test_every_key_that_moves_the_number_is_compared_and_named(key):
    value = {int: 2, float: 1e-6, str: "other"}[type(getattr(CARD, key))]
    assert differing(CARD, changed(**{key: value})) == [key]


def test_facts_of_encoders_are_named_one_by_one():
    other = changed(encoder_facts={"gain": "peak", "window": "1 s"})
    keys = ["encoder_facts.gain", "encoder_facts.hop", "encoder_facts.window"]
    assert differing(CARD, other) == keys
    with pytest.raises(UserError, match=r"fad: encoder_facts.gain is 'none' here and 'peak' there"):
        refuse_differing({"fad": (CARD, other)}, same_prompts=True)


def test_numbers_of_other_clips_differ_unless_they_are_computed_anew_over_shared_prompts():
    other = changed(generated_clips=7, generated_rows=70, estimator="plug-in, singular covariance")
    assert len(differing(CARD, other)) == 3
    assert differing(CARD, other, same_prompts=True) == []
    refuse_differing({"fad": (CARD, other)}, same_prompts=True)


def test_the_release_of_the_code_is_written_down_but_not_compared():
    assert CARD.code.startswith("soundwright ")
    assert differing(CARD, changed(code="soundwright 99")) == []


def test_a_score_is_a_number_with_a_card_or_a_reason():
    gone = Unavailable(reason="no weights")
    assert Score(metric="m", better="lower", unavailable=gone).value is None
    for wrong in ({}, {"value": 0.0}, {"value": 0.0, "card": CARD, "unavailable": gone}):
        with pytest.raises(ValidationError):
            Score(metric="m", better="lower", **wrong)


def test_metrics_are_known_by_name_and_group():
    assert [metric.name for metric in choose_metrics(["kl:passt", "kl:passt"])] == ["kl:passt"]
    assert [metric.name for metric in choose_metrics(["offline"])] == list(GROUPS["offline"])
    assert all(METRICS[name].is_offline for name in GROUPS["offline"])
    assert METRICS["stable-kl"].convention == "stable"
    assert METRICS["match:clap-630k-audioset-best"].facts.better == "higher"
    with pytest.raises(UserError, match=r"no metric 'fd:pasts'(.|\n)*did you mean 'fd:passt'"):
        choose_metrics(["fd:pasts"])


def test_openl3_measures_sets_and_as_stable_audio_metrics_does():
    assert {"fd:openl3-env", "fd-inf:openl3-music", "kad:openl3-env"} <= METRICS.keys()
    assert not [name for name in METRICS if name.endswith((":openl3-env-stable", "kl:openl3-env"))]
    for name, content in (("stable-fd", "env"), ("stable-fd-music", "music")):
        metric = METRICS[name]
        assert (metric.kind, metric.encoder) == ("fd", f"openl3-{content}-stable")
        assert not metric.is_offline


def test_only_vggish_gives_fad_and_only_clap_a_clap_score():
    for name, metric in METRICS.items():
        assert ("fad" in name) == (metric.encoder.startswith("vggish") and ":" not in name)
        assert ("clap" in name) == metric.encoder.startswith("clap")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "holds no evaluation"),
        ('{"format": "soundwright-evaluation", "version": 9}', "has version 9"),
        ('{"format": "soundwright-evaluation", "version": 1}', "key 'generated': Field required"),
        ("{", "is not valid JSON"),
    ],
)
def test_results_that_do_not_hold_are_refused(tmp_path, content, says):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UserError, match=says):
        read_results(path)
