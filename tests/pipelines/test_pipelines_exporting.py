import json

import pytest
import torch
from foreign_models import LEVELS, SIZE, write_encodec, write_musicgen
from transformers import (
    AutoProcessor,
    EncodecModel,
    GenerationConfig,
    MusicgenForConditionalGeneration,
)

from soundwright.core.errors import UserError
from soundwright.core.files import write_json
from soundwright.core.seeding import initialising
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.pipelines.exporting import export_model
from soundwright.pipelines.importing import import_model
from soundwright.pipelines.models import read_part, read_record, write_model
from soundwright.pipelines.parts import CodecChoice, build_codec

PROMPTS = ["a dog barks twice", "rain"]


@pytest.fixture(scope="module", params=[False, True], ids=["mono", "stereo"])
def stereo(request):
    return request.param


@pytest.fixture(scope="module")
def there(tmp_path_factory, stereo):
    """A MusicGen, its import, and that one's export."""
    base = tmp_path_factory.mktemp("round")
    peer = write_musicgen(base / "musicgen-tiny", stereo=stereo)
    readme = "---\nlicense: cc-by-nc-4.0\n---\n# Tiny\n"
    (base / "musicgen-tiny" / "README.md").write_text(readme)
    import_model(base / "musicgen-tiny", base / "ours")
    export_model(base / "ours", base / "out")
    return base, peer


def test_import_export_import_is_the_identity(there, tmp_path):
    base, _ = there
    again = import_model(base / "out", tmp_path / "again", name="musicgen-tiny").record
    first = read_record(base / "ours")
    assert again.hash == first.hash
    assert (again.parts, again.licence) == (first.parts, "CC-BY-NC-4.0")
    files = {name for name in first.files if name != "card.md"}
    assert {name: again.files[name] for name in files} == {
        name: first.files[name] for name in files
    }
    for part in ("lm", "codec"):
        one, other = read_part(base / "ours", part), read_part(tmp_path / "again", part)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_transformers_reads_the_same_model_back(there):
    base, peer = there
    back, report = MusicgenForConditionalGeneration.from_pretrained(
        base / "out", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    theirs = peer.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in back.state_dict().items())
    assert back.dtype == torch.float32
    drop = {"_name_or_path", "architectures", "dtype", "transformers_version"}
    trained = {"dropout", "activation_dropout"}
    for part in ("text_encoder", "audio_encoder", "decoder"):
        own, given = (getattr(m.config, part).to_dict() for m in (back, peer))
        different = {key for key in given if own.get(key) != given[key]} - drop
        assert different <= (trained if part == "decoder" else {"target_bandwidths"}), part
    # transformers' default of 0.1 is no part of the models.
    assert back.config.decoder.dropout == 0.0


def test_logits_and_greedy_sound_are_the_same_there(there, stereo):
    base, peer = there
    back = MusicgenForConditionalGeneration.from_pretrained(base / "out").eval()
    processor = AutoProcessor.from_pretrained(base / "out")
    assert processor.feature_extractor.feature_size == 1 + stereo
    inputs = processor(text=PROMPTS, padding=True, return_tensors="pt")
    stream = torch.Generator().manual_seed(3)
    tokens = torch.randint(SIZE, (2 * (1 + stereo) * LEVELS, 7), generator=stream)
    with torch.no_grad():
        logits = [model(**inputs, decoder_input_ids=tokens).logits for model in (back, peer)]
        sounds = [
            model.generate(**inputs, do_sample=False, max_length=20) for model in (back, peer)
        ]
    assert torch.equal(*logits)
    assert torch.equal(*sounds)
    assert sounds[0].shape == (2, 1 + stereo, (20 - LEVELS) * 8)


def test_the_generation_settings_say_what_transformers_would_get_wrong(there):
    base, _ = there
    config = GenerationConfig.from_pretrained(base / "out")
    assert (config.top_k, config.guidance_scale, config.max_length) == (250, 3.0, 60)
    special = (config.pad_token_id, config.decoder_start_token_id, config.bos_token_id)
    assert special == (SIZE, SIZE, SIZE)
    assert (config.do_sample, config.temperature) == (True, 1.0)


def test_half_precision_can_be_asked_for(there, tmp_path):
    base, peer = there
    export_model(base / "ours", tmp_path / "half", storage="fp16")
    back = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "half")
    assert back.dtype == torch.float16
    assert torch.equal(back.decoder.lm_heads[0].weight, peer.decoder.lm_heads[0].weight.half())


