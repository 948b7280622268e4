import pytest
import torch
from safetensors import safe_open

from soundwright.core.errors import CheckpointError
from soundwright.pipelines.storage import pack_rows, read_weights, unpack_rows, write_weights


@pytest.fixture
def weights():
    draw = torch.Generator().manual_seed(1)
    return {
        "layer.weight": torch.randn(64, 128, generator=draw) * torch.logspace(-4, 1, 64)[:, None],
        "conv.weight": torch.randn(32, 16, 9, generator=draw),
        "quantizer.codebooks.0.embed": torch.randn(128, 64, generator=draw),
        "layer.bias": torch.randn(64, generator=draw),
        "small": torch.randn(3, 4, generator=draw),
        "count": torch.tensor(7),
    }


def stored_types(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118


def test_fp32_comes_back_exactly(tmp_path, weights):
    write_weights(tmp_path / "w.safetensors", weights, "fp32")
    back = read_weights(tmp_path / "w.safetensors")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_fp16_halves_the_file_and_rounds(tmp_path, weights):
    for storage in ("fp32", "fp16"):
        write_weights(tmp_path / storage, weights, storage)
    assert (tmp_path / "fp16").stat().st_size < 0.52 * (tmp_path / "fp32").stat().st_size
    back = read_weights(tmp_path / "fp16")
    assert back["layer.weight"].dtype == torch.float32
    torch.testing.assert_close(back["layer.weight"], weights["layer.weight"], rtol=1e-3, atol=1e-7)


def test_int8_holds_matrices_alone(tmp_path, weights):
    write_weights(tmp_path / "w", weights, "int8")
    types = stored_types(tmp_path / "w")
    assert types["layer.weight"] == types["conv.weight"] == torch.int8
    for name in ("quantizer.codebooks.0.embed", "layer.bias", "small", "layer.weight::scale"):
        assert types[name] == torch.float16
    back = read_weights(tmp_path / "w")
    assert back.keys() == weights.keys()
    assert back["count"] == 7


def test_int8_errs_by_half_a_step_of_its_row(weights):
    matrix = weights["layer.weight"]
    codes, scale = pack_rows(matrix)
    error = (unpack_rows(codes, scale) - matrix).abs()
    assert (error.amax(1) <= 0.5001 * scale.float()).all()
    assert (scale.float() <= matrix.abs().amax(1) / 127 * 1.01 + 6e-8).all()


def test_a_row_of_zeros_stays_zero():
    codes, scale = pack_rows(torch.zeros(4, 8))
    assert torch.equal(unpack_rows(codes, scale), torch.zeros(4, 8))


@pytest.mark.parametrize("storage", ["fp32", "fp16", "int8"])
def test_what_is_not_finite_is_not_written(tmp_path, storage):
    with pytest.raises(CheckpointError, match=r"'a\.weight'.*not finite"):
        write_weights(tmp_path / "w", {"a.weight": torch.tensor([1.0, float("nan")])}, storage)
    assert not (tmp_path / "w").exists()


def test_what_is_too_large_for_fp16_is_not_written(tmp_path):
    with pytest.raises(CheckpointError, match="too large for fp16"):
        write_weights(tmp_path / "w", {"a": torch.tensor([1e6])}, "fp16")


def test_a_file_that_is_no_safetensors_is_named(tmp_path):
    (tmp_path / "w").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_weights(tmp_path / "w")
