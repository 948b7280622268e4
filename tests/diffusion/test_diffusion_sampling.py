"""Samplers against diffusers' own loops on shared weights, and against what is known exactly."""

import math
from itertools import pairwise

import diffusers
import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.core.protocols import TextStates
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.guidance import guide
from soundwright.diffusion.noise import NoiseConfig, NoiseProcess
from soundwright.diffusion.sampling import SamplingConfig, sample
from soundwright.diffusion.solvers import build_scheduler, place_times, solve_flow, solve_noise

SHAPE = (2, 6, 4)
SEEDS = (11, 12, 13)
TEXTS = ("a dog barks", "rain", "a cat")
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
NOISE = ("ddpm", "ddim", "dpm++", "unipc")
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def noise_of(seeds):
    return torch.stack([torch.randn(SHAPE, generator=torch_stream(s, "latents")) for s in seeds])


@torch.no_grad()
def run_peer(network, scheduler, text, seeds, steps, guidance, **extra):
    """The loop of Tango's code and of diffusers' pipelines."""
    text = text.text
    states = torch.cat([text.states, text.states])
    mask = torch.cat([torch.zeros_like(text.mask), text.mask])
    states[: len(seeds)] = 0
    states[: len(seeds), :1] = network.null
    mask[: len(seeds), 0] = True
    scheduler.set_timesteps(steps)
    latents = noise_of(seeds) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        rows = scheduler.scale_model_input(torch.cat([latents] * 2), t)
        states_read = network.text_projection(states)
        predicted = network.unet(rows, t, states_read, encoder_attention_mask=mask).sample
        without, with_text = predicted.chunk(2)
        predicted = without + guidance * (with_text - without)
        latents = scheduler.step(predicted, t, latents, **extra).prev_sample
    return latents


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "peer", "options"),
    [
        ("ddpm", "leading", 5, "DDPMScheduler", {"steps_offset": 1, "clip_sample": False}),
        ("ddpm", "trailing", 6, "DDPMScheduler", {"clip_sample": False}),
        ("ddim", "trailing", 5, "DDIMScheduler", {"clip_sample": False}),
        ("dpm++", "trailing", 7, "DPMSolverMultistepScheduler", {}),
        ("unipc", "trailing", 7, "UniPCMultistepScheduler", {}),
    ],
)
def test_latents_equal_those_of_diffusers(
    make_unet, encoder, prediction, sampler, spacing, steps, peer, options
):
    network = make_unet(process={"prediction": prediction})
    text = Conditions(encoder.encode(TEXTS))
    named = "v_prediction" if prediction == "v" else "epsilon"
    scheduler = getattr(diffusers, peer)(
        **SCHEDULE, prediction_type=named, timestep_spacing=spacing, **options
    )
    streams = [torch_stream(seed, "ancestral") for seed in SEEDS]
    extra = {"generator": streams} if sampler == "ddpm" else {}
    expected = run_peer(network, scheduler, text, SEEDS, steps, 3.0, **extra)
    config = SamplingConfig(sampler=sampler, steps=steps, spacing=spacing)
    found = sample(network, SHAPE, text, SEEDS, config)
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddpm_is_the_ddim_of_genau_whose_eta_is_one(make_unet, encoder, spacing):
    schedule = {"beta_start": 0.0015, "beta_end": 0.0195}
    network = make_unet(process={"prediction": "epsilon", **schedule})
    text = Conditions(encoder.encode(TEXTS))
    scheduler = diffusers.DDIMScheduler(
        **schedule,
        beta_schedule="scaled_linear",
        timestep_spacing=spacing,
        steps_offset=int(spacing == "leading"),
        clip_sample=False,
    )
    streams = [torch_stream(seed, "ancestral") for seed in SEEDS]
    extra = {"generator": streams, "eta": 1.0}
    expected = run_peer(network, scheduler, text, SEEDS, 10, 3.5, **extra)
    config = SamplingConfig(sampler="ddpm", steps=10, guidance=3.5, spacing=spacing)
    torch.testing.assert_close(sample(network, SHAPE, text, SEEDS, config), expected, **CLOSE)


def test_flow_equals_diffusers(make_unet, encoder):
    network = make_unet(process={"kind": "flow"})
    text, steps = Conditions(encoder.encode(TEXTS)), 5
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    sigmas = torch.linspace(1, 1 / steps, steps).tolist()
    fixed = scheduler.set_timesteps
    scheduler.set_timesteps = lambda _: fixed(sigmas=sigmas)
    scheduler.scale_model_input = lambda latents, _: latents
    scheduler.init_noise_sigma = 1.0
    expected = run_peer(network, scheduler, text, SEEDS, steps, 3.0)
    found = sample(network, SHAPE, text, SEEDS, SamplingConfig(sampler="euler", steps=steps))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("steps", [20, 1000])