def test_a_codec_goes_out_alone(tmp_path):
    peer = write_encodec(tmp_path / "codec")
    import_model(tmp_path / "codec", tmp_path / "ours")
    export_model(tmp_path / "ours", tmp_path / "out")
    back = EncodecModel.from_pretrained(tmp_path / "out").eval()
    sound = torch.randn(1, 1, 200, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(back(sound).audio_codes, peer(sound).audio_codes)
        assert torch.equal(back(sound).audio_values, peer(sound).audio_values)
    first = read_record(tmp_path / "ours")
    again = import_model(tmp_path / "out", tmp_path / "again").record
    assert (again.hash, again.licence) == (first.hash, first.licence)
    assert AutoProcessor.from_pretrained(tmp_path / "out").sampling_rate == 400


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Writes a model of ours that differs from one that fits by what is given."""
    base = tmp_path_factory.mktemp("refused")
    write_musicgen(base / "peer")
    record = import_model(base / "peer", base / "fits").record
    numbers = iter(range(99))

    def write(*, lm=None, codec=None, text=None, generation=None):
        config = LmConfig.read({**record.parts["lm"], **(lm or {})})
        choice = CodecChoice.read(codec or record.parts["codec"])
        settings = json.loads(json.dumps(record.settings))
        settings["text"] |= text or {}
        settings["generation"] |= generation or {}
        folder = base / f"model-{next(numbers)}"
        with initialising(0, "test"):
            parts = {
                "lm": (config.plain(), AudioLm(config).state_dict()),
                "codec": (choice.plain(), build_codec(choice).state_dict()),
            }
        write_model(
            folder, kind="lm", name="m", parts=parts, settings=settings, recipe={},
            licence="CC0-1.0", card="",
        )  # fmt: skip
        return folder

    return write


ENCODEC = {
    "sample_rate": 400, "ratios": [4, 2], "filters": 2, "latent_width": 8, "lstm_layers": 1,
    "quantizer": {"codebooks": LEVELS, "codebook_size": SIZE},
}  # fmt: skip
COMPACT = {"compact": {"quantizer": {"codebooks": LEVELS, "codebook_size": SIZE}}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"codec": COMPACT}, "no counterpart of the light codec"),
        ({"lm": {"pattern": "parallel"}}, "delay pattern only"),
        ({"lm": {"mask_text": False}}, "reads text with its padding"),
        ({"lm": {"dim": 12, "heads": 2}}, "no text projection"),
        ({"codec": {"stereo_encodec": ENCODEC}}, "codes left and right apart"),
        ({"lm": {"pattern": "stereo-delay"}}, "codes all channels as one"),
        ({"text": {"preparation": {"lemmas": True, "numbers": "drop"}}}, r"\(numbers, lemmas\)"),
        ({"text": {"encoder": {"kind": "minilm"}}}, "reads texts with all-MiniLM-L6-v2"),
        ({"generation": {"cfg_scale": 0.5}}, "guidance is 0.5"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_with_the_reason(make, tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        export_model(make(**changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"temperature": 0.0}, {"do_sample": False, "temperature": None, "top_k": None}),
        ({"top_p": 0.9}, {"do_sample": True, "top_p": 0.9, "top_k": 0}),
        ({"cfg_scale": 1.0, "top_k": 0}, {"guidance_scale": 1.0, "top_k": 0}),
        ({"window": None}, {"max_length": 1500}),
        ({"window": 4.0}, {"max_length": 200}),
    ],
)
def test_sampling_means_the_same_there(make, tmp_path, settings, values):
    folder = make(generation=settings)
    export_model(folder, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert {key: found.get(key) for key in values} == values
    again = import_model(tmp_path / "out", tmp_path / "again").record.settings["generation"]
    for key in ("temperature", "top_p", "cfg_scale"):
        assert again[key] == read_record(folder).settings["generation"][key]


def test_a_model_trained_here_is_exact_there(make, tmp_path):
    folder = make()
    export_model(folder, tmp_path / "out")
    back = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    ours = read_part(folder, "lm")["heads.weight"]
    heads = torch.cat([head.weight for head in back.decoder.lm_heads])
    assert torch.equal(heads, ours)


def test_a_folder_that_is_there_is_kept(make, tmp_path):
    write_json(tmp_path / "out" / "mine.json", {})
    with pytest.raises(UserError, match="exists already"):
        export_model(make(), tmp_path / "out")
