import shutil

import pytest
import torch
import yaml
from foreign_models import (
    SIZE,
    audiocraft_codec,
    audiocraft_codec_settings,
    audiocraft_lm,
    audiocraft_lm_settings,
    encodec_config,
    musicgen_config,
    randomise,
    write_audiocraft,
    write_encodec,
    write_export,
    write_musicgen,
)
from transformers import AutoTokenizer, EncodecModel, MusicgenForConditionalGeneration

import soundwright
from soundwright.core.config import merge
from soundwright.core.errors import CheckpointError, ConfigError, MissingWeightsError, UserError
from soundwright.pipelines.audiocraft_files import resolve
from soundwright.pipelines.exporting import export_model
from soundwright.pipelines.foreign import ImportOptions
from soundwright.pipelines.importing import import_model
from soundwright.pipelines.models import read_part
from soundwright.pipelines.parts import load_codec, load_lm
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.text.encoders import load_text_encoder

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}
LM, CODEC = "state_dict.bin", "compression_state_dict.bin"


def halve(model):
    """The same model with weights that fp16 holds exactly."""
    with torch.no_grad():
        for weight in (*model.decoder.parameters(), *model.enc_to_dec_proj.parameters()):
            weight.copy_(weight.half().float())
    return model


@pytest.fixture(scope="module", params=[False, True], ids=["mono", "stereo"])
def stereo(request):
    return request.param


@pytest.fixture(scope="module")
def there(tmp_path_factory, stereo):
    """A folder with the model in transformers' layout and one with it in AudioCraft's."""
    base = tmp_path_factory.mktemp("audiocraft")
    peer = halve(write_musicgen(base / "transformers", stereo=stereo))
    peer.save_pretrained(base / "transformers")
    write_audiocraft(base / "audiogen-tiny", peer, stereo=stereo)
    return base, peer


@pytest.fixture(scope="module")
def imported(there, tmp_path_factory):
    base, _ = there
    options = ImportOptions(text_encoder=import_text_encoder(base))
    return import_model(
        base / "audiogen-tiny", tmp_path_factory.mktemp("ours") / "m", options=options
    )


def import_text_encoder(base):
    folder = base / "ours-of-transformers"
    if not folder.exists():
        import_model(base / "transformers", folder)
    return folder / "text_encoder"


def test_logits_equal_transformers_with_the_same_weights(there, imported):
    base, peer = there
    codec, record, folder = load_codec(imported.folder)
    lm = load_lm(record, folder)
    prompts = ["a dog barks", "rain in the trees and wind"]
    encoder = load_text_encoder(TextConfig.read(record.settings["text"]).encoder)
    text = encoder.encode(prompts)
    inputs = AutoTokenizer.from_pretrained(base / "transformers")(
        prompts, padding=True, return_tensors="pt"
    )
    stream = torch.Generator().manual_seed(3)
    tokens = torch.randint(SIZE + 1, (2, lm.config.codebooks, 9), generator=stream)
    with torch.no_grad():
        theirs = peer(**inputs, decoder_input_ids=tokens.flatten(0, 1)).logits
        own = lm(tokens, text.states, text.mask).logits
    assert own.std() > 0.3
    torch.testing.assert_close(own, theirs.view_as(own), **TOLERANCE)
    spoken = torch.randint(SIZE, (1, lm.config.codebooks, 10), generator=stream)
    sides = [spoken] if codec.channels == 1 else [spoken[:, ::2], spoken[:, 1::2]]
    with torch.no_grad():
        expected = [peer.audio_encoder.decode(side[None], [None]).audio_values for side in sides]
    torch.testing.assert_close(codec.decode(spoken), torch.cat(expected, 1), **TOLERANCE)


def test_both_layouts_of_one_model_give_the_same_weights(there, imported):
    base, _ = there
    for part in ("lm", "codec"):
        other = read_part(base / "ours-of-transformers", part)
        own = read_part(imported.folder, part)
        assert own.keys() == other.keys()
        assert all(torch.equal(own[name], other[name]) for name in own)