def test_ddpm_is_equations_5_to_8(steps):
    config = NoiseConfig(prediction="epsilon", steps=steps)
    process = NoiseProcess(config)

    def predict(latents, time):
        return 0.3 * latents + 0.001 * time

    x = torch.randn(2, 1, 3, 1, generator=torch_stream(0, "x"), dtype=torch.float64)
    found = solve_noise(
        build_scheduler("ddpm", config, steps, "trailing"),
        predict,
        x.float(),
        [torch_stream(seed, "chance") for seed in (1, 2)],
    )
    streams = [torch_stream(seed, "chance") for seed in (1, 2)]
    betas, bars = process.betas.tolist(), process.alphas_bar.tolist()
    for n in reversed(range(steps)):
        mean = x - betas[n] / math.sqrt(1 - bars[n]) * predict(x, n)
        x = mean / math.sqrt(1 - betas[n])
        if n:
            z = torch.stack([torch.randn(1, 3, 1, generator=stream) for stream in streams])
            x = x + math.sqrt((1 - bars[n - 1]) / (1 - bars[n]) * betas[n]) * z
    torch.testing.assert_close(found.double(), x, atol=2e-3, rtol=1e-3)


def gaussian_predictor(process, mean, deviation):
    """The best possible v-prediction where latents are N(mean, deviation²)."""

    def predict(noisy, time):
        bar = float(process.alphas_bar[int(time)])
        a, s = math.sqrt(bar), math.sqrt(1 - bar)
        gain = a * deviation**2 / (bar * deviation**2 + s**2)
        clean = mean + gain * (noisy - a * mean)
        return a * (noisy - a * clean) / s - s * clean

    return predict


def test_ancestral_steps_sample_a_known_distribution():
    config = NoiseConfig()
    predict = gaussian_predictor(NoiseProcess(config), mean=0.7, deviation=0.5)
    noise = torch.randn(1, 1, 20_000, 1, generator=torch_stream(3, "noise"))
    scheduler = build_scheduler("ddpm", config, 200, "trailing")
    latents = solve_noise(scheduler, predict, noise, [torch_stream(4, "chance")])
    assert float(latents.mean()) == pytest.approx(0.7, abs=0.02)
    assert float(latents.std()) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("deviation", [1.0, 0.5, 0.1])
@pytest.mark.parametrize(("sampler", "worst"), [("dpm++", 0.04), ("unipc", 0.04), ("ddim", 0.2)])
def test_a_flow_of_probability_ends_where_it_must(sampler, worst, deviation):
    config = NoiseConfig()
    process = NoiseProcess(config)
    predict = gaussian_predictor(process, 0.7, deviation)
    noise = torch.linspace(-3, 3, 13).view(1, 1, -1, 1)
    # The flow of a Gaussian keeps the place of each number among the others.
    bar = float(process.alphas_bar[-1])
    spread = math.sqrt(bar * deviation**2 + 1 - bar)
    expected = 0.7 + deviation * (noise - math.sqrt(bar) * 0.7) / spread
    scheduler = build_scheduler(sampler, config, 25, "quadratic")
    latents = solve_noise(scheduler, predict, noise, [])
    torch.testing.assert_close(latents, expected, atol=3 * deviation * worst, rtol=0)
    # Even steps, which end with a long one, lose what varies finely.
    even = solve_noise(build_scheduler(sampler, config, 25, "trailing"), predict, noise, [])
    assert float(even.std() / expected.std()) < float(latents.std() / expected.std()) + 0.01


@pytest.mark.parametrize("spacing", ["quadratic", "trailing", "leading"])
def test_times_fall_and_none_is_out_of_range(spacing):
    for steps in (*range(1, 130), 200, 201, 999, 1000):
        times = place_times(1000, steps, spacing).tolist()
        assert len(times) == steps
        assert max(times) <= 999
        assert times[-1] >= 0
        assert all(late > early for late, early in pairwise(times))
        if spacing != "leading":
            assert times[0] == 999
        if spacing == "quadratic" and steps > 1:
            assert times[-1] == 0
    assert place_times(1000, 200, "leading").tolist() == list(range(996, 0, -5))
    assert place_times(1000, 1000, spacing).tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize("sampler", NOISE[1:])
def test_noise_falls_to_none(sampler):
    sigmas = build_scheduler(sampler, NoiseConfig(), 61, "quadratic").sigmas
    assert len(sigmas) == 62
    assert float(sigmas[-1]) == 0
    assert all(more > less for more, less in pairwise(sigmas.tolist()))


def test_midpoint_steps_are_of_second_order():
    def error(sampler, steps):
        found = solve_flow(sampler, lambda x, _: 2 * x, torch.ones(1), steps)
        return abs(float(found) - math.exp(-2))

    assert error("euler", 32) / error("euler", 64) == pytest.approx(2, abs=0.1)
    assert error("midpoint", 32) / error("midpoint", 64) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("sampler", [*NOISE, "euler", "midpoint"])
