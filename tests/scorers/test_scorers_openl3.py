"""OpenL3: equal to the originals, openl3 0.4 and torchopenl3, the same in any company."""

from functools import cache

import numpy as np
import pytest
import torch
from filling import fill_tensor, waveform

from soundwright.core.errors import AudioError, CheckpointError, MissingWeightsError
from soundwright.core.protocols import AudioEncoder
from soundwright.evaluation.distances.frechet import frechet_distance_of_samples
from soundwright.scorers.openl3 import CONVENTIONS, OpenL3, OpenL3Network, load_openl3

# PytorchOpenl3 of torchopenl3 1.0.1 with HTK's bands of equal area, and openl3 0.4.2 (kapre 0.3.7,
# TensorFlow 2.15.1) from a file of Keras, both `fill`ed with gain 2, on 40000 samples of
# `waveform("openl3", 40000)`, every half second: every 64th number of each row.
GOLDEN = {
    ("openl3", 256): [
        [3234.216, 541.6398, 2613.96, 1302.974, 1340.917, 1856.657, 4239.934, -63.98758],
        [3746.721, 235.4072, 2530.758, 1790.34, 704.6037, 1549.429, 3356.409, -302.3436],
    ],
    ("openl3", 128): [
        [3234.216, 541.6398, 2613.96, 1304.457, 1340.917, 1869.003, 4239.934, -57.90659],
        [3739.75, 252.6969, 2574.123, 1789.733, 768.6966, 1512.711, 3419.381, -267.5553],
    ],
    ("torchopenl3", 256): [
        [3234.213, 575.973, 2613.965, 1299.996, 1340.918, 2050.36, 4239.936, -49.82581],
        [3664.49, 438.6899, 2474.903, 1689.714, 817.1649, 1231.695, 3767.441, -259.7232],
    ],
    ("torchopenl3", 128): [
        [3234.213, 541.6396, 2613.965, 1299.996, 1340.918, 2087.328, 4239.936, -43.18266],
        [3658.341, 211.7206, 2516.101, 1638.882, 868.0729, 1280.28, 3771.463, -247.2301],
    ],
}


class Ear(OpenL3Network):
    """Keeps the windows that it hears, and gives their largest sample 512 times."""

    def __init__(self, convention):
        super().__init__(convention, 128)
        self.heard = []

    def forward(self, windows):
        self.heard += list(windows)
        return windows.amax(1, keepdim=True).expand(-1, 512)


def listen(convention, sound):
    """The windows [W, 48000] of a sound."""
    ear = Ear(convention)
    OpenL3(ear, "env", "none", batch_size=1).encode([sound])
    return torch.stack(ear.heard)


@cache
def filling(name, shape):
    return fill_tensor(name, torch.empty(shape, device="meta"), gain=2)


@cache
def network(convention, bands):
    net = OpenL3Network(convention, bands)
    net.load_state_dict(published_state(net) | {"bands": net.bands})
    return net.eval().requires_grad_(False)


def published_state(net):
    """What the network has learnt, under torchopenl3's names."""
    return {
        name: filling(name, value.shape) if value.is_floating_point() else value
        for name, value in net.state_dict().items()
        if name != "bands"
    }


def literal_decibels(window, convention, bands):
    """The front ends as their definitions say, [M, F] float64."""
    htk = convention == "torchopenl3"

    def hertz(mel):
        if htk:
            return 700 * (10 ** (mel / 2595) - 1)
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 2595 * np.log10(1 + 24000 / 700) if htk else 15 + 27 * np.log(24) / np.log(6.4)
    corners = np.array([hertz(mel) for mel in np.linspace(0, top, bands + 2)])
    at = np.arange(1025) * 48000 / 2048
    filters = np.zeros((bands, 1025))
    for band in range(bands):
        left, centre, right = corners[band : band + 3]
        rising, falling = (at - left) / (centre - left), (right - at) / (right - centre)
        filters[band] = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    # 1964 zeros make 199 frames: TensorFlow's pad_end, or "same" as Keras divides it.
    padded = np.pad(window, (982, 982) if htk else (0, 1964))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = [padded[begin : begin + 2048] * hann for begin in range(0, 199 * 242, 242)]
    magnitude = np.abs(np.fft.rfft(frames)).T
    energy = np.sqrt(filters @ magnitude**2) if htk else filters @ magnitude
    level = 10 * np.log10(np.maximum(energy, 1e-10))
    return np.maximum(level - level.max(), -80)


