"""The public weights that a captioner is made of: BART and CLAP from folders of transformers."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BartForConditionalGeneration,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    PreTrainedTokenizerFast,
)

from soundwright.captioner.language import BartShape, build_bart, fetch_bart
from soundwright.captioner.words import MASK, SPECIAL
from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.seeding import initialising
from soundwright.pipelines.captioner_parts import open_ears, open_language
from soundwright.pipelines.captioner_recipe import ClapSource, LanguageSource, TowerSource

CPU = torch.device("cpu")
SHAPE = BartShape(words=40, width=16, layers=1, heads=2, hidden=32, positions=32)


def make_tokenizer(special=SPECIAL):
    vocabulary = {word: number for number, word in enumerate([*special, "a", "dog", "barks", MASK])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=MASK,
    )


@pytest.fixture
def bart_folder(tmp_path):
    with initialising(0, "bart"):
        bart = BartForConditionalGeneration(SHAPE.transformers_config())
    bart.save_pretrained(tmp_path / "bart")
    make_tokenizer().save_pretrained(tmp_path / "bart")
    return tmp_path / "bart"


@torch.no_grad()
def test_bart_comes_out_of_its_folder_as_it_went_in(bart_folder):
    language = open_language(LanguageSource(bart=str(bart_folder)))
    assert language.shape == SHAPE
    assert language.words.encode("a dog barks") == [4, 5, 6]
    ours = build_bart(language.shape)
    ours.load_state_dict(language.weights)
    theirs = BartForConditionalGeneration.from_pretrained(bart_folder)
    numbers = torch.tensor([[0, 4, 5, 6, 2]])
    arguments = {"input_ids": numbers, "decoder_input_ids": numbers}
    assert torch.equal(ours.eval()(**arguments).logits, theirs.eval()(**arguments).logits)


def test_a_bart_without_words_is_refused(bart_folder):
    for path in bart_folder.glob("*token*"):
        path.unlink()
    with pytest.raises((MissingWeightsError, CheckpointError)):
        fetch_bart(str(bart_folder))


def test_a_bart_with_other_numbers_is_refused(bart_folder):
    make_tokenizer(("<pad>", "<s>", "</s>", "<unk>")).save_pretrained(bart_folder)
    with pytest.raises(CheckpointError, match="as BART does"):
        fetch_bart(str(bart_folder))


def test_no_bart_without_the_network(own_cache):
    with pytest.raises(MissingWeightsError, match="facebook/bart-base"):
        fetch_bart("facebook/bart-base")


@pytest.fixture
def clap_folder(tmp_path):
    config = ClapConfig(
        audio_config={
            "spec_size": 256,
            "window_size": 8,
            "depths": [1, 1],
            "num_attention_heads": [1, 2],
            "num_hidden_layers": 2,
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "patch_stride": [4, 4],
            "projection_dim": 12,
        },
        text_config={
            "vocab_size": 8,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 90,
            "projection_dim": 12,
        },
        projection_dim=12,
    )
    with initialising(0, "clap"):
        ClapModel(config).save_pretrained(tmp_path / "clap")
    make_tokenizer().save_pretrained(tmp_path / "clap")
    ClapFeatureExtractor(frequency_min=50, frequency_max=14000).save_pretrained(tmp_path / "clap")
    return tmp_path / "clap"


def test_a_clap_gives_the_tower_and_the_vector(clap_folder):
    ears = open_ears(TowerSource(clap=str(clap_folder)), ClapSource(clap=str(clap_folder)), CPU)
    assert ears.towers.tower.width == 16
    assert ears.vector_width == 12
    assert ears.clap_name == str(clap_folder)
    audio = ClapModel.from_pretrained(clap_folder).audio_model.state_dict()
    ours = ears.towers.tower.network.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in audio.items())
    (found,) = ears.towers.listen([0.1 * torch.randn(32_000, generator=torch.Generator())])
    assert found.states.shape == (ears.towers.tower.frames, 16)
    assert found.vector.shape == (12,)


def test_without_clap_there_is_no_vector():
    ears = open_ears(TowerSource(tagger="tagger2"), None, CPU)
    assert ears.vector_width is None
    assert set(ears.parts) == {"tower"}
