import warnings

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from soundwright.codecs.discriminators import Verdict
from soundwright.codecs.losses import (
    LogMelError,
    MelLossConfig,
    MultiResolutionStftLoss,
    MultiScaleMelLoss,
    StftLossConfig,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    waveform_l1,
)
from soundwright.core.errors import ConfigError
from soundwright.core.seeding import torch_stream


def sounds(items=2, channels=1, samples=4000, seed=0):
    stream = torch_stream(seed, "test")
    real = 0.3 * torch.randn(items, channels, samples, generator=stream)
    return real, real + 0.1 * torch.randn(items, channels, samples, generator=stream)


def spectrum(signal, size, *, normalised):
    """|STFT|^2 in float64 of one signal, [F, T], mirrored by (size - hop) / 2 at both ends."""
    hop = size // 4
    side = (size - hop) // 2
    padded = np.pad(signal.astype(np.float64), side, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    if normalised:
        window /= np.sqrt((window**2).sum())
    starts = range(0, len(padded) - size + 1, hop)
    frames = np.stack([padded[start : start + size] * window for start in starts])
    return (np.abs(np.fft.rfft(frames)) ** 2).T


def bank(size, mels, lowest):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mel_filter_bank(size // 2 + 1, mels, lowest, 8000, 16000, mel_scale="htk").T


def verdicts(*values):
    return [
        Verdict(torch.tensor(logits), tuple(torch.tensor(layer) for layer in layers))
        for logits, layers in values
    ]


def test_hinge_losses_of_known_logits():
    real = verdicts(([[2.0, 0.5]], ()), ([[-1.0, 0.0]], ()))
    fake = verdicts(([[-3.0, 0.5]], ()), ([[0.0, 1.0]], ()))
    # Real: mean(0, .5) and mean(2, 1); fake: mean(0, 1.5) and mean(1, 2).
    assert discriminator_hinge(real, fake).item() == pytest.approx((0.25 + 0.75 + 1.5 + 1.5) / 2)
    assert generator_hinge(fake).item() == pytest.approx((1.25 - 0.5) / 2)


def test_feature_matching_is_relative_to_the_recordings_features():
    real = verdicts(([0.0], ([[1.0, -3.0]], [[100.0, 300.0]])))
    fake = verdicts(([0.0], ([[2.0, -3.0]], [[100.0, 200.0]])))
    assert feature_matching(real, fake).item() == pytest.approx((0.5 / 2 + 50 / 200) / 2)


def test_mel_loss_equals_a_literal_version_in_float64():
    real, fake = sounds(channels=2)
    total = 0.0
    for size in (64, 128, 256, 512, 1024):
        left, right = (
            np.stack(
                [
                    bank(size, 64, 64.0) @ spectrum(signal, size, normalised=True)
                    for signal in part.flatten(0, 1).numpy()
                ]
            )
            for part in (real, fake)
        )
        total += np.abs(left - right).mean()
        total += ((np.log10(left + 1e-5) - np.log10(right + 1e-5)) ** 2).mean()
    loss = MultiScaleMelLoss(MelLossConfig(), 16000)(real, fake)
    assert loss.item() == pytest.approx(total / 10, rel=1e-4)


def test_stft_loss_equals_a_literal_version_in_float64():
    real, fake = sounds()
    total = 0.0
    for size in (256, 1024):
        left, right = (
            np.sqrt([spectrum(signal, size, normalised=False) for signal in part[:, 0].numpy()])
            for part in (real, fake)
        )
        distances = np.sqrt(((left - right) ** 2).sum((1, 2)))
        total += (distances / np.sqrt((left**2).sum((1, 2)))).mean()
        total += np.abs(np.log(left) - np.log(right)).mean()
    loss = MultiResolutionStftLoss(StftLossConfig(fft_sizes=(256, 1024)))(real, fake)
    assert loss.item() == pytest.approx(total / 2, rel=1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        MultiScaleMelLoss(MelLossConfig(fft_sizes=(64, 256)), 16000),
        MultiResolutionStftLoss(StftLossConfig(fft_sizes=(64, 256))),
        LogMelError(16000),
        waveform_l1,
    ],
    ids=["mel", "stft", "log-mel-error", "waveform"],
)
def test_what_lies_beyond_a_clips_end_does_not_count(loss):
    real, fake = sounds(items=2, samples=4096)
    mask = torch.ones(2, 4096, dtype=torch.bool)
    mask[1, 2048:] = False
    real, fake = real * mask[:, None], fake * mask[:, None]
    wanted = loss(real, fake, mask)
    # Windows that reach over the end may see what follows; the last ones beyond do not count.
    changed = fake.clone()
    changed[1, 0, 2048 + 1024 :] = 1.0
    torch.testing.assert_close(loss(real, changed, mask), wanted)
    assert loss(real, changed) > 1.5 * wanted
    whole = torch.ones_like(mask)
    torch.testing.assert_close(loss(real, fake, whole), loss(real, fake))


def test_spectral_losses_bear_silence_and_clips_shorter_than_a_window():
    silence = torch.zeros(1, 1, 50)
    fake = torch.zeros(1, 1, 50, requires_grad=True)
    for loss in (
        MultiScaleMelLoss(MelLossConfig(), 16000),
        MultiResolutionStftLoss(StftLossConfig()),
    ):
        value = loss(silence, fake)
        (gradient,) = torch.autograd.grad(value, fake)
        assert value.item() == 0
        assert gradient.isfinite().all()


def test_log_mel_error_of_a_gain_is_its_logarithm():
    real, _ = sounds()
    assert LogMelError(16000)(real, real * 0.5).item() == pytest.approx(np.log(2), rel=1e-3)


def test_spectral_losses_compute_in_fp32_under_autocast():
    real, fake = sounds()
    for loss in (
        MultiScaleMelLoss(MelLossConfig(), 16000),
        MultiResolutionStftLoss(StftLossConfig()),
        LogMelError(16000),
    ):
        wanted = loss(real, fake)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(real, fake), wanted)


def test_the_logarithmic_term_may_be_absolute():
    real, _ = sounds(samples=8192)
    config = MelLossConfig(
        fft_sizes=(1024,), mels=16, floor=1e-9, alpha=1e6, log_distance="absolute"
    )
    # A gain of 1/10 is 2 in log10 of power; the linear term is drowned by alpha.
    assert MultiScaleMelLoss(config, 16000)(real, real / 10).item() == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("sizes", [[], [30], [8]])
def test_bad_configuration_names_the_key(sizes):
    for config in (MelLossConfig, StftLossConfig):
        with pytest.raises(ConfigError, match="fft_sizes"):
            config.read({"fft_sizes": sizes})
