"""Int8 layers against the same product in float64, with the rounding written out."""

import math

import pytest
import torch
from torch import nn

from soundwright.nn import quantisation
from soundwright.nn.quantisation import LEVELS, Int8Linear, quantise_rows

KERNELS = ("fbgemm", "weight only")
needs_fbgemm = pytest.mark.skipif(
    not quantisation._has_fbgemm(), reason="inputs are rounded to bf16 where there is no fbgemm"
)


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch):
    """Each product that a build of PyTorch may have to work with."""
    if request.param == "weight only":
        monkeypatch.setattr(quantisation, "_has_fbgemm", lambda: False)
    elif not quantisation._has_fbgemm():
        pytest.skip("this build has no fbgemm")
    return request.param


def linear(inputs=96, outputs=64, bias=False, seed=1):
    layer = nn.Linear(inputs, outputs, bias=bias)
    stream = torch.Generator().manual_seed(seed)
    # Outputs of very different size: one scale for all of them would be far off.
    sizes = torch.logspace(-3, 1, outputs)[:, None]
    layer.weight.data = torch.randn(outputs, inputs, generator=stream) * sizes
    if bias:
        layer.bias.data = torch.randn(outputs, generator=stream)
    return layer


def draw(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def input_levels():
    return LEVELS if torch.cpu._is_vnni_supported() else LEVELS // 2


def literal(x, weight):
    """The product of rows and channels that are rounded at their own scales, in float64."""
    x, weight = x.double(), weight.double()
    row = x.abs().amax(1, keepdim=True) / input_levels()
    channel = weight.abs().amax(1, keepdim=True) / LEVELS
    rounded = torch.where(row > 0, (x / row).round() * row, 0.0)
    return rounded @ ((weight / channel).round() * channel).T


def bound(x, weight, kernel):
    """How far the result may be from the exact product, entry by entry."""
    x, weight = x.double(), weight.double()
    half_channel = weight.abs().amax(1) / LEVELS / 2
    if kernel == "fbgemm":
        in_x = x.abs().amax(1, keepdim=True) / input_levels() / 2
        in_x = in_x.expand_as(x)
        after = 1e-6
    else:
        # bf16 keeps 8 bits: of the inputs, of the channels' scales, of the result.
        in_x = x.abs() * 2**-9
        after = 2**-7
    of_weight = x.abs().sum(1, keepdim=True) * half_channel
    of_x = in_x @ (weight.abs() + half_channel[:, None]).T
    return of_weight + of_x + after * (x.abs() @ weight.abs().T)


def test_rows_are_rounded_to_the_nearest_of_their_own_levels():
    matrix = draw(7, 33) * torch.logspace(-6, 6, 7)[:, None]
    matrix[3] = 0.0
    integers, scales = quantise_rows(matrix)
    assert integers.dtype == torch.int8
    assert integers.abs().amax(1).tolist() == [127, 127, 127, 0, 127, 127, 127]
    assert torch.isfinite(scales).all()
    assert (scales > 0).all()
    error = (integers.double() * scales.double()[:, None] - matrix.double()).abs()
    assert (error <= scales.double()[:, None] * (0.5 + 1e-4)).all()


@needs_fbgemm
def test_the_integer_product_is_the_literal_one():
    layer, x = linear(), draw(6, 96) * torch.logspace(-4, 4, 6)[:, None]
    expected = literal(x, layer.weight)
    # A value in the middle of two levels may fall to either in fp32: allow for a single one.
    step = x.abs().amax(1, keepdim=True) / input_levels() * layer.weight.abs().amax(1)
    assert ((Int8Linear(layer)(x).double() - expected).abs() <= 1.01 * step).all()
    near = torch.isclose(Int8Linear(layer)(x).double(), expected, rtol=1e-4, atol=0)
    assert near.double().mean() > 0.9


def test_the_error_stays_within_what_rounding_can_do(kernel):
    layer, x = linear(), draw(40, 96) * torch.logspace(-4, 4, 40)[:, None]
    exact = x.double() @ layer.weight.detach().double().T
    error = (Int8Linear(layer)(x).double() - exact).abs()
    assert (error <= bound(x, layer.weight.detach(), kernel)).all()


@needs_fbgemm
def test_the_error_is_that_of_even_rounding_and_nothing_else():
    layer, x = linear(), draw(200, 96)
    weight = layer.weight.detach().double()
    error = Int8Linear(layer)(x).double() - x.double() @ weight.T
    # A value lies evenly between two levels: the variance is the step's square over 12.
    of_x = (x.double().abs().amax(1) / input_levels()).square()[:, None] * weight.square().sum(1)
    of_weight = x.double().square().sum(1)[:, None] * (weight.abs().amax(1) / LEVELS).square()
    share = error.square() / ((of_x + of_weight) / 12)
    assert 0.9 < share.mean() < 1.1


@needs_fbgemm
def test_a_fine_layer_rounds_its_weights_and_hardly_its_input():
    layer, x = linear(bias=True), draw(40, 96) * torch.logspace(-4, 4, 40)[:, None]
    integers, scales = quantise_rows(layer.weight.detach())
    rounded = integers.double() * scales.double()[:, None]
    expected = x.double() @ rounded.T + layer.bias.detach().double()
    error = (Int8Linear(layer, fine=True)(x).double() - expected).abs()
    step = x.double().abs().amax(1, keepdim=True) / input_levels() ** 2
    assert (error <= step * rounded.abs().sum(1) + 1e-5 * expected.abs()).all()


def test_a_row_of_zeros_gives_zeros_and_spoils_no_other(kernel):
    layer, x = linear(), draw(3, 96)
    x[1] = 0.0
    y = Int8Linear(layer)(x)
    assert torch.equal(y[1], torch.zeros(64))
    assert torch.equal(y[[0, 2]], Int8Linear(layer)(x[[0, 2]]))
    layer.weight.data[5] = 0.0
    assert torch.equal(Int8Linear(layer)(x)[:, 5], torch.zeros(3))


def test_a_row_gives_the_same_bits_whatever_stands_beside_it(kernel):
    layer, x = Int8Linear(linear(bias=True), "gelu"), draw(9, 96)
    x[4] *= 1e4
    together = layer(x)
    for number in range(9):
        assert torch.equal(layer(x[number : number + 1])[0], together[number])


@pytest.mark.parametrize("shape", [(1, 96), (5, 96), (2, 3, 96), (2, 1, 3, 96), (0, 96)])
def test_any_batch_shape_goes_in_and_comes_out(kernel, shape):
    layer = Int8Linear(linear(bias=True))
    x = draw(*shape)
    y = layer(x)
    assert y.shape == (*shape[:-1], 64)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.reshape(-1, 64), layer(x.reshape(-1, 96)), atol=0, rtol=0)


def test_bias_and_gelu_come_after_the_product(kernel):
    layer, x = linear(bias=True), draw(5, 96)
    bare = nn.Linear(96, 64, bias=False)
    bare.weight.data = layer.weight.data
    expected = Int8Linear(bare)(x) + layer.bias.detach()
    assert torch.equal(Int8Linear(layer)(x), expected)
    gelu = 0.5 * expected.double() * (1 + torch.erf(expected.double() / math.sqrt(2)))
    torch.testing.assert_close(Int8Linear(layer, "gelu")(x).double(), gelu, atol=1e-5, rtol=1e-5)


def test_the_input_is_left_as_it_is_and_later_training_is_not_followed(kernel):
    layer, x = linear(bias=True), draw(4, 96)
    before, packed = x.clone(), Int8Linear(layer)
    first = packed(x)
    with torch.no_grad():
        layer.weight.mul_(2)
    assert torch.equal(x, before)
    assert torch.equal(packed(x), first)


def test_inputs_that_are_not_finite_stay_so(kernel):
    x = draw(2, 96)
    x[0, 3] = torch.nan
    y = Int8Linear(linear())(x)
    assert not torch.isfinite(y[0]).any()
    assert torch.isfinite(y[1]).all()
