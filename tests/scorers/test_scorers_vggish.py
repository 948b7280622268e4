"""VGGish: equal to the original module, in both conventions, the same in any company."""

import numpy as np
import pytest
import torch
from filling import fill, waveform
from torch import nn

from soundwright.core.errors import AudioError, MissingWeightsError
from soundwright.core.protocols import AudioEncoder
from soundwright.scorers.vggish import CONVENTIONS, Vggish, VggishNetwork, load_vggish

# torchvggish: VGG(make_layers()) `fill`ed with gain 2, without the last ReLU, on
# waveform_to_examples of `waveform(name, samples)`; for "google" on that of each second that
# extract_features of Google's AudioSetModel cuts. Every 16th number of each row.
GOLDEN = {
    ("torchvggish", "vggish", 31500): [
        [
            -47.94707,
            -209.754,
            31.2031,
            -60.43494,
            -104.3732,
            75.70734,
            -132.0025,
            79.6776,
        ],
        [
            -71.36092,
            -197.2583,
            32.45196,
            -51.86539,
            -70.97807,
            98.03071,
            -186.983,
            -13.91951,
        ],
    ],
    ("torchvggish", "other", 31500): [
        [-58.21693, -213.6577, 43.15659, -63.70718, -99.90593, 81.33604, -137.2734, 78.89123],
        [
            -60.33668,
            -196.3305,
            27.10056,
            -65.1091,
            -67.27718,
            96.94892,
            -176.5217,
            -1.049406,
        ],
    ],
    ("google", "vggish", 32000): [
        [
            -57.12909,
            -223.565,
            23.83056,
            -65.6162,
            -101.6938,
            87.77356,
            -122.1333,
            80.61228,
        ],
        [
            -52.39849,
            -219.8538,
            38.0219,
            -42.2122,
            -42.28994,
            128.661,
            -163.829,
            61.12019,
        ],
        [
            -73.85026,
            -207.4858,
            35.19824,
            -48.18488,
            -74.00629,
            102.2436,
            -195.2918,
            -5.291765,
        ],
    ],
}


class Ear(nn.Module):
    """In a network's place: keeps the patches that it hears."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.heard = []

    def forward(self, patches):
        self.heard += list(patches)
        return patches.mean(1) @ torch.eye(96, 128)


def listen(sound, convention="torchvggish"):
    """The patches [W, 64, 96] of a sound."""
    ear = Ear()
    (encoded,) = Vggish(ear, convention, "none", batch_size=1).encode([sound])
    count = len(encoded.embeddings)
    return torch.stack(ear.heard[:count]) if count else torch.zeros(0, 64, 96)


def literal_log_mel(samples):
    """The front end as its definition says, [F, 64] float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = [samples[at : at + 400] * window for at in range(0, len(samples) - 399, 160)]
    magnitude = np.abs(np.fft.rfft(frames, 512))

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    bands = np.zeros((257, 64))
    for index in range(1, 257):
        at = mel(index * 8000 / 256)
        for band in range(64):
            low, centre, high = edges[band : band + 3]
            height = min((at - low) / (centre - low), (high - at) / (high - centre))
            bands[index, band] = max(0, height)
    return np.log(magnitude @ bands + 0.01)


@pytest.fixture(scope="module")
def network():
    with torch.device("meta"):
        net = VggishNetwork()
    net.load_state_dict(fill(net.state_dict(), gain=2), assign=True)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize(("convention", "name", "samples"), sorted(GOLDEN))
def test_it_equals_the_original_module(network, convention, name, samples):
    encoder = Vggish(network, convention, "filled", batch_size=2)
    assert isinstance(encoder, AudioEncoder)
    (encoded,) = encoder.encode([waveform(name, samples)])
    expected = torch.tensor(GOLDEN[convention, name, samples])
    assert encoded.embeddings.shape == (len(expected), 128)
    difference = (encoded.embeddings[:, ::16] - expected).abs().max()
    assert difference < 1e-5 * expected.abs().max()
    assert torch.allclose(encoded.vector, encoded.embeddings.mean(0), rtol=1e-5)
    assert encoded.logits is None


def test_weights_are_named_as_in_the_published_checkpoint(network):
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    convolutions = {0: (1, 64), 3: (64, 128), 6: (128, 256), 8: (256, 256), 11: (256, 512),
                    13: (512, 512)}  # fmt: skip
    matrices = {0: (12288, 4096), 2: (4096, 4096), 4: (4096, 128)}
    expected = {}
    for place, (below, above) in convolutions.items():
        expected[f"features.{place}.weight"] = [above, below, 3, 3]
        expected[f"features.{place}.bias"] = [above]
    for place, (below, above) in matrices.items():
        expected[f"embeddings.{place}.weight"] = [above, below]
        expected[f"embeddings.{place}.bias"] = [above]
    assert shapes == expected


def test_the_front_end_literally():
    sound = waveform("front end", 31000)
    expected = literal_log_mel(sound.double().numpy())
    heard = listen(sound)
    assert heard.shape == (2, 64, 96)
    patches = torch.from_numpy(expected[:192].reshape(2, 96, 64)).transpose(1, 2)
    assert (heard - patches).abs().max() < 1e-4


