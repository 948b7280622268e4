import pytest
import torch

from soundwright.core.errors import ConfigError, UserError
from soundwright.core.protocols import TextStates
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.unet import LatentUnet, UnetConfig

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def inputs(encoder):
    text = encoder.encode(["a dog barks", "rain", "", "a cat"])
    stream = torch.Generator().manual_seed(0)
    latents = torch.randn(4, 2, 7, 4, generator=stream)
    return latents, torch.tensor([3, 500, 700, 999]), Conditions(text)


def given(states, mask):
    return Conditions(TextStates(states, mask, states.sum(1)))


def test_it_is_the_unet_of_diffusers_with_a_mask(make_unet, inputs):
    network = make_unet(text_width=12, cross_width=12)
    latents, times, conditions = inputs
    states, mask = conditions.text.states, conditions.text.mask
    rows = [0, 1, 3]
    expected = network.unet(
        latents[rows], times[rows], states[rows], encoder_attention_mask=mask[rows]
    ).sample
    torch.testing.assert_close(network(*inputs)[rows], expected, **TOLERANCE)
    assert not hasattr(network.text_projection, "weight")


def test_the_text_and_the_time_matter(make_unet, inputs):
    network = make_unet()
    latents, times, conditions = inputs
    states, mask = conditions.text.states, conditions.text.mask
    first = network(*inputs)
    other_text = network(latents, times, given(states.flip(0), mask.flip(0)))
    other_time = network(latents, times.flip(0), conditions)
    assert bool(((first - other_text).abs().amax((1, 2, 3)) > 1e-3).all())
    assert bool(((first - other_time).abs().amax((1, 2, 3)) > 1e-3).all())


def test_what_is_masked_does_not_matter_and_neither_do_batch_mates(make_unet, inputs):
    network = make_unet(null_length=2)
    latents, times, conditions = inputs
    states, mask = conditions.text.states, conditions.text.mask
    first = network(*inputs)
    soiled = torch.where(mask[..., None], states, torch.full_like(states, 7.0))
    torch.testing.assert_close(network(latents, times, given(soiled, mask)), first, **TOLERANCE)
    for row, length in enumerate((3, 1, 1, 2)):
        alone = network(
            latents[row : row + 1],
            times[row : row + 1],
            given(states[row : row + 1, :length], mask[row : row + 1, :length]),
        )
        torch.testing.assert_close(alone, first[row : row + 1], **TOLERANCE)


def test_a_dropped_text_is_an_empty_one_and_reads_the_null(make_unet, inputs):
    network = make_unet(null_length=2)
    latents, times, conditions = inputs
    states, mask = conditions.text.states, conditions.text.mask
    drop = torch.tensor([True, False, False, True])
    dropped = network(latents, times, conditions.hide(drop))
    emptied = network(latents, times, given(states, mask & ~drop[:, None]))
    torch.testing.assert_close(dropped, emptied)
    # The null stands where states stand: given as a text, it says the same.
    null = network.null.expand(4, 2, 12)
    as_text = network(latents, times, given(null, torch.ones(4, 2, dtype=torch.bool)))
    torch.testing.assert_close(dropped[[0, 2, 3]], as_text[[0, 2, 3]], **TOLERANCE)
    assert not torch.allclose(dropped[0], network(*inputs)[0], atol=1e-3)


def test_a_learned_null_is_trained_and_a_fixed_one_is_a_weight_all_the_same(make_unet, inputs):
    network = make_unet()
    network(*inputs).square().mean().backward()
    assert bool(network.null.grad.any())
    fixed = make_unet(null="fixed")
    assert "null" not in dict(fixed.named_parameters())
    assert not fixed.state_dict()["null"].any()


@pytest.mark.parametrize("shape", [(1, 4), (6, 4), (7, 4), (9, 5), (8, 1)])
def test_any_length_is_taken(make_unet, encoder, shape):
    text = encoder.encode(["rain"])
    network = make_unet(widths=(8, 8, 16), attention=(False, True, True), heads=(1, 1, 2))
    latents = torch.ones(1, 2, *shape)
    assert network(latents, torch.tensor([5]), Conditions(text)).shape == latents.shape


def test_checkpointing_and_dropout_leave_evaluation_as_it_is(make_unet, inputs):
    plain, other = make_unet(), make_unet(checkpointing=True, dropout=0.5)
    torch.testing.assert_close(plain(*inputs), other(*inputs))
    plain.train()
    other = make_unet(checkpointing=True).train()
    for network in (plain, other):
        network(*inputs).square().mean().backward()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(weight.grad, other.get_parameter(name).grad, msg=name)


def test_the_same_seed_gives_the_same_weights():
    shape = {"widths": (8,), "attention": (True,), "heads": (1,), "groups": 4, "layers": 1}
    config = UnetConfig.read({**shape, "channels": 2, "text_width": 6, "cross_width": 8})
    first, second, other = (LatentUnet(config, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["unet.conv_in.weight"], other["unet.conv_in.weight"])


def test_the_default_is_tangos():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**UnetConfig().diffusers_config())
    assert sum(weight.numel() for weight in unet.parameters()) == 865_933_768


def test_a_configuration_comes_back_from_plain_values():
    for process in ({"kind": "flow", "mean": 0.5}, {"prediction": "epsilon"}):
        config = UnetConfig.read({"process": process})
        assert UnetConfig.read(config.plain()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heads": (5, 10)}, "must have the same number"),
        ({"widths": (), "heads": (), "attention": ()}, "one at least"),
        ({"groups": 48}, "the width 320 must be a multiple of groups=48"),
        ({"heads": (5, 10, 20, 7)}, "must be a multiple of its heads=7"),
        ({"process": {"kind": "noise", "predicts": "v"}}, "predict"),
    ],
)
def test_shapes_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        UnetConfig.read(values)


def test_latents_without_bands_are_latents_of_one_band(make_unet, inputs):
    _, times, conditions = inputs
    network, latents = make_unet(), torch.randn(4, 2, 7)
    found = network(latents, times, conditions)
    assert found.shape == latents.shape
    assert torch.equal(found, network(latents[..., None], times, conditions)[..., 0])


def test_latents_of_another_shape_are_refused(make_unet, inputs):
    _, times, conditions = inputs
    for shape in ((4, 2), (4, 3, 7, 4), (4, 3, 7)):
        with pytest.raises(UserError, match=r"\(2, T, F\)"):
            make_unet()(torch.zeros(shape), times, conditions)
