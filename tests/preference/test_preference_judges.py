import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.core.protocols import Encoded
from soundwright.core.records import Event
from soundwright.preference.demands import Demand, meet_demands, read_demands
from soundwright.preference.judges import (
    EventJudge,
    LoudnessJudge,
    SimilarityJudge,
    check_judge,
    open_judge,
)
from soundwright.scorers.detector import Detector, DetectorConfig, detector_folder
from soundwright.scorers.matching import Matcher, matcher_folder
from soundwright.scorers.tagger import Tagger
from soundwright.synthesis.lexicon import LEXICON


def heard(*events):
    return [Event(label=label, onset=onset, offset=onset + 0.5) for label, onset in events]


@pytest.mark.parametrize(
    ("caption", "events", "orders"),
    [
        (
            "a dog barks twice, then rain falls",
            [("dog bark", 2), ("rain", None)],
            [("dog bark", "rain")],
        ),
        (
            "Rain falling after three dog barks",
            [("rain", None), ("dog bark", 3)],
            [("dog bark", "rain")],
        ),
        (
            "After a siren wails, a person claps once",
            [("siren", None), ("hand clap", 1)],
            [("siren", "hand clap")],
        ),
        ("a cat meowing while wind blows", [("cat meow", None), ("wind", None)], []),
        ("a bicycle bell rings", [("bicycle bell", None)], []),
        ("a strange hum", [], []),
    ],
)
def test_captions_demand_events_counts_and_orders(caption, events, orders):
    demands = read_demands(caption, LEXICON)
    assert demands.events == tuple(Demand(label, count) for label, count in events)
    assert demands.orders == tuple(orders)


def test_demands_are_met_in_part():
    demands = read_demands("a dog barks twice, then rain falls", LEXICON)
    exact = heard(("dog bark", 0), ("dog bark", 1), ("rain", 2))
    assert meet_demands(demands, exact) == 1
    assert meet_demands(demands, []) == 0
    # Both labels and the count of four; the order is wrong.
    wrong = heard(("rain", 0), ("dog bark", 1), ("dog bark", 2))
    assert meet_demands(demands, wrong) == 3 / 4
    # One label of two, half of the count, no order.
    assert meet_demands(demands, heard(("dog bark", 0))) == (1 + 0 + 0.5 + 0) / 4
    assert meet_demands(read_demands("a strange hum", LEXICON), exact) is None
    assert meet_demands(read_demands("rain falls, then a dog barks", {"rain"}), exact) == 1


class Axes:
    """Sounds and texts on axes: a sound by its mean, a text by its length."""

    name, identity, sample_rate = "axes", "axes/1", 4000

    def __init__(self):
        self.read = []

    def encode(self, waveforms):
        vectors = [torch.tensor([one.mean(), len(one) / 4000]) for one in waveforms]
        return [Encoded(vector[None], vector) for vector in vectors]

    def embed_texts(self, texts):
        self.read.append(list(texts))
        return torch.tensor([[1.0, float(len(text))] for text in texts])


def test_similarity_is_a_dot_product_of_mono_at_the_encoders_rate():
    axes = Axes()
    stereo = torch.stack([torch.full((8000,), 0.5), torch.zeros(8000)])
    scores = SimilarityJudge(axes, "axes").score(
        [stereo, stereo[:1, :4000], stereo], 8000, ["a", "bb", "a"]
    )
    assert scores == pytest.approx([0.25 + 1, 0.5 + 0.5 * 2, 0.25 + 1], abs=1e-2)
    assert axes.read == [["a", "bb"]]


def test_the_bundled_matcher_judges_as_it_does_everywhere():
    matcher = Matcher.load(matcher_folder())
    rate = matcher.sample_rate
    sounds = torch.randn(2, 1, rate, generator=torch.Generator().manual_seed(0)) * 0.1
    sounds[1] *= torch.linspace(0, 1, rate)
    texts = ["rain falls", "a dog barks"]
    expected = (
        matcher.embed_texts(texts)
        @ torch.stack([one.vector for one in matcher.encode(list(sounds[:, 0]))]).T
    )
    found = open_judge("matcher", "cpu").score(list(sounds), rate, texts)
    assert found == pytest.approx(expected.diagonal().tolist(), abs=1e-6)


def test_loudness_is_in_lufs_and_silence_is_finite():
    times = torch.arange(48000) / 48000
    tone = (10 ** (-20 / 20)) * torch.sin(2 * torch.pi * 997 * times)[None]
    assert LoudnessJudge().score([tone, tone * 0], 48000, ["", ""]) == [
        pytest.approx(-23.01, abs=0.1),
        -70,
    ]


def test_what_measures_does_not_choose():
    own = Detector.load(detector_folder())
    for one in (own, Tagger.__new__(Tagger)):
        with pytest.raises(UserError, match="never chooses"):
            check_judge(one)
    with pytest.raises(UserError, match="never chooses"):
        EventJudge(own)
    for name in ("tagger", "events", f"events={detector_folder()}"):
        with pytest.raises(UserError, match="never chooses"):
            open_judge(name, "cpu")
    with pytest.raises(UserError, match="did you mean 'matcher'"):
        open_judge("macher", "cpu")


def test_another_detector_may_judge_the_events():
    class Hears(Detector):
        def detect(self, waveforms, sample_rate):
            return [heard(("rain", 0), ("dog bark", 1)), []]

    judge = EventJudge(Hears(DetectorConfig(labels=("rain", "dog bark"), counted=("dog bark",))))
    sounds = [torch.zeros(1, 100)] * 2
    assert judge.score(sounds, 8000, ["rain falls, then a dog barks", "a cat meows"]) == [1, None]
