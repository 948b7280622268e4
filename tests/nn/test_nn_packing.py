"""Packed layers against the plain ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.nn import packing
from soundwright.nn.packing import check_weights, pack_linear

HAS_BF16 = packing._has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
WEIGHTS = ["fp32", "int8", *(["bf16"] if HAS_BF16 else [])]
NEAR = {"fp32": 1e-5, "bf16": 0.02, "int8": 0.05}


def draw(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(bias=False):
    layer = nn.Linear(96, 64, bias=bias)
    layer.weight.data = draw(64, 96, seed=1) / 96**0.5
    if bias:
        layer.bias.data = draw(64, seed=3)
    return layer


@pytest.fixture(params=["packed", "open"])
def build(request, monkeypatch):
    """A build with oneDNN, or one without."""
    if request.param == "open":
        monkeypatch.setattr(packing, "_has_onednn", lambda: False)
    elif not packing._has_onednn():
        pytest.skip("this build has no oneDNN")
    return request.param


@pytest.mark.parametrize("shape", [(96,), (1, 96), (2, 96), (40, 96), (2, 3, 96)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_fp32_is_the_plain_layer(build, shape, bias, activation):
    layer, x = linear(bias), draw(*shape)
    with torch.inference_mode():
        expected = layer(x)
        expected = F.gelu(expected) if activation == "gelu" else expected
        y = pack_linear(layer, "fp32", activation)(x)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_narrower_weights_stay_near(weights, activation):
    layer, x = linear(bias=True), draw(30, 96)
    with torch.inference_mode():
        expected = layer(x)
        expected = F.gelu(expected) if activation == "gelu" else expected
        y = pack_linear(layer, weights, activation)(x)
    assert y.dtype == torch.float32
    assert (y - expected).square().mean().sqrt() < NEAR[weights]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_matrix_is_a_copy(weights):
    layer, x = linear(bias=True), draw(3, 96)
    with torch.inference_mode():
        packed = pack_linear(layer, weights)
        before = packed(x)
    with torch.no_grad():
        layer.weight.zero_()
    with torch.inference_mode():
        assert torch.equal(packed(x), before)


def test_bf16_is_refused_where_it_cannot_be(build, monkeypatch):
    if build == "packed" and HAS_BF16:
        check_weights("bf16")
        return
    with pytest.raises(UserError, match="cannot work in bf16") as refusal:
        pack_linear(linear(), "bf16")
    assert refusal.value.expected == "one with AVX-512, or fp32 or int8"
