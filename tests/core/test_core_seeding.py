"""Named random streams."""

import numpy as np
import torch

from soundwright.core.seeding import derive_seed, initialising, numpy_stream, torch_stream


def test_streams_depend_on_seed_and_every_name():
    seeds = {
        derive_seed(0),
        derive_seed(1),
        derive_seed(0, "a"),
        derive_seed(0, "a", "b"),
        derive_seed(0, "ab"),
        derive_seed(0, "a", 1),
        derive_seed(0, "b", "a"),
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_on_every_machine():
    assert derive_seed(7, "cfg", 3) == 6053373583374766702


def test_streams_repeat_and_leave_the_global_generators_alone():
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = torch.rand(3, generator=torch_stream(0, "x"))
    assert torch.equal(first, torch.rand(3, generator=torch_stream(0, "x")))
    assert numpy_stream(0, "x").random() == numpy_stream(0, "x").random()
    with initialising(0, "model"):
        weight = torch.nn.Linear(3, 3).weight
    with initialising(0, "model"):
        assert torch.equal(weight, torch.nn.Linear(3, 3).weight)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
