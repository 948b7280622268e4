import json
import shutil

import pytest
import torch
from foreign_models import LEVELS, SIZE, TEXT_WIDTH, write_encodec, write_musicgen
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    EncodecModel,
    MusicgenForConditionalGeneration,
    T5EncoderModel,
)

import soundwright
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.codecs.stereo import StereoCodec
from soundwright.core.config import merge
from soundwright.core.errors import CheckpointError, MissingWeightsError, UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.protocols import TokenCodec
from soundwright.data.importers.folder import import_folder
from soundwright.data.tokens import tokenize
from soundwright.lm.decoding import DecodingConfig, generate
from soundwright.lm.engine import PlainEngine
from soundwright.pipelines import weight_files
from soundwright.pipelines.exporting import export_model
from soundwright.pipelines.foreign import ImportOptions
from soundwright.pipelines.importing import import_model
from soundwright.pipelines.models import find_model, read_part, read_record, verify_model
from soundwright.pipelines.parts import load_codec, load_lm
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.pipelines.training import train_recipe
from soundwright.text.encoders import load_text_encoder

PROMPTS = ["a dog barks twice", "rain"]
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module", params=[False, True], ids=["mono", "stereo"])
def stereo(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, stereo):
    folder = tmp_path_factory.mktemp("musicgen") / "musicgen-tiny"
    write_musicgen(folder, stereo=stereo)
    return folder


@pytest.fixture(scope="module")
def mono(tmp_path_factory):
    """A folder with a mono model, whatever `stereo` is; not to be changed."""
    folder = tmp_path_factory.mktemp("mono") / "m"
    write_musicgen(folder)
    return folder


@pytest.fixture(scope="module")
def peer(folder):
    return MusicgenForConditionalGeneration.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def imported(folder, tmp_path_factory):
    return import_model(folder, tmp_path_factory.mktemp("ours") / "tiny")


@pytest.fixture(scope="module")
def ours(imported):
    """Language model, codec and text states of the imported folder."""
    codec, record, place = load_codec(imported.folder)
    text = TextConfig.read(record.settings["text"])
    return load_lm(record, place), codec, load_text_encoder(text.encoder).encode(PROMPTS)


@pytest.fixture(scope="module")
def inputs(folder):
    return AutoTokenizer.from_pretrained(folder)(PROMPTS, padding=True, return_tensors="pt")


def test_logits_equal_transformers_from_the_prompt_on(peer, ours, inputs):
    lm, _, text = ours
    stream = torch.Generator().manual_seed(3)
    tokens = torch.randint(SIZE + 1, (2, lm.config.codebooks, 9), generator=stream)
    with torch.no_grad():
        theirs = peer(**inputs, decoder_input_ids=tokens.flatten(0, 1)).logits
        own = lm(tokens, text.states, text.mask).logits
    assert own.std() > 0.3
    torch.testing.assert_close(own, theirs.view_as(own), **TOLERANCE)


def test_greedy_generation_gives_the_same_sound(peer, ours, inputs, stereo):
    lm, codec, text = ours
    frames, length = 20, 20 + LEVELS
    with torch.no_grad():
        expected = peer.generate(**inputs, do_sample=False, guidance_scale=3.0, max_length=length)
    config = DecodingConfig(temperature=0.0, guidance=3.0, tail="special")
    tokens = generate(PlainEngine(lm), text, frames, [0, 0], config)
    assert len(tokens.unique()) > 5
    sound = codec.decode(tokens)
    assert sound.shape == (2, 1 + stereo, frames * codec.hop_length)
    torch.testing.assert_close(sound, expected, **TOLERANCE)
    if stereo:
        assert not torch.allclose(sound[:, 0], sound[:, 1], atol=1e-2)


