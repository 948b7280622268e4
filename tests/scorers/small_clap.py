"""A CLAP of random weights that is small enough for tests, as transformers saves them."""

from pathlib import Path

from filling import fill_tensor
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

from soundwright.core.seeding import initialising


def save_small(folder: Path, *, fusion: bool = False) -> None:
    """Write model, tokenizer and front end to a folder."""
    config = ClapConfig(
        projection_dim=24,
        text_config={
            "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 48, "max_position_embeddings": 90,
        },
        audio_config={
            "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 2, 1, 1],
            "num_attention_heads": [1, 2, 2, 4], "enable_fusion": fusion,
            "fusion_type": "aff_2d" if fusion else None,
        },
    )  # fmt: skip
    with initialising(0, "clap"):
        model = ClapModel(config)
    model.load_state_dict(
        {
            name: fill_tensor(name, value)
            if value.is_floating_point() and "projection" in name
            else value
            for name, value in model.state_dict().items()
        }
    )
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    extractor(fusion=fusion).save_pretrained(folder)


def tokenizer() -> PreTrainedTokenizerFast:
    """Splits at blanks; "w5" is token 5. Special tokens and padding are RoBERTa's."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {
        word: row for row, word in enumerate([*special, *(f"w{n}" for n in range(4, 120))])
    }
    model = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    model.pre_tokenizer = Whitespace()
    model.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def extractor(*, fusion: bool) -> ClapFeatureExtractor:
    truncation = "fusion" if fusion else "rand_trunc"
    return ClapFeatureExtractor(frequency_min=50, frequency_max=14000, truncation=truncation)
