from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from soundwright.audio.mel import PRESETS, LogMel, MelConfig, mel_bands, mirror, patches
from soundwright.core.errors import ConfigError
from soundwright.core.seeding import torch_stream

VGGISH = LogMel(PRESETS["vggish"])


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch_stream(0, "mel"))


def test_vggish_bands_equal_the_original_module() -> None:
    # Measured on the original numpy file: mel_features.spectrogram_to_mel_matrix.
    bands = mel_bands(PRESETS["vggish"])
    assert bands.shape == (257, 64)
    assert float(bands.sum()) == pytest.approx(230.9135991608, abs=1e-9)
    assert float(bands.max()) == pytest.approx(0.9961910175, abs=1e-9)
    assert int((bands > 0).sum()) == 461
    rows = bands.sum(1).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (5, 239)


def test_vggish_values_equal_the_original_module() -> None:
    time_s = torch.arange(16000, dtype=torch.float64) / 16000
    mel = VGGISH(torch.sin(2 * torch.pi * 1000 * time_s).float())
    assert mel.shape == (64, 98)
    assert int(mel.mean(1).argmax()) == 19
    assert float(mel[19].max()) == pytest.approx(4.81111773, abs=1e-4)
    assert float(mel.mean()) == pytest.approx(-3.42961870, abs=1e-4)
    assert torch.allclose(VGGISH(torch.zeros(16000)), torch.tensor(-4.605170186))
    impulse = torch.zeros(16000)
    impulse[8000] = 1.0
    mel = VGGISH(impulse)
    touched = (mel > -4.6).any(0).nonzero().flatten().tolist()
    assert touched == [48, 49]
    assert float(mel.max()) == pytest.approx(2.09187515, abs=1e-4)


@pytest.mark.parametrize(
    ("samples", "count"), [(15599, 0), (15600, 1), (30959, 1), (30960, 2), (160000, 10)]
)
def test_vggish_patches(samples: int, count: int) -> None:
    cut = patches(VGGISH(noise(2, samples)))
    assert cut.shape == (2, count, 64, 96)
    if count > 1:
        assert torch.equal(cut[:, 1], VGGISH(noise(2, samples))[..., 96:192])


def test_tango_front_end_literally() -> None:
    # Slaney bands of equal area on the magnitude, ln(max(x, 1e-5)), half a window mirrored.
    config = PRESETS["tango"]
    signal = noise(163840)
    mel = LogMel(config)(signal)
    assert mel.shape == (64, 1024)
    spectrum = torch.stft(
        signal.double(), 1024, 160, window=torch.hann_window(1024, dtype=torch.float64),
        pad_mode="reflect", return_complex=True,
    ).abs()  # fmt: skip
    expected = (mel_bands(config).T @ spectrum).clamp(min=1e-5).log()
    assert (mel - expected[:, :1024]).abs().max() < 1e-3


def test_genau_front_end_literally() -> None:
    # The same bands; 432 samples mirrored, no centring: as many frames as whole hops.
    signal = noise(163840)
    mel = LogMel(PRESETS["genau"])(signal)
    padded = torch.nn.functional.pad(signal.double()[None], (432, 432), mode="reflect")[0]
    spectrum = torch.stft(
        padded, 1024, 160, window=torch.hann_window(1024, dtype=torch.float64), center=False,
        return_complex=True,
    ).abs()  # fmt: skip
    expected = (mel_bands(PRESETS["tango"]).T @ spectrum).clamp(min=1e-5).log()
    assert mel.shape == expected.shape == (64, 1024)
    assert (mel - expected).abs().max() < 1e-3


def test_the_frames_of_genau_are_those_of_tango_half_a_hop_later() -> None:
    signal = noise(16000)
    genau, tango = LogMel(PRESETS["genau"])(signal), LogMel(PRESETS["tango"])(signal[80:])
    assert torch.allclose(genau[:, 4:90], tango[:, 4:90], atol=1e-4)
    assert PRESETS["genau"].placed_as(PRESETS["tango"]) == PRESETS["tango"]
    impulse = torch.zeros(1600)
    impulse[800 + 80] = 1.0  # the middle of hop 5
    spectrum = LogMel(PRESETS["genau"]).spectrum(impulse).sum(0)
    assert int(spectrum.argmax()) == 5
    assert torch.allclose(spectrum[4], spectrum[6], rtol=1e-3)


@pytest.mark.parametrize(("samples", "count"), [(1, 0), (159, 0), (160, 1), (319, 1), (320, 2)])
def test_whole_hops_are_as_many_frames(samples: int, count: int) -> None:
    assert PRESETS["genau"].frames(samples) == count
    assert LogMel(PRESETS["genau"])(noise(2, samples)).shape == (2, 64, count)