@pytest.mark.parametrize(("convention", "bands"), sorted(GOLDEN))
def test_it_equals_the_original_modules(convention, bands):
    encoder = OpenL3(network(convention, bands), "env", "filled", batch_size=2)
    assert isinstance(encoder, AudioEncoder)
    (encoded,) = encoder.encode([waveform("openl3", 40000)])
    expected = torch.tensor(GOLDEN[convention, bands])
    assert encoded.embeddings.shape == (2, 512)
    difference = (encoded.embeddings[:, ::64] - expected).abs().max()
    assert difference < 3e-5 * expected.abs().max()
    assert torch.allclose(encoded.vector, encoded.embeddings.mean(0), rtol=1e-5)
    assert encoded.logits is None


@pytest.mark.parametrize("convention", ["openl3", "torchopenl3"])
@pytest.mark.parametrize("bands", [128, 256])
def test_the_front_ends_literally(convention, bands):
    window = waveform("front end", 48000)
    # Frames without sound, at the floor.
    window[:12000] = 0
    expected = literal_decibels(window.double().numpy(), convention, bands)
    ours = OpenL3Network(convention, bands).decibels(window[None])[0]
    assert ours.shape == (bands, 199)
    assert np.abs(ours.numpy() - expected).max() < 0.02
    assert float(ours.max()) == 0
    assert float(ours.min()) == -80
    silence = OpenL3Network(convention, bands).decibels(torch.zeros(1, 48000))
    assert float(silence.abs().max()) == 0


@pytest.mark.parametrize(
    ("samples", "count"),
    [(1, 1), (24000, 1), (24001, 2), (48000, 2), (48001, 3), (480000, 20), (480001, 21)],
)
def test_windows_are_counted_and_placed_as_openl3_does(samples, count):
    sound = waveform("count", samples)
    windows = listen("openl3", sound)
    assert windows.shape == (count, 48000)
    padded = torch.zeros(24000 * (count + 1))
    padded[24000 : 24000 + samples] = sound
    for place, window in enumerate(windows):
        assert torch.equal(window, padded[24000 * place :][:48000])


def test_stable_audio_metrics_brings_peaks_to_minus_one_decibel():
    sound = 0.1 * waveform("gain", 60000)
    heard = listen("stable-audio-metrics", sound)
    assert float(heard.abs().max()) == pytest.approx(10 ** (-1 / 20))
    # By the largest magnitude of the whole sound.
    assert torch.allclose(heard, listen("openl3", sound) * (0.8912509381 / sound.abs().max()))
    assert torch.allclose(listen("stable-audio-metrics", -3 * sound), -heard, atol=1e-6)
    assert float(listen("stable-audio-metrics", torch.zeros(9)).abs().max()) == 0


def test_stable_audio_metrics_counts_a_mono_sound_twice():
    sounds = [waveform(str(seed), 60000) for seed in range(3)]
    sounds = [sound / sound.abs().max() for sound in sounds]
    mono, stereo = (
        OpenL3(Ear(convention), "env", "none").encode(sounds)
        for convention in ("openl3", "stable-audio-metrics")
    )
    gain = 10 ** (-1 / 20)
    for once, twice in zip(mono, stereo, strict=True):
        assert torch.allclose(twice.embeddings, gain * 2**0.5 * once.embeddings, rtol=1e-5)
    # What the tool computes: rows of left and right side by side.
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 40, 8)) * [[[1]], [[2]]]
    doubled = frechet_distance_of_samples(np.hstack([first, first]), np.hstack([second, second]))
    scaled = frechet_distance_of_samples(2**0.5 * first, 2**0.5 * second)
    assert doubled.value == pytest.approx(scaled.value, rel=1e-9)


def test_batch_mates_change_no_bit_and_batch_sizes_only_rounding():
    sounds = [waveform(str(count), count) for count in (24000, 40000, 100)]
    encoder = OpenL3(network("openl3", 128), "env", "filled", batch_size=2)
    together = [encoded.embeddings for encoded in encoder.encode(sounds)]
    turned = [encoded.embeddings for encoded in encoder.encode(sounds[::-1])][::-1]
    for sound, rows, others in zip(sounds, together, turned, strict=True):
        (alone,) = encoder.encode([sound])
        assert torch.equal(alone.embeddings, rows)
        assert torch.equal(others, rows)
    single = OpenL3(network("openl3", 128), "env", "filled", batch_size=1).encode(sounds[1:2])[0]
    difference = (single.embeddings - together[1]).abs().max()
    assert difference < 1e-5 * together[1].abs().max()