def test_the_checkpoints_configuration_decides(imported, stereo):
    record = imported.record
    generation = GenerationConfig.read(record.settings["generation"])
    assert (generation.window, generation.duration) == (30.0, 15.0)
    assert (generation.cfg_scale, generation.top_k) == (3.0, 250)
    assert record.storage == "fp16"
    assert record.parts["lm"]["pattern"] == ("stereo-delay" if stereo else "delay")
    codec = record.parts["codec"]["stereo_encodec" if stereo else "encodec"]
    # These two stand as "${...}" in xp.cfg.
    assert (codec["sample_rate"], codec["causal"]) == (400, False)
    assert (codec["pad_mode"], codec["conv_shortcut"]) == ("constant", False)
    assert imported.notes == ()


def test_it_generates_and_goes_out_to_transformers(imported, there, tmp_path, own_cache, stereo):
    _, peer = there
    sound = soundwright.load(imported.folder).generate("a dog barks", duration=0.3)[0]
    assert sound.samples.shape == (1 + stereo, 120)
    export_model(imported.folder, tmp_path / "out")
    back = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out")
    theirs = peer.state_dict()
    for name, weight in back.state_dict().items():
        assert torch.equal(weight, theirs[name]), name


def test_without_a_text_encoder_it_says_which_is_needed(there, tmp_path, own_cache):
    base, _ = there
    imported = import_model(base / "audiogen-tiny", tmp_path / "m")
    assert "t5-base" in imported.notes[0]
    assert "t5-base" in (tmp_path / "m" / "card.md").read_text()
    assert imported.record.settings["text"]["encoder"]["name"] == "t5-base"
    with pytest.raises(MissingWeightsError, match="'t5-base'"):
        soundwright.load(tmp_path / "m")


def test_projections_in_torchs_own_module_are_found(there, tmp_path, imported):
    base, peer = there
    folder = tmp_path / "mha"
    write_audiocraft(folder, peer, stereo=peer.config.decoder.audio_channels == 2)
    package = torch.load(folder / LM, weights_only=True)
    package["best_state"] = {
        name.replace("self_attn.", "self_attn.mha.").replace(
            "cross_attention.", "cross_attention.mha."
        ): weight
        for name, weight in package["best_state"].items()
    }
    torch.save(package, folder / LM)
    options = ImportOptions(text_encoder=base / "ours-of-transformers" / "text_encoder")
    assert import_model(folder, tmp_path / "m", options=options).record.hash == imported.record.hash


@pytest.fixture(scope="module")
def mono():
    model = MusicgenForConditionalGeneration(musicgen_config()).eval()
    randomise(model)
    return model


@pytest.fixture(scope="module")
def written(mono, tmp_path_factory):
    """A folder with it; not to be changed."""
    folder = tmp_path_factory.mktemp("written") / "m"
    write_audiocraft(folder, mono)
    return folder


def write_reference(folder, mono, name):
    write_export(folder / LM, audiocraft_lm(mono), audiocraft_lm_settings(mono))
    torch.save({"pretrained": name, "exported": True, "version": "1.4.0a2"}, folder / CODEC)


