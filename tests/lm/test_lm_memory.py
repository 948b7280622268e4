"""The estimate of activations against what torch really saves for the backward pass."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch

from soundwright.core.protocols import StepContext
from soundwright.lm.memory import StepShape, estimate_activations
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.objective import masked_cross_entropy
from soundwright.lm.task import LmTask, LmTaskConfig
from soundwright.nn.lora import LoraConfig, add_lora

SHAPE = {"dim": 64, "layers": 4, "heads": 4, "codebook_size": 256, "text_width": 32}


def measure(config, shape, adapter):
    """Bytes of all distinct tensors saved by one forward pass, besides weights."""
    lm = AudioLm(config)
    if adapter is not None:
        add_lora(lm, adapter, seed=0)
    weights = {value.untyped_storage().data_ptr() for value in lm.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage  # held, so that its address is not used again
        return tensor

    tokens = torch.zeros(shape.batch, config.codebooks, shape.steps, dtype=torch.int64)
    text = torch.ones(shape.batch, shape.text, config.text_width)
    mask = torch.ones(shape.batch, shape.text, dtype=torch.bool)
    narrow = torch.autocast("cpu", dtype=torch.bfloat16) if shape.bf16 else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), narrow:
        logits = lm(tokens, text, mask).logits
        masked_cross_entropy(logits, tokens, torch.ones_like(tokens, dtype=torch.bool))
    return sum(storage.nbytes() for storage in saved.values())


@pytest.mark.parametrize("steps", [100, 1100], ids=["plain", "fused"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    ("options", "adapter"),
    [
        ({}, None),
        ({"dropout": 0.1}, None),
        ({"checkpointing": True}, None),
        ({}, LoraConfig(rank=8)),
        ({}, LoraConfig(rank=8, dropout=0.1)),
    ],
    ids=["all", "dropout", "checkpointing", "lora", "lora-dropout"],
)
def test_the_estimate_is_what_torch_saves(options, adapter, bf16, steps):
    """From exact to a fifth too much; never too little."""
    config = LmConfig.read({**SHAPE, **options})
    shape = StepShape(300 // min(steps, 300), steps, text=10, bf16=bf16, device="cpu")
    saved = measure(config, shape, adapter)
    # At the fullest moment there are, besides, the gradients of the logits and of their
    # logarithms, or a block that is computed again.
    cells = shape.positions * config.codebooks * config.codebook_size
    estimate = estimate_activations(config, shape, adapter)
    assert saved + 8 * cells <= estimate <= 1.2 * (saved + 8 * cells)


def test_memory_grows_with_what_it_depends_on():
    def estimate(batch=4, steps=500, device="cuda", **options):
        shape = StepShape(batch, steps, text=32, bf16=True, device=device)
        return estimate_activations(LmConfig.read(options), shape)

    assert estimate(batch=8) > 1.7 * estimate()
    assert estimate(checkpointing=True) < estimate() / 2
    assert estimate(dropout=0.1) > estimate()
    assert estimate(device="cpu") > estimate()


@pytest.mark.parametrize("adapter", [None, LoraConfig(rank=2, dropout=0.4)], ids=["all", "lora"])
def test_a_recomputed_block_drops_out_the_same(make_lm, encoder, make_batch, adapter):
    steps = []
    for checkpointing in (False, True):
        lm = make_lm(dropout=0.3, checkpointing=checkpointing)
        if adapter is not None:
            add_lora(lm, adapter, seed=0)
            for value in lm.state_dict().values():
                value.fill_(0.1)
        task = LmTask(lm, encoder, LmTaskConfig(), seed=5)
        batch = make_batch(["dog", "rain", "a bell"], [9, 7, 4])
        (turn,) = task.turns(batch, StepContext(3, 0, torch.device("cpu")))
        # As in the loop, other numbers are drawn before the blocks are computed again.
        torch.rand(7)
        turn.loss.backward()
        steps.append((turn.loss, [value.grad for value in lm.parameters()]))
    (loss, gradients), (same, recomputed) = steps
    assert torch.equal(loss, same)
    assert any(gradient is not None for gradient in gradients)
    for plain, again in zip(gradients, recomputed, strict=True):
        torch.testing.assert_close(plain, again, rtol=0, atol=0)


def test_logits_of_earlier_micro_batches_are_let_go(make_lm, encoder, make_batch):
    task = LmTask(make_lm(), encoder, LmTaskConfig(), seed=5)
    logits = []
    task.lm.heads.register_forward_hook(lambda *given: logits.append(weakref.ref(given[2])))
    turns = task.turns(make_batch(["dog"] * 4, [9] * 4), StepContext(0, 0, torch.device("cpu")))
    next(turns).loss.backward()
    gc.collect()
    assert [reference() for reference in logits] == [None]
