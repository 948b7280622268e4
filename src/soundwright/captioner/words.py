"""Words as numbers: BART's own tokenizer, or a small one that is trained on captions.

Both are a `tokenizer.json` of the tokenizers library, and in both the special words have BART's
numbers. Bytes are the alphabet, so that every title can be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from soundwright.core.errors import CheckpointError, UserError

BEGIN, PAD, END, UNKNOWN, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
SPECIAL = (BEGIN, PAD, END, UNKNOWN)
"""In the order of their numbers."""
BYTES = 256


class Words:
    """A tokenizer.

    Args:
        text: What its `tokenizer.json` says.

    Raises:
        CheckpointError: It says nothing that the tokenizers library can read, or its special words
            are not BART's.
    """

    begin, pad, end = 0, 1, 2

    def __init__(self, text: str) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:
            raise CheckpointError(f"The tokenizer cannot be read: {error}") from error
        numbers = tuple(self._tokenizer.token_to_id(word) for word in SPECIAL)
        mask = self._tokenizer.token_to_id(MASK)
        if numbers != (0, 1, 2, 3) or mask is None:
            raise CheckpointError(
                f"The tokenizer gives {', '.join(SPECIAL)} the numbers {numbers}.",
                expected=f"0, 1, 2 and 3, as BART does, and some number for {MASK}",
            )
        self.mask: int = mask
        self.text = text

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def unsaid(self) -> list[int]:
        """Numbers that stand in no caption."""
        return [self.begin, self.pad, SPECIAL.index(UNKNOWN), self.mask]

    def encode(self, text: str) -> list[int]:
        """The numbers of a text, without special ones."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers; special ones are left out."""
        text = self._tokenizer.decode(list(numbers), skip_special_tokens=True)
        return " ".join(text.split())


def train_words(texts: Iterable[str], size: int) -> Words:
    """A byte-level BPE with at most `size` words, learnt from texts; same texts, same words.

    Raises:
        UserError: There is no room for the special words and the bytes.
    """
    least = len(SPECIAL) + 1 + BYTES
    if size < least:
        raise UserError(f"{size} words are too few.", expected=f"at least {least}")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, AddedToken(MASK, lstrip=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    return Words(tokenizer.to_str())
