import pytest
import torch
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForCausalLM,
    MusicgenForConditionalGeneration,
    T5Config,
)
from transformers.modeling_outputs import BaseModelOutput

from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.protocols import TextStates
from soundwright.lm.decoding import DecodingConfig, generate
from soundwright.lm.engine import PlainEngine
from soundwright.lm.model import AudioLm
from soundwright.lm.musicgen_weights import (
    config_from_musicgen,
    from_musicgen,
    musicgen_decoder_config,
    to_musicgen,
)
from soundwright.lm.objective import masked_cross_entropy

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module")
def peer():
    """transformers' MusicGen with random weights of a lively size."""
    decoder = MusicgenDecoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64,
        num_codebooks=3, vocab_size=11, pad_token_id=11, bos_token_id=11, dropout=0.0,
    )  # fmt: skip
    text = T5Config(d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=32)
    codec = EncodecConfig(
        hidden_size=8, num_filters=2, codebook_dim=8, codebook_size=16, upsampling_ratios=[4, 2]
    )
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict()
    )
    model = MusicgenForConditionalGeneration(config).eval()
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=stream) + (weight.dim() == 1))
    return model


@pytest.fixture
def carried(peer):
    config = config_from_musicgen(peer.config.decoder.to_dict(), text_width=12)
    lm = AudioLm(config).eval()
    lm.load_state_dict(from_musicgen(peer.state_dict(), config))
    return lm


@pytest.fixture
def batch():
    """Three clips of 8, 5 and 8 frames, with texts of 4, 2 and no tokens."""
    stream = torch.Generator().manual_seed(1)
    tokens = torch.randint(11, (3, 3, 8), generator=stream)
    frames = torch.arange(8) < torch.tensor([8, 5, 8])[:, None]
    text_mask = torch.arange(4) < torch.tensor([4, 2, 0])[:, None]
    text = torch.randn(3, 4, 12, generator=stream)
    return tokens, frames, text, text_mask


def _run_peer(peer, inputs, frames, text, text_mask, labels=None):
    return peer(
        decoder_input_ids=inputs.reshape(-1, inputs.shape[-1]),
        decoder_attention_mask=frames.long(),
        encoder_outputs=BaseModelOutput(last_hidden_state=text),
        attention_mask=text_mask.long(),
        labels=labels,
    )


@pytest.mark.parametrize("dropped", [False, True])
def test_logits_and_cross_entropy_equal_transformers(peer, carried, batch, dropped):
    tokens, frames, text, text_mask = batch
    laid_out = carried.pattern.for_training(tokens, frames, carried.special)
    ours = carried(laid_out.inputs, text, text_mask, drop_text=dropped).logits
    loss = masked_cross_entropy(ours, laid_out.targets, laid_out.mask).loss
    labels = laid_out.targets.masked_fill(~laid_out.mask, -100).transpose(1, 2)
    heard = torch.zeros_like(text_mask) if dropped else text_mask
    theirs = _run_peer(peer, laid_out.inputs, frames, text, heard, labels)
    valid = frames[:, None].expand(3, 3, 8)
    torch.testing.assert_close(
        ours[valid], theirs.logits.view(3, 3, 8, 11)[valid], check_stride=False, **TOLERANCE
    )
    torch.testing.assert_close(loss, theirs.loss, **TOLERANCE)
    assert theirs.loss > 2


def test_gradients_equal_transformers(peer, carried, batch):
    tokens, frames, text, text_mask = batch
    laid_out = carried.pattern.for_training(tokens, frames, carried.special)
    logits = carried(laid_out.inputs, text, text_mask).logits
    masked_cross_entropy(logits, laid_out.targets, laid_out.mask).loss.backward()
    labels = laid_out.targets.masked_fill(~laid_out.mask, -100).transpose(1, 2)
    peer.zero_grad()
    _run_peer(peer, laid_out.inputs, frames, text, text_mask, labels).loss.backward()
    theirs = {name: w.grad for name, w in peer.named_parameters() if w.grad is not None}
    for name, gradient in from_musicgen(theirs, carried.config).items():
        torch.testing.assert_close(carried.get_parameter(name).grad, gradient, **TOLERANCE)


