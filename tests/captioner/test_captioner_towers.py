"""Frozen towers: HTSAT as transformers has it, nothing drawn, silence and length by rule."""

import pytest
import torch
from torch import nn
from transformers import ClapAudioModel

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.captioner.heard import Impression, Memory, join_sounds
from soundwright.captioner.towers import (
    FrozenTowers,
    HtsatConfig,
    HtsatTower,
    SmallTower,
    SmallTowerConfig,
    TowerChoice,
    build_tower,
)
from soundwright.core.errors import AudioError, ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.scorers.detector import Detector, DetectorConfig, detector_folder
from soundwright.scorers.matching import Matcher, matcher_folder
from soundwright.scorers.tagger import Tagger, TaggerConfig, tagger2_folder
from soundwright.scorers.trunk import TrunkConfig

TINY = HtsatConfig(
    mel=MelConfig(
        sample_rate=8000,
        n_fft=512,
        win_length=512,
        hop_length=320,
        n_mels=16,
        f_min=50.0,
        power=2,
        log="decibel",
        floor=1e-10,
    ),
    seconds=8.0,
    repeat=2,
    image=64,
    width=8,
    depths=(1, 1),
    heads=(1, 2),
    window=4,
)


def noise(seconds, rate=8000, seed=0):
    return 0.3 * torch.randn(round(seconds * rate), generator=torch_stream(seed, "noise"))


@pytest.fixture
def htsat():
    return HtsatTower(TINY).eval()