def test_a_codec_that_is_only_named_is_asked_for(mono, tmp_path, own_cache):
    write_reference(tmp_path / "m", mono, "facebook/encodec_32khz")
    with pytest.raises(
        MissingWeightsError, match=r"names 'facebook/encodec_32khz'(.|\n)*--codec FOLDER"
    ):
        import_model(tmp_path / "m", tmp_path / "x")
    mono.audio_encoder.save_pretrained(tmp_path / "codec")
    options = ImportOptions(codec=tmp_path / "codec")
    given = import_model(tmp_path / "m", tmp_path / "x", options=options).record
    write_audiocraft(tmp_path / "whole", mono)
    (tmp_path / "whole" / LM).write_bytes((tmp_path / "m" / LM).read_bytes())
    assert import_model(tmp_path / "whole", tmp_path / "y").record.hash == given.hash
    write_reference(tmp_path / "dac", mono, "dac_44khz")
    with pytest.raises(CheckpointError, match="speaks dac_44khz"):
        import_model(tmp_path / "dac", tmp_path / "z")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"use_causal_conv": True, "pad_mode": "reflect", "use_conv_shortcut": True},
        {"num_residual_layers": 2, "norm_type": "time_group_norm", "audio_channels": 2},
    ],
)
def test_a_codec_alone_equals_transformers_and_goes_back(tmp_path, values):
    peer = EncodecModel(encodec_config(**values)).eval()
    randomise(peer)
    path = tmp_path / "codec" / CODEC
    write_export(path, audiocraft_codec(peer), audiocraft_codec_settings(peer))
    for source in (path, path.parent):
        import_model(source, tmp_path / f"ours-{source.name}")
    codec, record, _ = load_codec(tmp_path / f"ours-{path.name}")
    assert (record.kind, record.name) == ("codec", "codec")
    sound = torch.randn(2, peer.config.audio_channels, 160, generator=torch.Generator())
    with torch.no_grad():
        output = peer(sound)
    assert torch.equal(codec.encode(sound), output.audio_codes[0])
    torch.testing.assert_close(codec.decode(codec.encode(sound)), output.audio_values, **TOLERANCE)
    export_model(tmp_path / "ours-codec", tmp_path / "back")
    back, theirs = EncodecModel.from_pretrained(tmp_path / "back").state_dict(), peer.state_dict()
    assert all(torch.equal(back[name], theirs[name]) for name in theirs)
    fewer = import_model(path, tmp_path / "fewer", options=ImportOptions(codebooks=2)).record
    assert fewer.parts["codec"]["encodec"]["quantizer"]["codebooks"] == 2
    with pytest.raises(UserError, match="4 codebooks"):
        import_model(path, tmp_path / "x", options=ImportOptions(codebooks=4))