def test_an_item_depends_on_its_seed_and_text_alone(make_unet, encoder, sampler):
    process = {"kind": "noise" if sampler in NOISE else "flow"}
    network, config = make_unet(process=process), SamplingConfig(sampler=sampler, steps=3)
    text = Conditions(encoder.encode(TEXTS))
    together = sample(network, SHAPE, text, SEEDS, config)
    torch.manual_seed(5)
    assert torch.equal(together, sample(network, SHAPE, text, SEEDS, config))
    for row, one in enumerate(TEXTS):
        alone = sample(
            network, SHAPE, Conditions(encoder.encode([one])), SEEDS[row : row + 1], config
        )
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)
    other = sample(network, SHAPE, text, (11, 12, 14), config)
    torch.testing.assert_close(other[:2], together[:2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(other[2], together[2], atol=0.1)


def test_negative_texts_and_no_guidance(make_unet, encoder):
    network, text = make_unet(), Conditions(encoder.encode(TEXTS))
    config = SamplingConfig(steps=4)
    plain = sample(network, SHAPE, text, SEEDS, config)
    empty = Conditions(encoder.encode(["", "", "x x x x"]))
    negative = sample(network, SHAPE, text, SEEDS, config, negative=empty)
    torch.testing.assert_close(negative[:2], plain[:2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(negative[2], plain[2], atol=1e-2)
    without = sample(network, SHAPE, text, SEEDS, SamplingConfig(steps=4, guidance=1))
    itself = sample(network, SHAPE, text, SEEDS, config, negative=text)
    torch.testing.assert_close(itself, without, atol=1e-5, rtol=1e-5)
    nothing = text.nulls()
    torch.testing.assert_close(
        sample(network, SHAPE, text, SEEDS, SamplingConfig(steps=4, guidance=0)),
        sample(network, SHAPE, nothing, SEEDS, SamplingConfig(steps=4, guidance=1)),
        atol=1e-5,
        rtol=1e-5,
    )


def test_guidance_is_its_formula_and_can_be_taken_back():
    stream = torch_stream(0, "x")
    c, u = torch.randn(2, 3, 2, 5, 4, generator=stream, dtype=torch.float64)
    guided = u + 4 * (c - u)
    torch.testing.assert_close(guide(c, u, 4.0), guided)
    for row in range(3):
        factor = c[row].std() / guided[row].std()
        expected = 0.7 * guided[row] * factor + 0.3 * guided[row]
        torch.testing.assert_close(guide(c, u, 4.0, 0.7)[row], expected)


def test_progress_counts_evaluations(make_unet, encoder):
    seen = []
    network = make_unet(process={"kind": "flow"})
    config = SamplingConfig(sampler="midpoint", steps=3)
    text = Conditions(encoder.encode(["rain"]))
    sample(network, SHAPE, text, [1], config, progress=lambda *now: seen.append(now))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_latents_can_be_trained_on(make_unet, encoder):
    network, text = make_unet(), Conditions(encoder.encode(["rain"]))
    latents = sample(network, SHAPE, text, [1], SamplingConfig(steps=1))
    network(latents, torch.tensor([1]), text).sum().backward()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "0 sampling steps"),
        ({"guidance": -1}, "guidance is -1"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"rescale": 2}, "rescale is 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        SamplingConfig(**values)


def test_requests_that_cannot_be_are_refused(make_unet, encoder):
    network, text, config = make_unet(), Conditions(encoder.encode(TEXTS)), SamplingConfig(steps=2)
    with pytest.raises(UserError, match="2 seeds for 3 texts"):
        sample(network, SHAPE, text, [1, 2], config)
    with pytest.raises(UserError, match="1 negative texts"):
        sample(network, SHAPE, text, SEEDS, config, negative=Conditions(encoder.encode(["rain"])))
    for shape in ((3, 6, 4), (2, 0, 4), (2,), (2, 6, 4, 1)):
        with pytest.raises(UserError, match="cannot be made"):
            sample(network, shape, text, SEEDS, config)
    wide = Conditions(TextStates(torch.zeros(3, 1, 13), text.text.mask[:, :1], torch.zeros(3, 13)))
    with pytest.raises(UserError, match="width 13"):
        sample(network, SHAPE, wide, SEEDS, config)
    with pytest.raises(UserError, match="1001 sampling steps"):
        sample(network, SHAPE, text, SEEDS, SamplingConfig(steps=1001))
    with pytest.raises(UserError, match="'euler' cannot run a model of noise"):
        sample(network, SHAPE, text, SEEDS, SamplingConfig(sampler="euler"))
    flow = make_unet(process={"kind": "flow"})
    with pytest.raises(UserError, match="'dpm\\+\\+' cannot run a model of flow"):
        sample(flow, SHAPE, text, SEEDS, SamplingConfig(sampler="dpm++"))
    with torch.no_grad():
        network.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        sample(network, SHAPE, text, SEEDS, config)
