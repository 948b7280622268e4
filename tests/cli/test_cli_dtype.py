"""`--dtype`: narrow weights through the whole command."""

import pytest
import torch

from soundwright.audio.files import read
from soundwright.core.errors import UserError
from soundwright.nn.packing import check_weights

SHORT = ("--duration", 0.6, "--device", "cpu", "--seed", 7)


def can_work_in_bf16():
    try:
        check_weights("bf16")
    except UserError:
        return False
    return True


def test_int8_gives_a_sound_and_the_same_bytes_again(command, tiny_model, tmp_path):
    for name in ("one", "two"):
        result = command(
            *("generate", "a dog barks", "--model", tiny_model, *SHORT),
            *("--dtype", "int8", "--out", f"{name}.wav"),
        )
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()
    sound = read(tmp_path / "one.wav")
    assert sound.duration == pytest.approx(0.6)
    assert torch.isfinite(torch.as_tensor(sound.samples)).all()
    assert sound.samples.std() > 0


def test_a_dtype_that_nobody_has_is_refused(refuses, tiny_model):
    refuses(
        *("generate", "rain", "--model", tiny_model, *SHORT, "--dtype", "int4"),
        says=["int4", "int8"],
    )


@pytest.mark.skipif(can_work_in_bf16(), reason="this CPU works in bf16")
def test_bf16_is_refused_on_a_cpu_without_it(refuses, tiny_model, tmp_path):
    refuses(
        *("generate", "rain", "--model", tiny_model, *SHORT, "--dtype", "bf16"),
        says=["This CPU cannot work in bf16.", "int8"],
    )
    assert not list(tmp_path.glob("*.wav"))