def test_a_sound_becomes_the_tokens_that_transformers_makes_of_it(peer, ours, stereo):
    _, codec, _ = ours
    assert isinstance(codec, TokenCodec)
    assert (codec.channels, codec.codebooks) == (1 + stereo, (1 + stereo) * LEVELS)
    sound = torch.randn(2, 1 + stereo, 12 * 8, generator=torch.Generator().manual_seed(1))
    tokens = codec.encode(sound)
    with torch.no_grad():
        made = peer._prepare_audio_encoder_kwargs_for_generation(sound, {})["decoder_input_ids"]
    assert torch.equal(tokens, made.view_as(tokens))
    assert isinstance(codec, StereoCodec) == stereo


def test_the_model_generates_offline_wherever_it_is_moved(imported, own_cache, tmp_path, stereo):
    place = tmp_path / "moved"
    shutil.copytree(imported.folder, place)
    assert verify_model(place).hash == imported.record.hash
    model = soundwright.load(place)
    assert model.hash == imported.record.hash
    first, second = model.generate(PROMPTS, duration=0.3, seed=4)
    assert first.samples.shape == (1 + stereo, 120)
    assert not torch.equal(first.samples, second.samples)
    longer = model.generate(PROMPTS[0], duration=0.5, continue_from=first.sound)[0]
    assert longer.samples.shape == (1 + stereo, 200)


def test_the_settings_are_the_folders_own(imported, folder):
    record = imported.record
    generation = GenerationConfig.read(record.settings["generation"])
    assert (generation.window, generation.duration) == (1.2, 0.6)
    # transformers' default of 50 is nobody's choice: AudioCraft's stands for what is not said.
    assert (generation.cfg_scale, generation.top_k, generation.temperature) == (3.0, 250, 1.0)
    assert record.parts["lm"]["dropout"] == 0.0
    assert record.parts["lm"]["mask_text"] is True
    assert (record.kind, record.name, record.storage) == ("lm", "musicgen-tiny", "fp32")
    assert json.loads((imported.folder / "model.json").read_text())["settings"]["text"][
        "encoder"
    ] == {"kind": "t5", "name": "text_encoder", "revision": None, "max_tokens": 512}
    assert read_record(imported.folder).settings["text"]["encoder"]["name"] == str(
        imported.folder / "text_encoder"
    )


def test_the_text_encoder_is_a_folder_of_transformers(imported, peer, inputs):
    encoder = T5EncoderModel.from_pretrained(imported.folder / "text_encoder")
    with torch.no_grad():
        theirs = peer.text_encoder(**inputs).last_hidden_state
        assert torch.equal(encoder(**inputs).last_hidden_state, theirs)


@pytest.mark.parametrize("form", ["shards", "pickle", "pickled shards", "weight_g", "untied"])
def test_all_forms_of_one_model_are_one_model(folder, imported, peer, tmp_path, form):
    there = tmp_path / folder.name
    shutil.copytree(folder, there)
    state = peer.state_dict()
    if form == "shards":
        (there / "model.safetensors").unlink()
        peer.save_pretrained(there, max_shard_size="60KB")
        assert len(list(there.glob("model-*.safetensors"))) > 1
        # Written anew, without what is not said on the hub.
        shutil.copy(folder / "generation_config.json", there)
    else:
        (there / "model.safetensors").unlink()
        if form == "weight_g":
            state = {
                name.replace(".parametrizations.weight.original0", ".weight_g").replace(
                    ".parametrizations.weight.original1", ".weight_v"
                ): weight
                for name, weight in state.items()
            }
            state["decoder.model.decoder.embed_positions.weights"] = torch.zeros(4, 24)
        if form == "untied":
            del state["text_encoder.shared.weight"]
        names = sorted(state)
        if form == "pickled shards":
            half = len(names) // 2
            for number, part in enumerate((names[:half], names[half:])):
                torch.save(
                    {name: state[name] for name in part}, there / f"pytorch_model-{number}.bin"
                )
            where = {
                name: f"pytorch_model-{int(row >= half)}.bin" for row, name in enumerate(names)
            }
            write_json(there / "pytorch_model.bin.index.json", {"weight_map": where})
        else:
            torch.save(state, there / "pytorch_model.bin")
    assert import_model(there, tmp_path / "out").record.hash == imported.record.hash


