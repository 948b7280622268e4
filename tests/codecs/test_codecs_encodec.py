import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from soundwright.codecs.encodec import PRESETS, EncodecCodec, EncodecCodecConfig
from soundwright.core.errors import (
    CheckpointError,
    ConfigError,
    MissingWeightsError,
    UserError,
)
from soundwright.core.protocols import TokenCodec
from soundwright.core.seeding import initialising, torch_stream

TINY = PRESETS["encodec-tiny"]


def noise(items, channels, samples, seed=0):
    """Noise whose loudness leaps, so that an untrained encoder has something to tell apart."""
    stream = torch_stream(seed, "test")
    gains = torch.rand(items, channels, -(-samples // 320), generator=stream).pow(2)
    gains = gains.repeat_interleave(320, -1)[..., :samples]
    return gains * torch.randn(items, channels, samples, generator=stream)


def trained(config=TINY, steps=4, **values):
    """A codec after a few real steps on the L1 loss, in evaluation mode."""
    codec = EncodecCodec(config.model_copy(update=values)).train()
    optimizer = torch.optim.Adam(codec.parameters(), 1e-3)
    for step in range(steps):
        waveform = noise(2, codec.channels, 40 * codec.hop_length, seed=step)
        mask = torch.ones(2, waveform.shape[-1], dtype=torch.bool)
        output = codec.forward_training(waveform, mask)
        loss = (output.reconstruction - waveform).abs().mean() + output.quantised.commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return codec.eval()


@pytest.fixture(scope="module")
def codec():
    return trained()


def test_the_presets_are_the_papers():
    for name, rate, ratios, hop in (
        ("encodec-16k", 16000, [8, 5, 4, 2], 320),
        ("encodec-32k", 32000, [8, 5, 4, 4], 640),
    ):
        config = PRESETS[name].to_transformers()
        assert (config.sampling_rate, config.upsampling_ratios) == (rate, ratios)
        assert (config.hop_length, config.frame_rate, config.num_quantizers) == (hop, 50, 4)
        assert config.target_bandwidths == [2.2]
        assert (config.codebook_size, config.hidden_size, config.num_filters) == (2048, 128, 64)
        assert (config.kernel_size, config.residual_kernel_size, config.last_kernel_size) == (
            7,
            3,
            7,
        )
        assert (config.num_residual_layers, config.compress, config.num_lstm_layers) == (1, 2, 2)
        assert (config.use_causal_conv, config.use_conv_shortcut) == (False, False)
        assert (config.pad_mode, config.norm_type) == ("constant", "weight_norm")
        assert not config.normalize


@pytest.mark.parametrize("codebooks", [1, 3, 4, 8])
@pytest.mark.parametrize("size", [32, 1024, 2048])
def test_transformers_counts_the_same_codebooks(codebooks, size):
    quantizer = {"codebooks": codebooks, "codebook_size": size}
    config = EncodecCodecConfig.read({"filters": 2, "latent_width": 4, "quantizer": quantizer})
    theirs = config.to_transformers()
    assert theirs.num_quantizers == codebooks
    with initialising(0, "test"):
        quantizer = EncodecModel(theirs).quantizer
    bandwidth = theirs.target_bandwidths[0]
    assert quantizer.get_num_quantizers_for_bandwidth(bandwidth) == codebooks


def test_it_is_a_token_codec_whose_lengths_are_whole_frames(codec):
    assert isinstance(codec, TokenCodec)
    tokens = codec.encode(noise(2, 1, 1000))
    assert tokens.shape == (2, 4, 4)
    assert tokens.dtype == torch.int64
    assert 0 <= tokens.min() <= tokens.max() < codec.codebook_size
    assert codec.decode(tokens).shape == (2, 1, 4 * 320)
    assert codec.decode(tokens[:, :2]).shape == (2, 1, 4 * 320)
    padded = torch.nn.functional.pad(noise(2, 1, 1000), (0, 280))
    assert torch.equal(codec.encode(padded), tokens)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"channels": 2},
        {"causal": True, "pad_mode": "reflect", "conv_shortcut": True},
        {"residual_layers": 2, "dilation_growth": 3, "norm": "time_group_norm"},
    ],
)
def test_what_is_trained_here_is_the_same_in_transformers(tmp_path, values):
    codec = trained(**values)
    codec.save_pretrained(tmp_path / "codec")
    theirs = EncodecModel.from_pretrained(tmp_path / "codec").eval()
    waveform = noise(3, codec.channels, 25 * 320, seed=50)
    tokens = codec.encode(waveform)
    assert len(tokens.unique()) > 4
    with torch.no_grad():
        output = theirs(waveform, return_dict=True)
    assert torch.equal(output.audio_codes[0], tokens)
    torch.testing.assert_close(output.audio_values, codec.decode(tokens), atol=1e-5, rtol=1e-4)

    again = EncodecCodec.from_pretrained(tmp_path / "codec")
    assert again.config.to_transformers().to_dict() == codec.config.to_transformers().to_dict()
    assert torch.equal(again.encode(waveform), tokens)
    torch.testing.assert_close(again.decode(tokens), codec.decode(tokens))


