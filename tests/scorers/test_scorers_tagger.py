import json

import pytest
import torch

from soundwright.core.errors import AudioError, CheckpointError, ConfigError, UserError
from soundwright.core.protocols import AudioEncoder, Scorer
from soundwright.core.seeding import initialising, torch_stream
from soundwright.scorers.tagger import Tagger, TaggerConfig

RATE = 16000
CONFIG = TaggerConfig(labels=("bell", "rain", "dog"), widths=(8, 12))


@pytest.fixture
def tagger() -> Tagger:
    with initialising(0, "tagger"):
        tagger = Tagger(CONFIG)
    generator = torch_stream(0, "statistics")
    for module in tagger.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    # Far from the even scores of a fresh network, so that differences would show.
    with torch.no_grad():
        tagger.evidence.weight.mul_(20)
    return tagger.eval()


def tone_burst(seconds: float = 1.5, rate: int = RATE) -> torch.Tensor:
    time = torch.arange(int(seconds * rate)) / rate
    sweep = torch.sin(2 * torch.pi * (400 + 300 * time) * time) * (1 - time / (2 * seconds))
    return (0.5 * sweep)[None]


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch_stream(seed, "noise"))


def differences(first: dict[str, float], second: dict[str, float]) -> float:
    return max(abs(first[label] - second[label]) for label in first)


def test_is_a_scorer_with_probabilities_for_every_label(tagger: Tagger) -> None:
    assert isinstance(tagger.name, str)
    scorer: Scorer = tagger
    for score in scorer.score([tone_burst(), noise(RATE)], RATE):
        assert tuple(score) == CONFIG.labels
        assert sum(score.values()) == pytest.approx(1, abs=1e-5)
        assert all(value >= 0 for value in score.values())


@pytest.mark.parametrize("samples", [1, 17, 400, 5000, 20 * RATE])
def test_takes_sounds_of_any_length(tagger: Tagger, samples: int) -> None:
    (score,) = tagger.score([noise(samples)], RATE)
    assert sum(score.values()) == pytest.approx(1, abs=1e-5)


def test_silence_around_a_sound_does_not_matter(tagger: Tagger) -> None:
    sound = tone_burst()
    after = torch.cat([sound, torch.zeros(1, 4 * RATE)], 1)
    before = torch.cat([torch.zeros(1, 320 * 25), sound], 1)
    hum = after + 1e-6 * noise(after.shape[1])
    plain, *padded = tagger.score([sound, after, before, hum], RATE)
    assert all(differences(plain, score) < 0.02 for score in padded)


def test_loudness_channels_and_neighbours_do_not_matter(tagger: Tagger) -> None:
    sound = tone_burst()
    (alone,) = tagger.score([sound], RATE)
    quiet, stereo, flat, among = tagger.score(
        [0.003 * sound, sound.repeat(2, 1), sound[0], sound], RATE
    )
    assert differences(alone, quiet) < 1e-3
    assert differences(alone, stereo) < 1e-5
    assert differences(alone, flat) == 0
    assert differences(alone, among) == 0


def test_resamples_to_its_own_rate(tagger: Tagger) -> None:
    (own,) = tagger.score([tone_burst()], RATE)
    (other,) = tagger.score([tone_burst(rate=44100)], 44100)
    assert differences(own, other) < 0.02


def test_padding_and_batch_mates_do_not_move_the_logits_of_a_batch(tagger: Tagger) -> None:
    levels = tagger.levels.read(tone_burst(), RATE)
    assert levels is not None
    frames = levels.shape[1]
    batch = torch.full((2, levels.shape[0], 3 * frames), -3.0)
    batch[0, :, :frames] = levels
    mask = torch.zeros(2, 3 * frames, dtype=torch.bool)
    mask[0, :frames] = True
    mask[1] = True
    with torch.no_grad():
        alone = tagger(levels[None], torch.ones(1, frames, dtype=torch.bool))
        loud_padding = tagger(batch, mask)
        batch[0, :, frames:] = -200.0
        batch[1] -= 20.0
        quiet_padding = tagger(batch, mask)
    torch.testing.assert_close(loud_padding[0], quiet_padding[0], atol=1e-4, rtol=1e-4)
    probabilities = torch.stack([alone[0], quiet_padding[0]]).softmax(-1)
    torch.testing.assert_close(probabilities[0], probabilities[1], atol=0.05, rtol=0)


def test_digital_silence_is_no_label(tagger: Tagger) -> None:
    (score,) = tagger.score([torch.zeros(1, RATE)], RATE)
    assert set(score.values()) == {1 / 3}
    assert not tagger.embed([torch.zeros(1, RATE)], RATE).any()


