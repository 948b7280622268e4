"""Speech, music or something else, by encoders of texts and sounds."""

from collections.abc import Mapping, Sequence
from math import exp

import pytest
import torch
from small_clap import save_small
from torch import Tensor
from torch.nn.functional import normalize

from soundwright.core.errors import AudioError, ConfigError
from soundwright.core.protocols import Encoded, Scorer
from soundwright.core.seeding import torch_stream
from soundwright.scorers.clap import Clap, load_clap
from soundwright.scorers.kinds import KindConfig, KindScorer
from soundwright.scorers.matching import Matcher, matcher_folder

KINDS = {"kind_speech", "kind_music", "kind_other"}


class Plane:
    """Texts and sounds in two dimensions: a text is a point, as is the beginning of a sound."""

    name = "plane-1"
    identity = "plane"
    sample_rate = 8000
    facts: Mapping[str, str] = {}

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        rows = [normalize(waveform[:2], dim=0) for waveform in waveforms]
        return [Encoded(row[None], row) for row in rows]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(number) for number in text.split()] for text in texts])


@pytest.fixture(scope="module")
def clap(tmp_path_factory) -> Clap:
    folder = tmp_path_factory.mktemp("kinds") / "clap-small"
    save_small(folder)
    return load_clap(str(folder))


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher.load(matcher_folder())


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> Tensor:
    size = round(seconds * rate)
    return 0.1 * torch.randn(1, size, generator=torch_stream(seed, "noise"))


def test_a_kind_is_as_likely_as_the_mean_of_its_descriptions() -> None:
    config = KindConfig(
        speech=("1 0", "-1 0"), music=("0 1",), other=("0 -1", "0 -1", "0 -1"), temperature=0.5
    )
    scorer = KindScorer(Plane(), config)
    right, up = scorer.score([torch.tensor([0.3, 0.0]), torch.tensor([0.0, 0.2])], 8000)
    speech = (exp(2) + exp(-2)) / 2
    assert right == {
        "kind_speech": pytest.approx(speech / (speech + 2)),
        "kind_music": pytest.approx(1 / (speech + 2)),
        "kind_other": pytest.approx(1 / (speech + 2)),
    }
    total = exp(2) + 1 + exp(-2)
    assert up == {
        "kind_speech": pytest.approx(1 / total),
        "kind_music": pytest.approx(exp(2) / total),
        "kind_other": pytest.approx(exp(-2) / total),
    }


@pytest.mark.parametrize("encoder", ["clap", "matcher"])
def test_scores_sum_to_one_and_do_not_depend_on_others(encoder: str, request) -> None:
    scorer: Scorer = KindScorer(request.getfixturevalue(encoder))
    sounds = [noise(1), noise(3, seed=1).repeat(2, 1), noise(0.05, seed=2)[0]]
    together = scorer.score(sounds, 16000)
    for sound, scores in zip(sounds, together, strict=True):
        assert scores.keys() == KINDS
        assert sum(scores.values()) == pytest.approx(1)
        assert scorer.score([sound], 16000) == [scores]
    assert len({scores["kind_music"] for scores in together}) == 3
    assert scorer.score([], 16000) == []


def test_rates_and_channels_do_not_matter(matcher: Matcher) -> None:
    time = torch.arange(48000) / 48000
    high = 0.3 * torch.sin(2 * torch.pi * 440 * time)[None]
    scorer = KindScorer(matcher)
    (low_rate,) = scorer.score([high[:, ::3]], 16000)
    mono, stereo = scorer.score([high, high.repeat(2, 1)], 48000)
    assert mono == stereo
    assert mono == pytest.approx(low_rate, abs=0.02)


def test_digital_silence_is_of_every_kind_for_the_matcher(matcher: Matcher) -> None:
    (scores,) = KindScorer(matcher).score([torch.zeros(1, 8000)], 16000)
    assert scores == dict.fromkeys(KINDS, pytest.approx(1 / 3))


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(1, 0), "no-samples"), (torch.tensor([[0.1, torch.nan]]), "not-finite")],
)
def test_refuses_what_cannot_be_heard(matcher: Matcher, sound: Tensor, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        KindScorer(matcher).score([sound], 16000)
    assert caught.value.reason == reason


def test_name_and_identity_tell_encoder_and_settings(clap: Clap, matcher: Matcher) -> None:
    scorers = [
        KindScorer(matcher),
        KindScorer(clap),
        KindScorer(matcher, KindConfig(temperature=0.1)),
        KindScorer(matcher, KindConfig(music=("music",))),
    ]
    assert len({scorer.identity for scorer in scorers}) == 4
    assert KindScorer(matcher).identity == scorers[0].identity
    assert [scorer.name for scorer in scorers[:2]] == [
        "kinds-soundwright-matcher-1",
        "kinds-clap-small",
    ]


def test_a_kind_without_descriptions_is_refused() -> None:
    with pytest.raises(ConfigError, match="music"):
        KindConfig.read({"music": []})