def test_a_file_of_torchopenl3_is_loaded_and_its_bands_are_heard_where_its_front_end_is(tmp_path):
    net = network("torchopenl3", 128)
    others = net.bands.flip(0)
    kernels = {f"speclayer.dft_{part}_kernels": torch.zeros(1) for part in ("real", "imag")}
    state = published_state(net) | kernels | {"speclayer.mel_basis": others}
    path = tmp_path / "torchopenl3_mel128_env_512.pth.tar"
    torch.save(state, path)
    for convention in CONVENTIONS:
        loaded = load_openl3(convention, "env", 128, weights=str(tmp_path))
        kept = OpenL3Network(convention, 128)
        kept.load_state_dict(
            published_state(net) | {"bands": others if convention == "torchopenl3" else kept.bands}
        )
        assert loaded.identity == OpenL3(kept, "env", "none").identity
        assert loaded.facts["weights"] == f"{path.name}, not {path.name} as published"
    names = set(state) - {name for name in state if name.startswith("speclayer")}
    assert "audio_embedding_layer.weight" in names
    assert "conv2d_7.bias" in names
    assert "batch_normalization_8.running_var" in names
    # Eight convolutions of 2 tensors, eight normalisations of 5.
    assert len(names) == 8 * 2 + 8 * 5


def keras_file(h5py, path, net, first):
    """As Keras saves the weights of openl3: layers numbered by what was built before."""
    state = published_state(net)
    layers = {"input_1": {}, "melspectrogram": {}}
    for number in range(1, 9):
        norm = f"batch_normalization_{number}"
        layers[f"batch_normalization_{first + number}"] = {
            "gamma": state[f"{norm}.weight"],
            "beta": state[f"{norm}.bias"],
            "moving_mean": state[f"{norm}.running_mean"],
            "moving_variance": state[f"{norm}.running_var"],
        }
        ours = "audio_embedding_layer" if number == 8 else f"conv2d_{number}"
        layers[ours if number == 8 else f"conv2d_{first + number}"] = {
            "kernel": state[f"{ours}.weight"].permute(2, 3, 1, 0),
            "bias": state[f"{ours}.bias"],
        }
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array(list(layers), dtype="S")
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            names = [f"{layer}/{name}:0" for name in arrays]
            group.attrs["weight_names"] = np.array(names, dtype="S")
            for name, array in zip(names, arrays.values(), strict=True):
                group[name] = array.numpy()


def test_a_file_of_openl3_itself_gives_the_same_network(monkeypatch, tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(tmp_path))
    path = tmp_path / "encoders" / "openl3_audio_mel128_env.h5"
    path.parent.mkdir()
    net = network("openl3", 128)
    keras_file(h5py, path, net, first=40)
    expected = OpenL3(net, "env", "none").identity
    assert load_openl3("openl3", "env", 128, weights=str(path)).identity == expected
    assert load_openl3("openl3", "env", 128).facts["weights"].startswith(f"{path.name}, not ")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_openl3("openl3", "env", 128, weights=str(path))


def test_the_identity_tells_conventions_contents_and_inputs_apart():
    encoders = [
        OpenL3(network(*key), content, "v")
        for key in (("openl3", 256), ("torchopenl3", 256), ("openl3", 128))
        for content in ("env", "music")
    ]
    assert len({encoder.identity for encoder in encoders}) == 6
    assert encoders[1].name == "openl3-music-mel256"
    assert encoders[0].sample_rate == 48000
    assert encoders[0].facts["front end"] == "256 mel bands, Slaney, of magnitudes"
    stable = OpenL3Network("stable-audio-metrics", 256)
    stable.load_state_dict(network("openl3", 256).state_dict())
    assert OpenL3(stable, "env", "v").identity != encoders[0].identity
    assert OpenL3(stable, "env", "v").facts["gain"] == "peak of the mono sound at -1 dB"


def test_unusable_sounds_and_absent_weights_are_named(monkeypatch, tmp_path):
    for sound, reason in (
        (torch.zeros(0), "no-samples"),
        (torch.tensor([0.5, torch.inf]), "not-finite"),
        (torch.tensor([0.5, torch.nan]), "not-finite"),
    ):
        for convention in CONVENTIONS:
            with pytest.raises(AudioError) as caught:
                OpenL3(Ear(convention), "env", "none").encode([sound])
            assert caught.value.reason == reason
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError) as missing:
        load_openl3("stable-audio-metrics", "music")
    name = "torchopenl3_mel256_music_512.pth.tar"
    for words in ("torchopenl3/torchopenl3-models/raw/", str(tmp_path / "encoders" / name)):
        assert words in str(missing.value)
    torch.save({"conv2d_1.weight": torch.zeros(2, 2)}, tmp_path / "other.pth.tar")
    with pytest.raises(CheckpointError, match="does not hold weights of OpenL3Network"):
        load_openl3(weights=str(tmp_path / "other.pth.tar"))