def test_embeddings_tell_sounds_apart(tagger: Tagger) -> None:
    embeddings = tagger.embed([tone_burst(), noise(RATE), tone_burst()], RATE)
    assert embeddings.shape == (3, 12)
    assert torch.equal(embeddings[0], embeddings[2])
    assert not torch.allclose(embeddings[0], embeddings[1], atol=1e-3)


def test_is_an_audio_encoder_that_agrees_with_its_scores(tagger: Tagger) -> None:
    encoder: AudioEncoder = tagger
    assert isinstance(tagger, AudioEncoder)
    sound, silence = encoder.encode([tone_burst()[0], torch.zeros(RATE)])
    assert torch.equal(sound.embeddings, tagger.embed([tone_burst()], RATE))
    assert torch.equal(sound.vector, sound.embeddings[0])
    assert sound.logits is not None
    probabilities = sound.logits[0].softmax(-1).tolist()
    assert probabilities == pytest.approx(list(tagger.score([tone_burst()], RATE)[0].values()))
    assert silence.embeddings.shape == (1, 12)
    assert not silence.vector.any()


def test_the_identity_changes_with_weights_and_configuration(tagger: Tagger, tmp_path) -> None:
    tagger.save(tmp_path / "one")
    assert Tagger.load(tmp_path / "one").identity == tagger.identity
    other = Tagger(CONFIG.model_copy(update={"range_db": 60.0}))
    other.load_state_dict(tagger.state_dict())
    assert other.identity != tagger.identity
    with torch.no_grad():
        other.evidence.bias[0] += 1
    before = tagger.identity
    tagger.load_state_dict(other.state_dict())
    assert tagger.identity != before


def test_recognise_gives_the_likeliest_label(tagger: Tagger) -> None:
    sounds = [tone_burst(), noise(RATE)]
    scores = tagger.score(sounds, RATE)
    assert tagger.recognise(sounds, RATE) == [max(score, key=score.__getitem__) for score in scores]


def test_scoring_leaves_the_mode_as_it_was(tagger: Tagger) -> None:
    (evaluated,) = tagger.score([tone_burst()], RATE)
    tagger.train()
    (trained,) = tagger.score([tone_burst()], RATE)
    assert tagger.training
    assert evaluated == trained


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(1, 0), "no-samples"), (torch.tensor([[0.1, torch.nan]]), "not-finite")],
)
def test_refuses_what_cannot_be_heard(tagger: Tagger, sound: torch.Tensor, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        tagger.score([sound], RATE)
    assert caught.value.reason == reason


def test_a_saved_tagger_scores_alike(tagger: Tagger, tmp_path) -> None:
    tagger.save(tmp_path / "judge", notes={"accuracy": 0.9})
    loaded = Tagger.load(tmp_path / "judge")
    sounds = [tone_burst(), noise(RATE)]
    for first, second in zip(tagger.score(sounds, RATE), loaded.score(sounds, RATE), strict=True):
        assert differences(first, second) < 0.02
    assert loaded.config == CONFIG
    assert not loaded.training
    # fp16 once is fp16 for ever: saving again changes no byte of the weights.
    loaded.save(tmp_path / "again")
    files = [tmp_path / name / "model.safetensors" for name in ("judge", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    notes = json.loads((tmp_path / "judge" / "tagger.json").read_text())["notes"]
    assert notes == {"accuracy": 0.9}


def test_saving_overwrites_nothing(tagger: Tagger, tmp_path) -> None:
    with pytest.raises(UserError, match="exists already"):
        tagger.save(tmp_path)


def test_a_flipped_byte_is_noticed(tagger: Tagger, tmp_path) -> None:
    tagger.save(tmp_path / "judge")
    weights = tmp_path / "judge" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        Tagger.load(tmp_path / "judge")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"format": "something"}, CheckpointError, "something"),
        ({"version": 99}, CheckpointError, "version 99"),
        ({"config": {"labels": ["a", "b"], "widhts": [8]}}, ConfigError, "widths"),
        ({"config": {"labels": ["a", "b"]}}, CheckpointError, "do not fit"),
    ],
)
def test_a_foreign_description_is_refused(tagger, tmp_path, change, error, message) -> None:
    tagger.save(tmp_path / "judge")
    path = tmp_path / "judge" / "tagger.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error, match=message):
        Tagger.load(tmp_path / "judge")


def test_a_folder_without_a_tagger_is_refused(tagger: Tagger, tmp_path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Tagger.load(tmp_path)
    tagger.save(tmp_path / "judge")
    (tmp_path / "judge" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        Tagger.load(tmp_path / "judge")