def test_silence_a_sine_and_an_impulse_give_the_numbers_of_the_original_file():
    assert torch.allclose(listen(torch.zeros(15600)), torch.tensor(-4.605170186))
    time_s = torch.arange(16000, dtype=torch.float64) / 16000
    (sine,) = listen(torch.sin(2 * torch.pi * 1000 * time_s).float())
    assert int(sine.mean(1).argmax()) == 19
    assert float(sine[19].max()) == pytest.approx(4.81111773, abs=1e-4)
    # Samples as int16 would be far louder: the usual mistake.
    (wrong,) = listen(32768 * torch.sin(2 * torch.pi * 1000 * time_s).float())
    assert float(wrong.mean()) > 4
    impulse = torch.zeros(16000)
    impulse[8000] = 1
    (heard,) = listen(impulse)
    assert (heard > -4.6).any(0).nonzero().flatten().tolist() == [48, 49]
    assert float(heard.max()) == pytest.approx(2.09187515, abs=1e-4)


@pytest.mark.parametrize(
    ("convention", "samples", "count"),
    [
        ("torchvggish", 15599, 0), ("torchvggish", 15600, 1), ("torchvggish", 30959, 1),
        ("torchvggish", 30960, 2), ("torchvggish", 160000, 10),
        ("google", 15999, 0), ("google", 16000, 1), ("google", 23999, 1), ("google", 24000, 2),
        ("google", 160000, 19),
    ],
)  # fmt: skip
def test_windows_are_counted_as_the_tools_count_them(convention, samples, count):
    (encoded,) = Vggish(Ear(), convention, "none").encode([waveform("count", samples)])
    assert encoded.embeddings.shape == (count, 128)
    assert bool(encoded.vector.isnan().all()) is (count == 0)


def test_google_divides_by_the_signed_maximum_of_the_whole_sound():
    sound = waveform("gain", 24000)
    sound[:16000] *= 0.01
    sound[-1] = 0.5
    louder = sound / sound.max()
    assert torch.allclose(listen(sound, "google"), listen(louder, "google"), atol=1e-4)
    assert torch.equal(listen(0.25 * sound, "google"), listen(sound, "google"))
    assert not torch.allclose(listen(0.25 * sound), listen(sound), atol=0.1)
    # Signed: the largest sample, not the largest magnitude.
    turned = torch.where(sound == 0.5, torch.tensor(0.25), -sound.abs().clamp(max=0.2))
    expected = literal_log_mel((turned / 0.25).double().numpy()[:16000])[:96]
    assert (listen(turned, "google")[0].T - torch.from_numpy(expected)).abs().max() < 1e-4
    # On int16 samples the floor of 0.1 is none, down to one step.
    step = torch.full((16000,), 1 / 32768)
    assert torch.allclose(listen(step, "google"), listen(torch.ones(16000), "google"))
    assert torch.allclose(listen(torch.zeros(16000), "google"), torch.tensor(-4.605170186))


def test_batch_mates_change_no_bit_and_batch_sizes_only_rounding(network):
    sounds = [waveform(str(count), count) for count in (15600, 31000, 15599)]
    encoder = Vggish(network, "torchvggish", "filled", batch_size=3)
    together = [encoded.embeddings for encoded in encoder.encode(sounds)]
    turned = [encoded.embeddings for encoded in encoder.encode(sounds[::-1])][::-1]
    for sound, rows, others in zip(sounds, together, turned, strict=True):
        (alone,) = encoder.encode([sound])
        assert torch.equal(alone.embeddings, rows)
        assert torch.equal(others, rows)
    (single,) = Vggish(network, "torchvggish", "filled", batch_size=1).encode(sounds[1:2])
    assert (single.embeddings - together[1]).abs().max() < 1e-5 * together[1].abs().max()


def test_the_identity_tells_weights_and_conventions_apart():
    ear = Ear()
    identities = {Vggish(ear, convention, "none").identity for convention in CONVENTIONS}
    with torch.no_grad():
        ear.weight += 1
    identities.add(Vggish(ear, "google", "none").identity)
    assert len(identities) == 3
    assert Vggish(ear, "google", "none").identity in identities
    facts = Vggish(ear, "google", "v").facts
    assert facts["convention"] == "google"
    assert facts["weights"] == "v"


def test_unusable_sounds_and_absent_weights_are_named(monkeypatch, tmp_path):
    for sound, reason in (
        (torch.zeros(0), "no-samples"),
        (torch.tensor([torch.inf]), "not-finite"),
    ):
        for convention in CONVENTIONS:
            with pytest.raises(AudioError) as caught:
                Vggish(Ear(), convention, "none").encode([sound])
            assert caught.value.reason == reason
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError) as missing:
        load_vggish()
    assert "releases/download/v0.1/vggish-10086976.pth" in str(missing.value)
    assert str(tmp_path) in str(missing.value)
