from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from soundwright.core.errors import AudioError, ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.scorers.modes import full_precision
from soundwright.scorers.windows import (
    WindowRule,
    encode_windows,
    run_in_batches,
)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch_stream(0, "windows"))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(100, 300), nn.Tanh(), nn.Linear(300, 7)).requires_grad_(False)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("drop", [[0, 1, 2, 3], [2, 3, 4, 5]]),
        ("pad", [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 0]]),
        ("repeat", [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 4]]),
        ("keep", [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6]]),
    ],
)
def test_tails(tail: str, expected: list[list[int]]) -> None:
    rule = WindowRule.read({"size": 4, "hop": 2, "tail": tail})
    assert [window.tolist() for window in rule.cut(torch.arange(7))] == expected


@pytest.mark.parametrize("tail", ["drop", "pad", "repeat", "keep"])
@pytest.mark.parametrize("hop", [1, 3, 4])
def test_windows_are_counted_and_hold_every_sample(tail: str, hop: int) -> None:
    rule = WindowRule.read({"size": 4, "hop": hop, "tail": tail})
    for samples in range(1, 30):
        sound = torch.arange(samples) + 1
        windows = rule.cut(sound)
        assert len(windows) == rule.count(samples)
        assert all(len(window) == 4 for window in windows) or tail == "keep"
        held = {int(value) for window in windows for value in window} - {0}
        if tail == "drop":
            assert len(windows) == len(range(0, samples - 3, hop))
        else:
            assert held == set(range(1, samples + 1))
            # As few as possible: without the last window something would be missing.
            assert len(windows) == 1 or (len(windows) - 2) * hop + 4 < samples


def test_a_short_sound_is_repeated_or_padded() -> None:
    sound = torch.tensor([1.0, 2.0, 3.0])
    assert WindowRule(size=8, hop=8, tail="repeat").cut(sound)[0].tolist() == [
        1, 2, 3, 1, 2, 3, 1, 2,
    ]  # fmt: skip
    assert WindowRule(size=5, hop=5, tail="pad").cut(sound)[0].tolist() == [1, 2, 3, 0, 0]
    assert WindowRule(size=4, hop=4).cut(sound) == []


def test_a_tail_that_is_too_short_is_left_out() -> None:
    rule = WindowRule(size=10, hop=10, tail="keep", least=3)
    assert [rule.count(samples) for samples in (2, 3, 10, 12, 13, 20)] == [0, 1, 1, 1, 2, 2]


def test_skipping_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match="samples would be skipped"):
        WindowRule.read({"size": 4, "hop": 5})


def test_batch_mates_change_no_bit_and_batch_sizes_only_rounding() -> None:
    net = network()
    sounds = [noise(count) for count in (100, 730, 99, 250)]
    rule = WindowRule(size=100, hop=50)

    def encode(chosen: list[Tensor], batch_size: int = 8) -> list[Tensor]:
        found = encode_windows(
            chosen, rule, lambda batch: (net(batch), None), batch_size=batch_size, width=7
        )
        return [encoded.embeddings for encoded in found]

    together = encode(sounds)
    assert [len(rows) for rows in together] == [1, 13, 0, 4]
    for sound, rows in zip(sounds, together, strict=True):
        assert torch.equal(encode([sound])[0], rows)
    for rows, mirrored in zip(together, encode(sounds[::-1])[::-1], strict=True):
        assert torch.equal(rows, mirrored)
    for batch_size in (1, 5):
        for rows, other in zip(together, encode(sounds, batch_size), strict=True):
            assert torch.allclose(rows, other, rtol=1e-5, atol=1e-6)


def test_rows_come_back_by_sound_with_their_mean() -> None:
    sounds = [torch.full((5,), 1.0), torch.arange(12.0), torch.ones(1)]
    rule = WindowRule(size=4, hop=4, tail="keep")

    def forward(batch: Tensor) -> tuple[Tensor, Tensor]:
        assert len(batch) == 3
        total = batch.sum(1, keepdim=True)
        return torch.cat([total, -total], 1), total * 10

    one, many, short = encode_windows(sounds, rule, forward, batch_size=3, width=2)
    assert one.embeddings.tolist() == [[4, -4], [1, -1]]
    assert one.vector.tolist() == [2.5, -2.5]
    assert many.logits is not None
    assert many.logits.tolist() == [[60], [220], [380]]
    assert short.embeddings.tolist() == [[1, -1]]


def test_a_sound_without_windows_has_no_rows_and_no_vector() -> None:
    rule = WindowRule(size=4, hop=4)
    (empty,) = encode_windows(
        [torch.ones(3)], rule, lambda batch: (batch, None), batch_size=2, width=4
    )
    assert empty.embeddings.shape == (0, 4)
    assert empty.vector.isnan().all()
    assert empty.logits is None


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(0), "no-samples"), (torch.tensor([0.0, torch.nan]), "not-finite")],
)
def test_unusable_sounds_are_refused(sound: Tensor, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        encode_windows(
            [sound], WindowRule(size=2, hop=2), lambda batch: (batch, None), batch_size=2, width=2
        )
    assert caught.value.reason == reason


def test_precision_is_full_within_and_as_before_afterwards() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            ((row, _),) = run_in_batches([noise(100)], lambda batch: (network()(batch), None), 1)
            with full_precision():
                assert torch.get_float32_matmul_precision() == "highest"
                assert not torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert row.dtype == torch.float32
