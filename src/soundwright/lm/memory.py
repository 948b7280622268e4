"""What a training step of the language model keeps in memory besides weights and optimizer.

Counted from what each operation of `layers.Block` saves for its backward pass. S is the number of
steps, N = B * S the positions of a batch, M those of its texts, K codebooks of V codes.
"""

from __future__ import annotations

from dataclasses import dataclass

from soundwright.lm.layers import PLAIN_KEYS
from soundwright.lm.model import LmConfig
from soundwright.nn.lora import LoraConfig

FP32, BF16 = 4, 2


@dataclass(frozen=True)
class StepShape:
    """What a training step goes through at once, on one device."""

    batch: int
    """B, of a micro-batch on this rank."""
    steps: int
    """S."""
    text: int
    """Tokens of a text, with padding."""
    bf16: bool
    """Whether matrices are multiplied in bf16."""
    device: str = "cuda"
    """Type of the device: which attention runs there, and how large the masks of dropout are."""

    @property
    def positions(self) -> int:
        """N."""
        return self.batch * self.steps

    @property
    def width(self) -> int:
        """Bytes of an activation."""
        return BF16 if self.bf16 else FP32


def estimate_activations(
    config: LmConfig, shape: StepShape, adapter: LoraConfig | None = None
) -> int:
    """Bytes of activations at the fullest moment of a training step.

    Args:
        config: The model's shape; `checkpointing` keeps a block's input only, and one block whole.
        shape: Of a micro-batch.
        adapter: What is trained in the place of the whole model.
    """
    N, D, a = shape.positions, config.dim, shape.width
    block = _count_block(config, shape, adapter)
    casts = BF16 * _block_parameters(config) if shape.bf16 else 0
    head_casts = BF16 * D * config.codebooks * config.codebook_size if shape.bf16 else 0
    # The last norm and the heads' input; what RR pools; the projected text.
    ends = N * D * (FP32 + a) + 2 * N * D * FP32 + 3 * FP32 * shape.batch * shape.text * D
    if config.checkpointing:
        kept = config.layers * N * D * FP32
        # Autocast holds the bf16 copies of trained weights until the forward pass is over.
        cached = 0 if adapter else config.layers * casts + head_casts
        moment = block + casts
    else:
        kept = config.layers * (block + casts) + head_casts
        cached = moment = 0
    cells = N * config.codebooks * config.codebook_size
    # Logits, their fp32 copy and their logarithms; backward, the logarithms and two gradients.
    forward = cached + cells * (BF16 + 2 * FP32 if shape.bf16 else 2 * FP32)
    backward = max(cells * 3 * FP32, moment)
    return kept + ends + max(forward, backward)


def _count_block(config: LmConfig, shape: StepShape, adapter: LoraConfig | None) -> int:
    """Bytes that one block saves for its backward pass."""
    N, D, a = shape.positions, config.dim, shape.width
    inputs = 3 * N * D * (FP32 + a) + 6 * N * FP32  # of the norms, and of what follows them
    inner = 2 * N * config.ffn_multiple * D * a  # before and after GELU
    return (
        inputs
        + _count_attention(config, shape, keys=shape.steps, projected=3 * N)
        + _count_attention(
            config, shape, keys=shape.text, projected=N + 2 * shape.batch * shape.text
        )
        + inner
        + _count_dropout(config, shape)
        + _count_adapter(config, shape, adapter)
    )


def _count_attention(config: LmConfig, shape: StepShape, *, keys: int, projected: int) -> int:
    """Queries, keys and values, which are `projected` rows, with what attention makes of them."""
    N, D, H = shape.positions, config.dim, config.heads
    mixed = N * D * shape.width
    if shape.device == "cuda" or keys > PLAIN_KEYS:
        return projected * D * shape.width + N * H * FP32 + mixed  # the softmaxes' sums
    # Plain products work in fp32, and keep every weight.
    return projected * D * FP32 + N * H * keys * FP32 + mixed


def _count_dropout(config: LmConfig, shape: StepShape) -> int:
    if not config.dropout:
        return 0
    mask = 1 if shape.device == "cuda" else shape.width
    return (3 + config.ffn_multiple) * shape.positions * config.dim * mask


def _count_adapter(config: LmConfig, shape: StepShape, adapter: LoraConfig | None) -> int:
    """What A gives in the seven layers of a block, and the masks of its dropout."""
    if adapter is None:
        return 0
    given = 7 * adapter.rank * shape.width
    if adapter.dropout:
        # Norms give fp32, what lies behind matrices is narrower; CUDA's masks are of bytes.
        cuda = shape.device == "cuda"
        wide, narrow = (1, 1) if cuda else (FP32, shape.width)
        given += (3 * wide + (2 + config.ffn_multiple) * narrow) * config.dim
    return shape.positions * given


def _block_parameters(config: LmConfig) -> int:
    return (8 + 2 * config.ffn_multiple) * config.dim**2