def test_greedy_decoding_equals_transformers(peer, carried, batch):
    _, _, text, text_mask = batch
    frames = 9
    pattern, special = carried.pattern, carried.special
    sequence = torch.full((3, 3, pattern.steps(frames)), special)
    held = pattern.holds(frames, pattern.steps(frames))
    empty = torch.zeros_like(text_mask)
    with torch.no_grad():
        for step in range(1, sequence.shape[-1]):
            both = [
                _run_peer(peer, sequence[..., :step], torch.ones(3, step), text, mask).logits.view(
                    3, 3, step, 11
                )[:, :, -1]
                for mask in (text_mask, empty)
            ]
            drawn = (both[1] + 3 * (both[0] - both[1])).argmax(-1)
            sequence[..., step] = torch.where(held[:, step], drawn, special)
    expected, _ = pattern.revert(sequence, frames)
    states = TextStates(text, text_mask, text.sum(1))
    config = DecodingConfig(greedy=True, tail="special")
    assert torch.equal(generate(PlainEngine(carried), states, frames, [0, 0, 0], config), expected)


def test_weights_go_out_as_they_came_in(peer, carried):
    exported = to_musicgen(carried.state_dict(), carried.config)
    theirs = peer.state_dict()
    own = {name for name in theirs if name.startswith(("decoder.", "enc_to_dec_proj."))}
    assert set(exported) == own
    assert all(torch.equal(exported[name], theirs[name]) for name in own)


def test_the_decoder_alone_loads_what_is_exported(make_lm, batch):
    lm = make_lm()
    alone = MusicgenForCausalLM(MusicgenDecoderConfig(**musicgen_decoder_config(lm.config))).eval()
    exported = to_musicgen(lm.state_dict(), lm.config)
    alone.load_state_dict(
        {k.removeprefix("decoder."): v for k, v in exported.items() if k.startswith("decoder.")}
    )
    tokens, _, text, text_mask = batch
    memory = lm.text_projection(text) * text_mask[..., None]
    logits = alone(
        tokens.reshape(9, 8),
        encoder_hidden_states=memory,
        encoder_attention_mask=text_mask.long(),
    ).logits
    torch.testing.assert_close(
        lm(tokens, text, text_mask).logits,
        logits.view(3, 3, 8, 11),
        check_stride=False,
        **TOLERANCE,
    )
    back = from_musicgen(alone.state_dict(), lm.config.model_copy(update={"text_width": 16}))
    assert torch.equal(back["text_projection.weight"], torch.eye(16))
    with pytest.raises(CheckpointError, match="no projection from 12 to 16"):
        from_musicgen(alone.state_dict(), lm.config)


def test_shapes_round_trip(make_lm):
    for pattern in ("delay", "stereo-delay"):
        config = make_lm(codebooks=4, pattern=pattern, dropout=0.25).config
        assert config_from_musicgen(musicgen_decoder_config(config), 12) == config


def test_what_does_not_fit_is_refused(make_lm, peer):
    equal = make_lm(text_width=16)
    with pytest.raises(UserError, match="no text projection"):
        to_musicgen(equal.state_dict(), equal.config)
    with pytest.raises(UserError, match="delay pattern only"):
        musicgen_decoder_config(make_lm(pattern="parallel").config)
    odd = {**peer.config.decoder.to_dict(), "activation_function": "relu"}
    with pytest.raises(CheckpointError):
        config_from_musicgen(odd, 12)
    damaged = peer.state_dict()
    del damaged["decoder.model.decoder.layers.1.fc1.weight"]
    with pytest.raises(CheckpointError, match=r"layers\.1\.fc1"):
        from_musicgen(damaged, config_from_musicgen(peer.config.decoder.to_dict(), 12))