def test_half_precision_is_kept_as_it_is_and_can_be_asked_for(folder, peer, imported, tmp_path):
    there = tmp_path / "half"
    shutil.copytree(folder, there)
    halved = {name: weight.half() for name, weight in peer.state_dict().items()}
    (there / "model.safetensors").unlink()
    torch.save(halved, there / "pytorch_model.bin")
    kept = import_model(there, tmp_path / "kept")
    asked = import_model(folder, tmp_path / "asked", options=ImportOptions(storage="fp16"))
    whole = read_part(imported.folder, "lm")
    for made in (kept, asked):
        assert made.record.storage == "fp16"
        for name, weight in read_part(made.folder, "lm").items():
            assert torch.equal(weight, whole[name].half().float())
    small = import_model(folder, tmp_path / "small", options=ImportOptions(storage="int8"))
    assert small.record.storage == "int8"
    error = read_part(small.folder, "lm")["heads.weight"] - whole["heads.weight"]
    assert error.abs().max() < 0.02


def test_an_equally_wide_text_encoder_has_no_projection(tmp_path, own_cache):
    peer = write_musicgen(
        tmp_path / "equal", hidden_size=TEXT_WIDTH, ffn_dim=4 * TEXT_WIDTH, num_attention_heads=2
    )
    assert not hasattr(peer, "enc_to_dec_proj")
    imported = import_model(tmp_path / "equal")
    assert imported.folder == own_cache / "models" / "equal"
    assert find_model("equal") == imported.folder
    projection = read_part(imported.folder, "lm")["text_projection.weight"]
    assert torch.equal(projection, torch.eye(TEXT_WIDTH))


def test_a_codec_with_more_levels_gives_those_that_are_spoken(tmp_path):
    peer = write_musicgen(tmp_path / "more", codec_levels=5)
    imported = import_model(tmp_path / "more", tmp_path / "ours")
    codec, _, _ = load_codec(imported.folder)
    tokens = torch.randint(SIZE, (1, LEVELS, 10))
    with torch.no_grad():
        expected = peer.audio_encoder.decode(tokens[None], [None]).audio_values
    torch.testing.assert_close(codec.decode(tokens), expected, **TOLERANCE)


def test_padding_of_texts_and_codec_can_be_chosen(mono, tmp_path):
    options = ImportOptions(mask_text=False, pad_mode="reflect")
    record = import_model(mono, tmp_path / "ours", options=options).record
    assert record.parts["lm"]["mask_text"] is False
    assert record.parts["codec"]["encodec"]["pad_mode"] == "reflect"


