import pytest
import torch

from soundwright.core.errors import AudioError, CheckpointError, UserError
from soundwright.core.protocols import StepContext, TextAudioEncoder, TextStates, TrainingTask
from soundwright.core.seeding import initialising, torch_stream
from soundwright.scorers.matched_clips import MatchedBatch, MatchedClips, Pairing
from soundwright.scorers.matcher_task import MatcherTask, MatcherTaskConfig
from soundwright.scorers.matching import Matcher, MatcherConfig, text_vectors
from soundwright.scorers.trunk import TrunkConfig

RATE = 16000
CPU = torch.device("cpu")
CONFIG = MatcherConfig(
    trunk=TrunkConfig(widths=(4, 8), strides=(2, 2), width=16, dilations=(1, 2)),
    width=12,
    text_hidden=16,
)


def new_matcher(seed: int = 0) -> Matcher:
    with initialising(seed, "matcher"):
        return Matcher(CONFIG)


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return new_matcher().eval()


def tone(pitch: float, seed: int = 0) -> torch.Tensor:
    time = torch.arange(RATE) / RATE
    noise = 1e-3 * torch.randn(RATE, generator=torch_stream(seed, "noise"))
    return (0.4 * torch.sin(2 * torch.pi * pitch * time) + noise)[None]


def test_is_a_text_audio_encoder(matcher: Matcher) -> None:
    assert isinstance(matcher, TextAudioEncoder)
    assert matcher.sample_rate == RATE
    assert "no CLAP" in matcher.facts["weights"]
    (encoded,) = matcher.encode([tone(500)])
    assert encoded.embeddings.shape == (1, 12)
    assert torch.equal(encoded.vector, encoded.embeddings[0])
    assert encoded.logits is None
    assert encoded.vector.norm() == pytest.approx(1, abs=1e-5)


def test_texts_are_of_length_one_and_independent(matcher: Matcher) -> None:
    texts = ["a dog barks", "rain falls while a church bell rings twice", "rain"]
    together = matcher.embed_texts(texts)
    assert together.shape == (3, 12)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(together[2:], matcher.embed_texts(["rain"]), atol=1e-5, rtol=0)


def test_the_order_of_words_tells(matcher: Matcher) -> None:
    states = torch.randn(2, 5, 384, generator=torch_stream(0, "states"))
    states[1, :3] = states[0, :3].flip(0)
    states[:, 3:] = 0
    mask = torch.tensor([[True] * 3 + [False] * 2] * 2)
    first, second = text_vectors(TextStates(states, mask, states.sum(1)))
    torch.testing.assert_close(first[:384], second[:384])
    torch.testing.assert_close(first[384:], -second[384:])
    torch.testing.assert_close(first[384:], (states[0, 2] - states[0, 0]) / 3)


def test_loudness_channels_and_neighbours_do_not_matter(matcher: Matcher) -> None:
    sound = tone(700)
    alone, quiet, flat, stereo = matcher.encode(
        [sound, 0.003 * sound, sound[0], sound.repeat(2, 1)]
    )
    (again,) = matcher.encode([sound])
    assert torch.equal(alone.vector, again.vector)
    assert torch.equal(alone.vector, flat.vector)
    torch.testing.assert_close(alone.vector, quiet.vector, atol=1e-3, rtol=0)
    torch.testing.assert_close(alone.vector, stereo.vector, atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [1, 320, 7000, 4 * RATE])
def test_takes_sounds_of_any_length(matcher: Matcher, samples: int) -> None:
    noise = 0.1 * torch.randn(samples, generator=torch_stream(0, "noise"))
    assert matcher.encode([noise])[0].vector.isfinite().all()


def test_digital_silence_is_like_nothing(matcher: Matcher) -> None:
    assert not matcher.encode([torch.zeros(RATE)])[0].vector.any()


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(1, 0), "no-samples"), (torch.tensor([[0.1, torch.nan]]), "not-finite")],
)
def test_refuses_what_cannot_be_heard(matcher: Matcher, sound: torch.Tensor, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        matcher.encode([sound])
    assert caught.value.reason == reason


def test_a_saved_matcher_matches_alike(matcher: Matcher, tmp_path) -> None:
    matcher.save(tmp_path / "one")
    loaded = Matcher.load(tmp_path / "one")
    assert loaded.config == CONFIG
    assert loaded.identity == matcher.identity != new_matcher(1).identity
    first, second = matcher.encode([tone(400)])[0], loaded.encode([tone(400)])[0]
    torch.testing.assert_close(first.vector, second.vector, atol=0.02, rtol=0)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "matcher.json").write_text('{"format": "other"}')
    with pytest.raises(CheckpointError, match="does not describe a matcher"):
        Matcher.load(tmp_path / "two")


def pairs(matcher: Matcher, count: int = 16, batch_size: int = 8) -> MatchedClips:
    """Low and high tones with two opposite text vectors."""
    low = torch.nn.functional.normalize(torch.arange(768.0) - 380, dim=0)
    sounds = [tone(300 + 10 * n if n % 2 else 2500 + 50 * n, n) for n in range(count)]
    pairings = [
        Pairing(n, low, "low", -low, "high") if n % 2 else Pairing(n, -low, "high", low, "low")
        for n in range(count)
    ]
    return MatchedClips(
        sounds, pairings, levels=matcher.levels, sample_rate=RATE, batch_size=batch_size, seed=0
    )


def test_texts_that_tell_the_same_are_known(matcher: Matcher) -> None:
    batch = pairs(matcher, 4, 4).everything()[0]
    assert batch.same.shape == (4, 8)
    assert batch.same[0].tolist() == [True, False, True, False, False, True, False, True]


def losses(matcher: Matcher, steps: range, data: MatchedClips) -> list[float]:
    task: TrainingTask[MatchedBatch] = MatcherTask(matcher, MatcherTaskConfig(seed=1))
    optimizer = torch.optim.Adam(matcher.parameters(), lr=0.01)
    seen = []
    matcher.train()
    for step in steps:
        for turn in task.turns(data[step], StepContext(step, 0, CPU)):
            assert turn.player in task.players
            turn.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(turn.loss.item())
    return seen


def test_learns_which_text_belongs_to_which_sound() -> None:
    matcher = new_matcher()
    data = pairs(matcher)
    seen = losses(matcher, range(25), data)
    assert sum(seen[-3:]) < 0.5 * sum(seen[:3])
    result = MatcherTask(matcher, MatcherTaskConfig()).validate(data.everything()[0], CPU)
    assert result["above_contrast"] == 1


def test_the_draws_of_a_step_follow_from_its_number() -> None:
    first, second = new_matcher(), new_matcher()
    data = pairs(first)
    assert losses(first, range(2), data) == losses(second, range(2), data)
    assert losses(new_matcher(), range(1), data) != losses(new_matcher(), range(1, 2), data)


def test_validation_draws_nothing_and_leaves_the_mode() -> None:
    matcher = new_matcher().train()
    task = MatcherTask(matcher, MatcherTaskConfig())
    batch = pairs(matcher)[0]
    assert task.validate(batch, CPU) == task.validate(batch, CPU)
    assert matcher.training


def test_no_text_is_refused(matcher: Matcher) -> None:
    with pytest.raises(UserError, match="no text"):
        MatchedClips([], [], levels=matcher.levels, sample_rate=RATE, batch_size=1, seed=0)
