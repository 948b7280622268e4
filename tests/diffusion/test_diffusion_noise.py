"""Noise, flow and errors against literal versions in float64."""

import math

import pytest
import torch
from diffusers import DDPMScheduler

from soundwright.core.errors import ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.flow import FlowConfig, FlowProcess
from soundwright.diffusion.noise import NoiseConfig, NoiseProcess
from soundwright.diffusion.objective import squared_errors

TIMES = (0, 1, 17, 500, 998, 999)


def literal_tables(steps=1000, first=0.00085, last=0.012):
    """β, α and ᾱ as the paper defines them, one number after another."""
    betas, bars, bar = [], [], 1.0
    for n in range(steps):
        root = math.sqrt(first) + (math.sqrt(last) - math.sqrt(first)) * n / (steps - 1)
        betas.append(root**2)
        bar *= 1 - betas[-1]
        bars.append(bar)
    return betas, bars


def draw(*shape, name="x"):
    return torch.randn(shape, generator=torch_stream(0, name), dtype=torch.float64)


def test_equation_3_targets_and_what_they_mean():
    _, bars = literal_tables()
    latents, noise = draw(len(TIMES), 2, 3, 4), draw(len(TIMES), 2, 3, 4, name="noise")
    times = torch.tensor(TIMES)
    for prediction in ("v", "epsilon"):
        process = NoiseProcess(NoiseConfig(prediction=prediction))
        noisy = process.corrupt(latents, noise, times)
        target = process.target(latents, noise, times)
        for row, n in enumerate(TIMES):
            a, s = math.sqrt(bars[n]), math.sqrt(1 - bars[n])
            torch.testing.assert_close(noisy[row], a * latents[row] + s * noise[row])
            expected = noise[row] if prediction == "epsilon" else a * noise[row] - s * latents[row]
            torch.testing.assert_close(target[row], expected)
        torch.testing.assert_close(process.denoise(target, noisy, times), latents)


def test_tables_are_those_of_diffusers():
    peer = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction",
    )  # fmt: skip
    process = NoiseProcess(NoiseConfig())
    torch.testing.assert_close(process.betas.float(), peer.betas)
    torch.testing.assert_close(process.alphas_bar.float(), peer.alphas_cumprod)
    latents, noise = draw(6, 2, 3, 4).float(), draw(6, 2, 3, 4, name="noise").float()
    times = torch.tensor(TIMES)
    torch.testing.assert_close(
        process.corrupt(latents, noise, times), peer.add_noise(latents, noise, times)
    )
    torch.testing.assert_close(
        process.target(latents, noise, times), peer.get_velocity(latents, noise, times)
    )


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_has_its_form_for_each_prediction(gamma):
    _, bars = literal_tables()
    times = torch.tensor(TIMES)
    latents, errors = draw(6, 5), draw(6, 5, name="error")
    for prediction in ("v", "epsilon"):
        process = NoiseProcess(NoiseConfig(prediction=prediction))
        weights = process.weights(times, gamma)
        noise = draw(6, 5, name="noise")
        noisy, target = (
            process.corrupt(latents, noise, times),
            process.target(latents, noise, times),
        )
        wrong = process.denoise(target + errors, noisy, times)
        for row, n in enumerate(TIMES):
            snr = bars[n] / (1 - bars[n])
            divisor = snr + (prediction == "v")
            assert float(weights[row]) == pytest.approx(min(snr, gamma) / divisor, rel=1e-6)
            # Whatever is predicted, it is min(SNR, γ) on the error of x_0.
            loss = float(weights[row]) * float(errors[row].square().sum())
            of_latents = min(snr, gamma) * float((wrong[row] - latents[row]).square().sum())
            assert loss == pytest.approx(of_latents, rel=1e-6)
    assert process.weights(times, None).tolist() == [1.0] * 6


def test_times_of_noise_are_all_equally_likely():
    process = NoiseProcess(NoiseConfig(steps=4))
    shares = torch.tensor([0, 0.2499, 0.25, 0.5, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert process.times_at(shares).tolist() == [0, 0, 1, 2, 3, 3]
    assert process.level(torch.tensor([0, 3])).tolist() == [0, 0.75]


def test_flow_is_a_straight_way():
    process = FlowProcess(FlowConfig())
    latents, noise = draw(4, 2, 3), draw(4, 2, 3, name="noise")
    times = torch.tensor([0, 0.25, 0.9, 1], dtype=torch.float64)
    noisy, target = process.corrupt(latents, noise, times), process.target(latents, noise, times)
    for row, t in enumerate(times.tolist()):
        torch.testing.assert_close(noisy[row], (1 - t) * latents[row] + t * noise[row])
        # The velocity is the derivative of the way.
        ahead = (1 - t - 1e-3) * latents[row] + (t + 1e-3) * noise[row]
        torch.testing.assert_close((ahead - noisy[row]) / 1e-3, target[row])
    torch.testing.assert_close(process.denoise(target, noisy, times), latents)
    assert process.network_times(times).tolist() == [0, 250, 900, 1000]


def test_times_of_flow_are_logit_normal():
    shares = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    logits = torch.logit(FlowProcess(FlowConfig(mean=0.5, deviation=2.0)).times_at(shares))
    assert float(logits.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(logits.std()) == pytest.approx(2.0, abs=5e-3)
    uniform = FlowProcess(FlowConfig(times="uniform"))
    assert torch.equal(uniform.times_at(shares), shares)
    assert bool(FlowProcess(FlowConfig()).times_at(torch.zeros(1)).isfinite().all())


def test_errors_of_items_and_of_valid_frames():
    prediction, target = draw(3, 2, 5, 4), draw(3, 2, 5, 4, name="target")
    mask = torch.arange(5) < torch.tensor([5, 3, 0])[:, None]
    for reduction in ("mean", "sum"):
        for given in (None, mask):
            found = squared_errors(prediction, target, given, reduction)
            for row, length in enumerate((5, 5, 5) if given is None else (5, 3, 0)):
                difference = (prediction - target)[row, :, :length]
                expected = float(difference.square().sum())
                if reduction == "mean":
                    expected /= max(difference.numel(), 1)
                assert float(found[row]) == pytest.approx(expected, rel=1e-12)


def test_errors_are_computed_in_fp32_under_autocast():
    prediction, target = torch.full((1, 1, 1, 512), 1.01), torch.ones(1, 1, 1, 512)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        error = squared_errors(prediction, target)
        rough = squared_errors(prediction.bfloat16(), target)
    assert error.dtype == rough.dtype == torch.float32
    assert float(error) == pytest.approx(1e-4, rel=1e-3)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(ConfigError, match="at least beta_start"):
        NoiseConfig.read({"beta_start": 0.5, "beta_end": 0.1})