@pytest.mark.parametrize(
    ("front_matter", "licence"),
    [
        ("license: cc-by-nc-4.0", "CC-BY-NC-4.0"),
        ("license: other\nlicense_name: my terms", "my terms"),
        ("tags: [music]", "unknown; Meta's MusicGen and AudioGen weights are CC-BY-NC-4.0"),
        ("license: [", "unknown; Meta's MusicGen and AudioGen weights are CC-BY-NC-4.0"),
    ],
)
def test_the_licence_is_carried_along(tmp_path, front_matter, licence):
    write_encodec(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text(f"---\n{front_matter}\n---\n# A codec\n")
    record = import_model(tmp_path / "m", tmp_path / "ours").record
    assert record.licence == licence
    assert licence in (tmp_path / "ours" / "card.md").read_text()
    given = import_model(tmp_path / "m", tmp_path / "given", licence="CC0-1.0")
    assert given.record.licence == "CC0-1.0"


def test_an_encodec_alone_gives_as_many_levels_as_asked(tmp_path):
    peer = write_encodec(tmp_path / "codec", target_bandwidths=[0.4, 1.2])
    sound = torch.randn(1, 1, 160, generator=torch.Generator().manual_seed(2))
    for count, levels, bandwidth in ((None, 2, 0.4), (6, 6, 1.2)):
        out = tmp_path / f"ours-{levels}"
        options = ImportOptions(codebooks=count)
        record = import_model(tmp_path / "codec", out, options=options).record
        assert record.kind == "codec"
        codec, _, _ = load_codec(out)
        with torch.no_grad():
            wanted = peer.encode(sound, bandwidth=bandwidth).audio_codes[0]
        assert torch.equal(codec.encode(sound), wanted)
    with pytest.raises(UserError, match="7 codebooks"):
        import_model(tmp_path / "codec", tmp_path / "x", options=ImportOptions(codebooks=7))


def test_each_tensor_is_read_once_when_it_is_written(mono, tmp_path, monkeypatch):
    read, original = [], weight_files.WeightFiles.__getitem__

    def watch(self, name):
        read.append(name)
        return original(self, name)

    monkeypatch.setattr(weight_files.WeightFiles, "__getitem__", watch)
    import_model(mono, tmp_path / "ours")
    own = [name for name in read if name.startswith(("decoder.model", "decoder.lm_heads"))]
    assert len(own) == len(set(own)) >= 40


def shard(name):
    return {"weight_map": {"decoder.lm_heads.0.weight": name}}


CONFIGURATIONS = {
    "melody": {"model_type": "musicgen_melody"},
    "another architecture": {"model_type": "bert"},
    "more layers": {"decoder": {"num_hidden_layers": 3}},
    "fewer layers": {"decoder": {"num_hidden_layers": 1}},
    "other width": {"decoder": {"ffn_dim": 48}},
    "few levels": {"audio_encoder": {"target_bandwidths": [0.4]}},
    "other codes": {"audio_encoder": {"codebook_size": 32, "target_bandwidths": [0.76]}},
    "48 kHz": {"audio_encoder": {"normalize": True}},
    "nonsense": {"decoder": {"num_hidden_layers": "many"}},
}
"""What stands otherwise in config.json."""

FILES = {
    "no weights": {"model.safetensors": None},
    "no tokenizer": {"tokenizer.json": None},
    "pointer": {"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"},
    "lost shard": {
        "model.safetensors": None,
        "model.safetensors.index.json": json.dumps(shard("model-1.safetensors")),
    },
    "shard outside": {
        "model.safetensors": None,
        "model.safetensors.index.json": json.dumps(shard("../other.safetensors")),
    },
}
"""What stands in other files; None is nothing."""


def damage(folder, what):
    if what in CONFIGURATIONS:
        config = read_json(folder / "config.json")
        write_json(folder / "config.json", merge(config, CONFIGURATIONS[what]))
    for name, content in FILES.get(what, {}).items():
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_text(content)
    weights = folder / "model.safetensors"
    if what == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    if what == "not finite":
        state = load_file(weights)
        state["decoder.lm_heads.0.weight"][0, 0] = float("nan")
        save_file(state, weights)


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        ("melody", CheckpointError, "conditioned by a melody"),
        ("another architecture", CheckpointError, "is a bert"),
        ("truncated", CheckpointError, "model.safetensors is damaged"),
        ("no weights", CheckpointError, "holds no weights"),
        ("pointer", CheckpointError, "git lfs pull"),
        ("no tokenizer", MissingWeightsError, "has no tokenizer"),
        ("lost shard", CheckpointError, "model-1.safetensors is missing"),
        ("shard outside", CheckpointError, "names no shards"),
        ("more layers", CheckpointError, r"lack 'decoder.model.decoder.layers.2"),
        ("fewer layers", CheckpointError, "no place for"),
        ("other width", CheckpointError, r"of the shape \(96, 24\)"),
        ("few levels", CheckpointError, "speaks 3 codebooks; its codec has 2"),
        ("other codes", CheckpointError, "codebooks of 16, its codec of 32"),
        ("48 kHz", CheckpointError, "normalises"),
        ("nonsense", CheckpointError, "no configuration that transformers knows"),
        ("not finite", CheckpointError, "'heads.weight' holds values that are not finite"),
    ],
)
def test_what_cannot_be_imported_is_named_and_leaves_nothing(mono, tmp_path, what, error, says):
    shutil.copytree(mono, tmp_path / "m")
    damage(tmp_path / "m", what)
    with pytest.raises(error, match=says):
        import_model(tmp_path / "m", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_is_ours_already_or_nothing_at_all_is_named(imported, tmp_path, own_cache):
    with pytest.raises(UserError, match="is a model of Soundwright already"):
        import_model(imported.folder, tmp_path / "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeightsError, match=r"none of config\.json, state_dict\.bin"):
        import_model(tmp_path / "empty", tmp_path / "x")
    with pytest.raises(UserError, match="There is no no-such-thing"):
        import_model("no-such-thing", tmp_path / "x")
    with pytest.raises(UserError, match="no name for a model"):
        import_model(tmp_path / "empty", name="a/b")


def test_a_folder_that_is_not_empty_is_kept(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UserError, match="exists already"):
        import_model(folder, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_without_network_it_says_what_is_missing_and_where_to_put_it(tmp_path, own_cache):
    with pytest.raises(MissingWeightsError, match=r"hf download facebook/nothing --local-dir"):
        import_model("facebook/nothing", tmp_path / "x")


def test_a_loaded_model_may_be_changed_without_its_file(mono, tmp_path):
    record = import_model(mono, tmp_path / "ours").record
    lm = load_lm(record, tmp_path / "ours")
    with torch.no_grad():
        for weight in lm.parameters():
            weight.add_(1.0)
    assert verify_model(tmp_path / "ours").hash == record.hash


def test_a_fine_tuned_model_carries_the_text_encoder_on(mono, tmp_path, own_cache):
    imported = import_model(mono, tmp_path / "start")
    stream = torch.Generator().manual_seed(0)
    for prompt in PROMPTS * 2:
        name = f"{prompt}-{len(list(tmp_path.glob('set/*')))}.wav"
        write(tmp_path / "set" / name, Sound(0.3 * torch.randn(1, 600, generator=stream), 400))
    rows = [f"{path.name},{path.name.split('-')[0]}" for path in (tmp_path / "set").iterdir()]
    (tmp_path / "set" / "captions.csv").write_text("\n".join(["file,caption", *rows]))
    codec, _, _ = load_codec(imported.folder)
    corpus = import_folder(tmp_path / "set").manifest
    store = tokenize(corpus, codec, tmp_path / "tokens").folder
    changes = [f"from_model={imported.folder}", f"tokens={store}", "training.steps=2"]
    trained = train_recipe("finetune-tiny", changes, out=tmp_path / "run")
    shutil.rmtree(imported.folder)
    shutil.move(trained.model, tmp_path / "mine")
    record = verify_model(tmp_path / "mine")
    old = {name: imported.record.files[name] for name in record.files if "/" in name}
    assert old == {name: record.files[name] for name in old}
    assert old
    assert soundwright.load(tmp_path / "mine").generate("rain", duration=0.2)
    export_model(tmp_path / "mine", tmp_path / "out")
    back = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out")
    heads = torch.cat([head.weight for head in back.decoder.lm_heads])
    assert torch.equal(heads, read_part(tmp_path / "mine", "lm")["heads.weight"])


def test_a_foreign_folder_in_the_place_of_a_model_says_how_to_import_it(folder):
    with pytest.raises(CheckpointError, match="soundwright models import"):
        soundwright.load(folder)


def test_a_codec_of_transformers_is_one_here(tmp_path):
    peer = write_encodec(tmp_path / "codec")
    import_model(tmp_path / "codec", tmp_path / "ours")
    codec, _, _ = load_codec(tmp_path / "ours")
    assert isinstance(peer, EncodecModel)
    sound = torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        output = peer(sound)
    assert torch.equal(codec.encode(sound), output.audio_codes[0])
    torch.testing.assert_close(codec.decode(codec.encode(sound)), output.audio_values, **TOLERANCE)