def test_training_goes_on_from_saved_averages(tmp_path, codec):
    codec.save_pretrained(tmp_path / "codec")
    resumed = EncodecCodec.from_pretrained(tmp_path / "codec").train()
    before = [level.embed.clone() for level in resumed.quantizer.levels]
    waveform = noise(2, 1, 20 * 320, seed=8)
    resumed.forward_training(waveform, torch.ones(2, 20 * 320, dtype=torch.bool))
    for level, old in zip(resumed.quantizer.levels, before, strict=True):
        moved = (level.embed - old).norm(dim=1)
        assert moved.max() > 0
        assert moved.median() < 0.2 * old.norm(dim=1).median()


def test_codes_without_averages_survive_further_training(tmp_path, codec):
    codec.save_pretrained(tmp_path / "codec")
    theirs = EncodecModel.from_pretrained(tmp_path / "codec")
    for layer in theirs.quantizer.layers:
        layer.codebook.cluster_size.zero_()
        layer.codebook.embed_avg.zero_()
    theirs.save_pretrained(tmp_path / "bare")
    resumed = EncodecCodec.from_pretrained(tmp_path / "bare").train()
    before = resumed.quantizer.levels[0].embed.clone()
    waveform = noise(2, 1, 20 * 320, seed=8)
    resumed.forward_training(waveform, torch.ones(2, 20 * 320, dtype=torch.bool))
    moved = (resumed.quantizer.levels[0].embed - before).norm(dim=1)
    assert moved.median() < 0.2 * before.norm(dim=1).median()


def test_the_quantizer_moves_the_models_own_codebooks_and_nothing_is_saved_twice(codec):
    names = list(codec.state_dict())
    assert "model.quantizer.layers.0.codebook.embed" in names
    assert [name for name in names if name.startswith("quantizer")] == ["quantizer.batches"]
    codebook = codec.model.quantizer.layers[0].codebook
    assert codec.quantizer.levels[0] is codebook
    assert codebook.inited.item() == 1
    assert codebook.embed.any()
    fresh = EncodecCodec(TINY)
    assert fresh.model.quantizer.layers[0].codebook.inited.item() == 0
    fresh.load_state_dict(codec.state_dict())
    waveform = noise(1, 1, 3200)
    assert torch.equal(fresh.eval().encode(waveform), codec.encode(waveform))


def test_batch_mates_do_not_matter(codec):
    waveform = noise(3, 1, 3200)
    tokens = codec.encode(waveform)
    sound = codec.decode(tokens)
    for item in range(3):
        assert torch.equal(codec.encode(waveform[item : item + 1])[0], tokens[item])
        alone = codec.decode(tokens[item : item + 1])[0]
        torch.testing.assert_close(alone, sound[item], atol=1e-6, rtol=1e-5)


def test_a_seed_makes_the_weights_and_leaves_the_global_generator(codec):
    state = torch.get_rng_state()
    first, second, other = EncodecCodec(TINY, 1), EncodecCodec(TINY, 1), EncodecCodec(TINY, 2)
    assert torch.equal(torch.get_rng_state(), state)
    left, right, third = (
        torch.cat([p.detach().flatten() for p in module.parameters()])
        for module in (first, second, other)
    )
    assert torch.equal(left, right)
    assert not torch.equal(left, third)


def test_a_model_with_several_bandwidths_gives_as_many_codebooks_as_asked(tmp_path):
    config = EncodecConfig(
        target_bandwidths=[1.5, 3.0], num_filters=2, hidden_size=8, num_lstm_layers=1
    )
    with initialising(0, "test"):
        theirs = EncodecModel(config).eval()
        for layer in theirs.quantizer.layers:
            layer.codebook.embed.normal_()
    theirs.save_pretrained(tmp_path / "many")
    waveform = noise(1, 1, 3200)
    for count, bandwidth in ((None, 1.5), (2, 1.5), (4, 3.0)):
        codec = EncodecCodec.from_pretrained(tmp_path / "many", codebooks=count)
        with torch.no_grad():
            wanted = theirs.encode(waveform, bandwidth=bandwidth, return_dict=True).audio_codes[0]
        assert torch.equal(codec.encode(waveform), wanted)
    with pytest.raises(UserError, match="5 codebooks"):
        EncodecCodec.from_pretrained(tmp_path / "many", codebooks=5)


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="someone/encodec"):
        EncodecCodec.from_pretrained("someone/encodec")
    with pytest.raises(MissingWeightsError):
        EncodecCodec.from_pretrained(tmp_path)


def test_damaged_and_foreign_models_are_named(tmp_path, codec):
    codec.save_pretrained(tmp_path / "codec")
    with pytest.raises(UserError, match="exists already"):
        codec.save_pretrained(tmp_path / "codec")
    weights = tmp_path / "codec" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="codec"):
        EncodecCodec.from_pretrained(tmp_path / "codec")
    with pytest.raises(CheckpointError, match="normalises"):
        EncodecCodecConfig.from_transformers(EncodecConfig(normalize=True), 4)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"quantizer": {"codebook_size": 1000}}, "power of 2"),
        ({"quantizer": {"projection": 8}}, "projection"),
        ({"ratios": [1, 2]}, "ratios"),
        ({"filters": 5}, "compress"),
        ({"channels": 3}, "channels"),
        ({"ratio": [8]}, "ratios"),
    ],
)
def test_bad_configuration_says_what_is_wrong(values, word):
    with pytest.raises(ConfigError, match=word):
        EncodecCodecConfig.read(values)