def test_slaney_bands_literally() -> None:
    # The scale of Slaney's toolbox: 200/3 Hz a step below 1 kHz, then 27 steps to 6.4 kHz.
    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    corners = [hertz(step * top / 65) for step in range(66)]
    bands = mel_bands(PRESETS["tango"])
    for band in (0, 10, 40, 63):
        low, centre, high = corners[band : band + 3]
        for index in range(513):
            at = index * 16000 / 1024
            height = max(0.0, min((at - low) / (centre - low), (high - at) / (high - centre)))
            assert float(bands[index, band]) == pytest.approx(2 * height / (high - low), abs=1e-12)


def test_passt_front_end_literally() -> None:
    signal = noise(32000)
    mel = LogMel(PRESETS["passt"])(signal)
    emphasised = (signal[1:] - 0.97 * signal[:-1]).double()
    window = torch.hann_window(800, periodic=False, dtype=torch.float64)
    spectrum = torch.stft(
        emphasised, 1024, 320, 800, window, pad_mode="reflect", return_complex=True
    )
    # Kaldi's bank: triangles that are straight on the scale 1127 ln(1 + f / 700).
    points = 1127 * torch.log1p(torch.arange(513, dtype=torch.float64) * 31.25 / 700)
    edges = torch.linspace(0, 1127 * float(np.log1p(15000 / 700)), 130, dtype=torch.float64)
    width = edges[1]
    bands = (1 - (points[:, None] - edges[1:-1]).abs() / width).clamp(min=0)
    expected = ((bands.T @ spectrum.abs().square() + 1e-5).log() + 4.5) / 5
    assert mel.shape == expected.shape == (128, 100)
    assert (mel - expected).abs().max() < 1e-3


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_frames_are_as_stated_and_batch_mates_do_not_matter(name: str) -> None:
    front_end = LogMel(PRESETS[name])
    for samples in (800, 5000, 16001):
        batch = noise(3, 2, samples)
        mel = front_end(batch)
        assert mel.shape == (3, 2, PRESETS[name].n_mels, PRESETS[name].frames(samples))
        assert torch.allclose(mel[1, 0], front_end(batch[1, 0]), atol=1e-4)
        assert torch.isfinite(mel).all()


@pytest.mark.parametrize("samples", [1, 2, 5, 300])
def test_very_short_signals(samples: int) -> None:
    mel = LogMel(PRESETS["tango"])(noise(1, samples))
    assert mel.shape == (1, 64, -(-samples // 160))
    assert VGGISH(noise(1, samples)).shape == (1, 64, 0)


def test_mirror_repeats_reflection() -> None:
    assert mirror(torch.tensor([1.0, 2.0, 3.0]), 2).tolist() == [3, 2, 1, 2, 3, 2, 1]
    once = mirror(torch.tensor([[1.0, 2.0, 3.0]]), 5)
    assert once.tolist() == [[2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2]]
    assert mirror(torch.tensor([4.0]), 3).tolist() == [4] * 7
    with pytest.raises(ValueError, match="without samples"):
        mirror(torch.zeros(0), 2)


def test_logarithms_and_powers() -> None:
    signal = noise(4000)
    linear = LogMel(MelConfig(log="none"))(signal)
    decibels = LogMel(MelConfig(log="decibel"))(signal)
    assert torch.allclose(decibels, 20 * linear.clamp(min=1e-5).log10(), atol=1e-4)
    squared = LogMel(MelConfig(power=2, log="decibel", floor=1e-10))
    assert torch.allclose(squared.spectrum(signal), LogMel(MelConfig()).spectrum(signal) ** 2)
    assert float(squared(torch.zeros(4000)).max()) == pytest.approx(-100, abs=1e-3)


def test_gradients_are_finite_in_silence_and_noise() -> None:
    for name in PRESETS:
        signal = torch.cat([torch.zeros(3000), noise(3000)]).requires_grad_()
        LogMel(PRESETS[name])(signal).sum().backward()
        assert signal.grad is not None
        assert torch.isfinite(signal.grad).all()
        assert signal.grad.abs().max() > 0


def test_autocast_does_not_change_the_result() -> None:
    signal = noise(4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = LogMel(PRESETS["tango"])(signal)
    assert torch.equal(mixed, LogMel(PRESETS["tango"])(signal))


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ConfigError, match="exceeds n_fft"):
        MelConfig.read({"n_fft": 512, "win_length": 1024})
    with pytest.raises(ConfigError, match="does not lie within"):
        MelConfig.read({"f_max": 9000.0})
    for hop in (161, 1026):
        with pytest.raises(ConfigError, match="reflect_hops: win_length 1024 does not exceed"):
            MelConfig.read({"padding": "reflect_hops", "hop_length": hop})
    config = PRESETS["passt"]
    assert MelConfig.read(config.plain()) == config