@torch.no_grad()
def test_htsat_is_transformers_network_on_the_levelled_sound(htsat):
    sound = noise(8.0) + 0.1
    network = ClapAudioModel(TINY.transformers_config()).eval()
    network.load_state_dict(htsat.network.state_dict())
    levelled = (sound - sound.mean()) / (sound - sound.mean()).abs().max() * 0.5
    image = LogMel(TINY.mel)(levelled).T[None, None]
    grid = network(image, is_longer=torch.zeros(1, 1, dtype=torch.bool)).last_hidden_state[0]
    wanted = torch.stack([grid.mean(1)[:, frame // 2] for frame in range(2 * grid.shape[-1])])
    (found,) = htsat.listen([sound])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_papers_tower_gives_1024_frames_of_768():
    with torch.device("meta"):
        tower = HtsatTower(HtsatConfig())
    assert (tower.frames, tower.width) == (1024, 768)
    assert tower.sample_rate == 32_000
    assert tower.config.mel.frames(320_000) == 1001


@torch.no_grad()
def test_frames_are_as_many_as_it_says(htsat):
    (found,) = htsat.listen([noise(3.0)])
    assert found.shape == (htsat.frames, htsat.width)


@torch.no_grad()
def test_of_a_long_sound_the_beginning_is_heard_and_nothing_is_drawn(htsat):
    """The reference crops at random, at inference too."""
    sound = noise(20.0)
    (first,), (again,) = htsat.listen([sound]), htsat.listen([sound])
    (short,) = htsat.listen([sound[:64_000]])
    assert torch.equal(first, again)
    assert torch.equal(first, short)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["htsat", "small"])
def test_loudness_silence_and_batch_mates(kind, htsat):
    tower = htsat if kind == "htsat" else small_tower()
    rate = tower.sample_rate
    sounds = [noise(2.0, rate), torch.zeros(rate), noise(3.0, rate, seed=1)]
    together = tower.listen(sounds)
    assert [len(states) > 0 for states in together] == [True, False, True]
    assert together[1].shape == (0, tower.width)
    for sound, states in zip(sounds, together, strict=True):
        (alone,) = tower.listen([sound])
        assert torch.equal(alone, states)
        (quiet,) = tower.listen([sound * 0.25])
        torch.testing.assert_close(quiet, states, rtol=1e-3, atol=1e-3)


def small_tower():
    tagger = TaggerConfig(labels=("dog bark", "rain"), widths=(4, 8))
    trunk = TrunkConfig(widths=(4, 8), strides=(2, 1), width=6, dilations=(1,))
    detector = DetectorConfig(labels=("dog bark", "rain", "wind"), trunk=trunk)
    return SmallTower(SmallTowerConfig(tagger=tagger, detector=detector)).eval()


def test_a_taggers_states_are_what_it_embeds():
    tagger = Tagger.load(tagger2_folder())
    sound = noise(2.0, tagger.sample_rate)
    states = tagger.states(sound, tagger.sample_rate)
    torch.testing.assert_close(states.mean(0), tagger.embed([sound], tagger.sample_rate)[0])


def test_a_small_tower_sets_states_side_by_side():
    """A tagger's frame spans as many of a detector's as there are of those for each of its own."""
    tower = small_tower()
    sound = noise(2.0, tower.sample_rate)
    (found,) = tower.listen([sound])
    detector = tower.detector.states(sound, 16_000)
    tagger = tower.tagger.states(sound, 16_000, trim=False)
    frames = -(-len(detector) // 2)
    assert found.shape == (frames, 8 + 6 + 2 * 3)
    for place in range(frames):
        pooled = detector[2 * place : 2 * place + 2].amax(0)
        assert torch.equal(found[place, 8:], pooled)
        assert torch.equal(found[place, :8], tagger[place * len(tagger) // frames])
    with pytest.raises(ConfigError, match="tagger, detector or both"):
        SmallTowerConfig.read({})


def test_a_detectors_states_say_what_it_says_of_frames():
    detector = Detector.load(detector_folder())
    sound = noise(2.0, 16_000)
    states = detector.states(sound, 16_000)
    labels, width = len(detector.labels), detector.config.trunk.width
    for number, said in enumerate(detector.probabilities(sound, 16_000)):
        first = width + number * labels
        steps = said[:, : 2 * (said.shape[1] // 2)].unflatten(1, (-1, 2)).amax(2)
        found = states[: steps.shape[1], first : first + labels].T
        torch.testing.assert_close(found, steps)


def test_towers_are_frozen_and_out_of_reach(htsat):
    htsat.train()
    towers = FrozenTowers(htsat, Matcher.load(matcher_folder()))
    assert not isinstance(towers, nn.Module)
    assert not htsat.training
    assert not any(p.requires_grad for p in [*htsat.parameters(), *towers.clap.parameters()])
    before = {name: value.clone() for name, value in htsat.state_dict().items()}
    first = towers.listen([noise(2.0)])
    again = towers.listen([noise(2.0)])
    # No BatchNorm drifts, no part of a spectrogram is masked: the reference does both.
    assert torch.equal(first[0].states, again[0].states)
    assert all(torch.equal(before[name], value) for name, value in htsat.state_dict().items())


def test_the_identity_follows_weights_and_front_end(htsat):
    first = FrozenTowers(htsat).identity
    assert FrozenTowers(HtsatTower(TINY)).identity == first
    assert FrozenTowers(HtsatTower(TINY, seed=1)).identity != first
    assert FrozenTowers(HtsatTower(TINY.model_copy(update={"peak": 0.4}))).identity != first
    assert FrozenTowers(htsat, Matcher.load(matcher_folder())).identity != first


@pytest.mark.parametrize("sound", [torch.zeros(0), torch.tensor([0.1, float("nan")])])
def test_what_is_no_sound_is_refused(htsat, sound):
    with pytest.raises(AudioError):
        FrozenTowers(htsat).listen([sound])


def test_exactly_one_tower_is_built():
    assert isinstance(build_tower(TowerChoice(htsat=TINY)), HtsatTower)
    with pytest.raises(ConfigError, match="exactly one"):
        TowerChoice.read({})


class Counting:
    """Towers that count what they hear."""

    identity, sample_rate, longest = "counting", 8000, 1.0

    def __init__(self):
        self.heard = 0

    def listen(self, waveforms):
        self.heard += len(waveforms)
        return [Impression(waveform[:6].view(3, 2), waveform[:4]) for waveform in waveforms]


def readers(*seeds):
    return {f"sound-{seed}": lambda seed=seed: noise(0.01, seed=seed) for seed in seeds}


def test_no_sound_is_heard_twice(tmp_path):
    towers = Counting()
    memory = Memory(towers, tmp_path)
    assert memory.fill(readers(1, 2)) == {}
    memory.fill(readers(1, 2, 3))
    assert towers.heard == 3
    again = Memory(towers, tmp_path)
    again.fill(readers(1, 2, 3))
    assert towers.heard == 3
    sounds = again.read(["sound-3", "sound-1"])
    torch.testing.assert_close(sounds[0].vector, noise(0.01, seed=3)[:4])
    assert sounds[1].states.dtype == torch.float16


def test_a_damaged_pack_is_heard_again(tmp_path):
    towers = Counting()
    Memory(towers, tmp_path).fill(readers(1, 2))
    (pack,) = tmp_path.rglob("*.safetensors")
    content = bytearray(pack.read_bytes())
    content[-3] ^= 1
    pack.write_bytes(bytes(content))
    memory = Memory(towers, tmp_path)
    with pytest.raises(KeyError, match="not been heard"):
        memory.read(["sound-1", "sound-2"])
    memory.fill(readers(1, 2))
    assert len(memory.read(["sound-1", "sound-2"])) == 2
    assert towers.heard == 4


def test_memory_keeps_no_more_than_it_may_and_gives_the_same(tmp_path):
    memory = Memory(Counting(), tmp_path, memory_mb=0)
    memory.fill(readers(*range(5)))
    first = memory.read([f"sound-{seed}" for seed in range(5)])
    again = memory.read([f"sound-{seed}" for seed in range(5)])
    assert not memory._kept
    assert all(torch.equal(a.states, b.states) for a, b in zip(first, again, strict=True))


def test_what_cannot_be_read_is_named_and_the_rest_is_heard(tmp_path):
    def broken():
        raise AudioError("broken.wav cannot be decoded.", reason="not-audio")

    memory = Memory(Counting(), tmp_path)
    unread = memory.fill({**readers(1), "bad": broken, **readers(2)})
    assert {key: error.reason for key, error in unread.items()} == {"bad": "not-audio"}
    assert len(memory.read(["sound-1", "sound-2"])) == 2


def test_sounds_are_joined_with_their_mask():
    sounds = [
        Impression(torch.ones(2, 3), torch.ones(4)),
        Impression(torch.ones(5, 3), torch.ones(4)),
    ]
    heard = join_sounds(sounds)
    assert heard.mask.sum(1).tolist() == [2, 5]
    assert float(heard.states.sum()) == 21
    assert heard.vector.shape == (2, 4)
    assert join_sounds([Impression(torch.ones(2, 3))]).vector is None