def test_interpolations_are_resolved_like_omegaconfs():
    values = {
        "rate": 16, "a": {"b": "${rate}", "c": ["${a.b}", "x${rate}"], "d": "${oc.env:USER}"},
        "loop": "${loop}", "nowhere": "${a.z}",
    }  # fmt: skip
    resolved = resolve(values, values)
    assert resolved["a"] == {"b": 16, "c": [16, "x${rate}"], "d": "${oc.env:USER}"}
    assert (resolved["loop"], resolved["nowhere"]) == ("${loop}", "${a.z}")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lm_model": "transformer_lm_magnet"}, "no MAGNeT"),
        ({"transformer_lm": {"norm_first": False}}, "transformer_lm.norm_first = False"),
        ({"transformer_lm": {"positional_embedding": "rope"}}, "'rope'"),
        ({"transformer_lm": {"qk_layer_norm": True}}, "qk_layer_norm"),
        ({"transformer_lm": {"hidden_scale": 2.5}}, "hidden_scale = 2.5"),
        ({"transformer_lm": {"num_layers": 3}}, "lack 'transformer.layers.2"),
        ({"transformer_lm": {"num_layers": 1}}, "no place for"),
        ({"transformer_lm": {"card": 32}}, "codebooks of 32, its codec of 16"),
        ({"transformer_lm": {"hidden_scale": 2}}, r"of the shape \(96, 24\)"),
        ({"codebooks_pattern": {"modeling": "coarse_first"}}, "coarse_first"),
        ({"codebooks_pattern": {"delay": {"delays": [0, 2, 4]}}}, r"\[0, 2, 4\]"),
        ({"conditioners": {"self_wav": {"model": "chroma_stem"}}}, "description, self_wav"),
        ({"fuser": {"prepend": ["description"]}}, "cross-attention alone"),
        ({"conditioners": {"description": {"model": "lut"}}}, "'lut'"),
        ({"conditioners": {"description": {"t5": {"finetune": True}}}}, "T5 was trained"),
        ({"conditioners": {"description": {"t5": {"normalize_text": True}}}}, "spaCy"),
        ({"interleave_stereo_codebooks": {"use": True, "per_timestep": True}}, "frame to frame"),
    ],
)
def test_another_architecture_is_named(mono, written, tmp_path, changes, says):
    settings = merge(audiocraft_lm_settings(mono), changes)
    shutil.copytree(written, tmp_path / "m")
    write_export(tmp_path / "m" / LM, audiocraft_lm(mono), settings)
    with pytest.raises(CheckpointError, match=says):
        import_model(tmp_path / "m", tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"encodec": {"renormalize": True}}, CheckpointError, "normalises"),
        ({"encodec": {"quantizer": "no_quant"}}, CheckpointError, "residual quantisation"),
        ({"seanet": {"activation": "Snake"}}, CheckpointError, "seanet.activation = 'Snake'"),
        ({"seanet": {"decoder": {"n_filters": 4}}}, CheckpointError, "seanet.decoder.n_filters"),
        ({"seanet": {"decoder": {"trim_right_ratio": 0.5}}}, CheckpointError, "trim_right_ratio"),
        ({"seanet": {"lstm": 0}}, ConfigError, "lstm_layers"),
        ({"seanet": {"norm": "none"}}, ConfigError, "norm"),
        ({"seanet": {"n_filters": 4}}, CheckpointError, "has the shape"),
        ({"rvq": {"bins": 24}}, ConfigError, "power of 2"),
        ({"rvq": {"n_q": 2}}, CheckpointError, "speaks 3 codebooks; its codec has 2"),
        ({"compression_model": "dac"}, CheckpointError, "'dac'"),
    ],
)
def test_another_codec_is_named(mono, written, tmp_path, changes, error, says):
    codec = mono.audio_encoder
    shutil.copytree(written, tmp_path / "m")
    settings = merge(audiocraft_codec_settings(codec), changes)
    write_export(tmp_path / "m" / CODEC, audiocraft_codec(codec), settings)
    with pytest.raises(error, match=says):
        import_model(tmp_path / "m", tmp_path / "x")


def test_files_that_are_not_there_or_something_else(mono, tmp_path, own_cache):
    write_audiocraft(tmp_path / "m", mono)
    codec = (tmp_path / "m" / CODEC).read_bytes()
    (tmp_path / "m" / CODEC).unlink()
    with pytest.raises(MissingWeightsError, match=f"has no {CODEC}"):
        import_model(tmp_path / "m", tmp_path / "x")
    (tmp_path / "m" / CODEC).write_bytes(codec)
    whole = torch.load(tmp_path / "m" / LM, weights_only=True)
    projection = "condition_provider.conditioners.description.output_proj.weight"
    for held, says in (
        ({"model": whole["best_state"]}, "no best_state or no xp.cfg"),
        ([1, 2], "holds no dictionary"),
        ({**whole, "xp.cfg": "a: [b"}, "is no YAML"),
        ({**whole, "xp.cfg": "!!python/object/apply:os.system ['true']"}, "is no YAML"),
        ({**whole, "xp.cfg": "text"}, "is no configuration"),
        ({**whole, "xp.cfg": yaml.safe_dump({"lm_model": "transformer_lm"})}, "no section"),
        ({**whole, "best_state": {"a": 1}}, "no dictionary from names to tensors"),
        ({**whole, "best_state": {}}, f"lacks '{projection}'"),
    ):
        torch.save(held, tmp_path / "m" / LM)
        with pytest.raises(CheckpointError, match=says):
            import_model(tmp_path / "m", tmp_path / "x")


def test_a_text_encoder_of_another_width_is_refused(mono, tmp_path):
    write_audiocraft(tmp_path / "m", mono)
    write_encodec(tmp_path / "codec")
    options = ImportOptions(text_encoder=tmp_path / "codec")
    with pytest.raises(CheckpointError, match="a T5 of width 12"):
        import_model(tmp_path / "m", tmp_path / "x", options=options)
