import pytest
import torch

from soundwright.codecs.discriminators import Discriminator, DiscriminatorConfig
from soundwright.codecs.losses import discriminator_hinge, feature_matching, generator_hinge
from soundwright.core.errors import ConfigError
from soundwright.core.seeding import initialising, torch_stream


def build(channels=1, **values):
    values = {"fft_sizes": (256, 128), "filters": 4, "period_filters": 2, **values}
    with initialising(0, "test"):
        return Discriminator(DiscriminatorConfig.read(values), channels)


def noise(*shape, seed=0):
    return 0.3 * torch.randn(*shape, generator=torch_stream(seed, "test"))


def test_the_defaults_are_encodecs():
    with initialising(0, "test"):
        module = Discriminator(DiscriminatorConfig())
    assert len(module.parts) == 5
    sizes = [
        (tuple(layer.weight.shape), layer.stride, layer.dilation)
        for layer in module.parts[0].layers
    ]
    assert sizes == [
        ((32, 2, 3, 9), (1, 1), (1, 1)),
        ((32, 32, 3, 9), (1, 2), (1, 1)),
        ((32, 32, 3, 9), (1, 2), (2, 1)),
        ((32, 32, 3, 9), (1, 2), (4, 1)),
        ((32, 32, 3, 3), (1, 1), (1, 1)),
    ]
    names = {name for name, _ in module.parts[0].named_parameters()}
    assert "layers.0.weight" in names
    assert "layers.1.parametrizations.weight.original0" in names


@pytest.mark.parametrize("channels", [1, 2])
def test_shapes(channels):
    module = build(channels, periods=(2, 3))
    verdicts = module(noise(3, channels, 4000))
    assert len(verdicts) == 4
    frames = (4000 - 256) // 64 + 1
    assert [part.shape for part in verdicts[0].features] == [
        (3, 4, frames, 129),
        (3, 4, frames, 65),
        (3, 4, frames, 33),
        (3, 4, frames, 17),
        (3, 4, frames, 17),
    ]
    assert verdicts[0].logits.shape == (3, 1, frames, 17)
    assert verdicts[3].logits.shape == (3, 1, 17, 3)
    assert [part.shape[1] for part in verdicts[3].features] == [2, 8, 32, 64, 64]


def test_verdicts_do_not_depend_on_batch_mates_and_split():
    module = build(periods=(2,))
    waveform = noise(3, 1, 2000)
    for together, alone in zip(module(waveform), module(waveform[2:]), strict=True):
        _, rest = together.split(2)
        torch.testing.assert_close(rest.logits, alone.logits)
        for left, right in zip(rest.features, alone.features, strict=True):
            torch.testing.assert_close(left, right)


def test_gradients_reach_the_waveform_and_every_weight():
    module = build(periods=(2,))
    real, fake = noise(2, 1, 2000), noise(2, 1, 2000, seed=1).requires_grad_()
    on_real, on_fake = module(real), module(fake)
    (generator_hinge(on_fake) + feature_matching(on_real, on_fake)).backward(retain_graph=True)
    assert (fake.grad != 0).float().mean() > 0.9
    module.zero_grad()
    # Of recordings alone: over both, the last bias would have a gradient of -1 + 1.
    generator_hinge(on_real).backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_clips_shorter_than_a_window_are_judged_too():
    verdicts = build(periods=(3,))(noise(1, 1, 100))
    assert all(verdict.logits.isfinite().all() for verdict in verdicts)


def test_the_normalised_stft_gives_noise_unit_variance_at_every_size():
    module = build(fft_sizes=(128, 1024))
    waveform = noise(1, 1, 100_000) / 0.3
    for part in module.parts:
        inner = part._spectrogram(waveform)[..., 1:-1]
        assert (inner.square().mean() * 2).item() == pytest.approx(1.0, rel=0.03)


def test_a_discriminator_learns_to_tell_noise_from_a_tone():
    module = build()
    tone = torch.sin(torch.arange(2000) * 0.3).expand(4, 1, -1)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for step in range(25):
        loss = discriminator_hinge(module(tone), module(noise(4, 1, 2000, seed=step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_bf16_autocast_changes_verdicts_little():
    module = build()
    waveform = noise(2, 1, 2000)
    wanted = module(waveform)
    with torch.autocast("cpu", torch.bfloat16):
        got = module(waveform)
    assert got[0].logits.dtype == torch.bfloat16
    torch.testing.assert_close(got[0].logits.float(), wanted[0].logits, atol=0.02, rtol=0.05)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"fft_sizes": []}, "no discriminator"),
        ({"fft_sizes": [30]}, "multiple of 4"),
        ({"periods": [1]}, "period"),
        ({"filter": 3}, "filters"),
    ],
)
def test_bad_configuration_says_what_is_wrong(values, word):
    with pytest.raises(ConfigError, match=word):
        DiscriminatorConfig.read(values)
