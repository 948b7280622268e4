"""Pairs as batches for training, which follow from their number, and pairs held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

from torch import Tensor

from soundwright.core.protocols import LatentBatch, TokenBatch
from soundwright.core.seeding import derive_seed
from soundwright.data.ordering import DrawOrder
from soundwright.data.segments import Share, stack_crops
from soundwright.data.store import LatentStore, TokenStore
from soundwright.preference.pair_sounds import clip_id
from soundwright.preference.policies import Frames, Role, Sounds, with_texts
from soundwright.preference.records import Pair


@dataclass(frozen=True)
class PairBatch(Generic[Frames]):
    """B pairs: rows 0 to B - 1 are the winners, in the order of `pairs`, the rest the losers."""

    frames: Frames
    """2 B rows, with the prompts as texts."""
    pairs: tuple[str, ...]
    """Ids."""
    epochs: tuple[int, ...]
    """In which each pair is looked at."""
    others: tuple[str, ...]
    """A prompt for each pair that is another pair's; empty where all prompts are the same."""

    @property
    def sounds(self) -> Sounds[Frames]:
        """All 2 B."""
        roles: list[Role] = ["winner", "loser"]
        return Sounds(
            self.frames,
            2 * self.pairs,
            tuple(role for role in roles for _ in self.pairs),
            2 * self.epochs,
        )

    @property
    def winners(self) -> Sounds[Frames]:
        """B."""
        return self._take_winners(self.frames.texts[: len(self.pairs)], "winner")

    @property
    def mismatched(self) -> Sounds[Frames] | None:
        """The winners with prompts that are not theirs, B."""
        return self._take_winners(self.others, "mismatched") if self.others else None

    def _take_winners(self, texts: tuple[str, ...], role: Role) -> Sounds[Frames]:
        count = len(self.pairs)
        frames = with_texts(take_rows(self.frames, count), texts)
        return Sounds(frames, self.pairs, (role,) * count, self.epochs)


class Draw(NamedTuple):
    """One pair in one place of the order of training."""

    pair: Pair
    epoch: int
    other: str
    """A prompt of another pair of the batch; the pair's own where there is none."""


class PairBatches:
    """`Batches[PairBatch]`, endless: each epoch has every pair once, in an order of its own.

    Latents are all of one length, that of the longest pair, beyond whose end there is silence;
    tokens are as long as the longest of their batch.

    Args:
        store: With the frames of all sounds.
        pairs: To draw from.
        batch: Pairs in a batch.
        seed: Of the order.
        text: Prepares a prompt as the model reads it.
        shuffle: False goes through the pairs as they stand.
        share: Which part of each batch this process takes; all of it if not given.
    """

    def __init__(
        self,
        store: TokenStore | LatentStore,
        pairs: Sequence[Pair],
        batch: int,
        *,
        seed: int,
        text: Callable[[str], str] = str,
        shuffle: bool = True,
        share: Share | None = None,
    ) -> None:
        self.store, self.pairs, self.text = store, tuple(pairs), text
        self.seed, self.shuffle = seed, shuffle
        self.share = share or Share(batch)
        self.order = DrawOrder(len(self.pairs), seed, shuffle=shuffle)
        self._longest = max(store.frames(clip_id(pair.winner)) for pair in self.pairs)

    def for_rank(self, rank: int, ranks: int) -> PairBatches:
        """The same batches, of which one of `ranks` processes takes its share.

        Raises:
            UserError: A batch cannot be divided by the number of ranks.
        """
        return PairBatches(
            self.store,
            self.pairs,
            self.share.batch,
            seed=self.seed,
            text=self.text,
            shuffle=self.shuffle,
            share=Share(self.share.batch, rank, ranks),
        )

    def draws(self, index: int) -> list[Draw]:
        """What batch `index` consists of; this rank's share."""
        size = self.share.batch
        places = range(index * size, (index + 1) * size)
        pairs = [self.pairs[self.order[place]] for place in places]
        drawn = [
            Draw(pair, place // self.order.count, _other_prompt(pairs, number))
            for number, (pair, place) in enumerate(zip(pairs, places, strict=True))
        ]
        return [drawn[number] for number in self.share.of(range(size))]

    def __getitem__(self, index: int) -> PairBatch[Any]:
        """This rank's share of batch `index`."""
        drawn = self.draws(index)
        sides = [draw.pair.winner for draw in drawn] + [draw.pair.loser for draw in drawn]
        texts = 2 * tuple(self.text(draw.pair.prompt) for draw in drawn)
        others = tuple(self.text(draw.other) for draw in drawn)
        # All prompts of a batch are the same, or none is without another.
        lonely = any(draw.other == draw.pair.prompt for draw in drawn)
        return PairBatch(
            self._read([clip_id(side) for side in sides], texts),
            tuple(draw.pair.id for draw in drawn),
            tuple(draw.epoch for draw in drawn),
            () if lonely else others,
        )

    def _read(self, ids: Sequence[str], texts: tuple[str, ...]) -> TokenBatch | LatentBatch:
        store = self.store
        if isinstance(store, TokenStore):
            longest = max(store.frames(one) for one in ids)
            tokens, mask = stack_crops([store.read(one) for one in ids], longest)
            return TokenBatch(tokens, mask, texts, tuple(ids))
        read_ = [store.read(one) for one in ids]
        silent_mean, silent_deviation = store.silence
        mean, mask = stack_crops([mean for mean, _ in read_], self._longest, silent_mean)
        deviation, _ = stack_crops([part for _, part in read_], self._longest, silent_deviation)
        return LatentBatch(mean, deviation, mask, texts, tuple(ids))


def take_rows(frames: Frames, count: int) -> Frames:
    """The first rows of a batch of frames."""

    def cut(value: Any) -> Any:
        return value[:count] if isinstance(value, Tensor | tuple) else value

    return type(frames)(**{name: cut(value) for name, value in vars(frames).items()})


def hold_out(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on, and those of a share of the captions, which training does not see.

    Args:
        pairs: The pairs.
        share: Of the captions; more than 0 holds out one at least, where there are two.
        seed: Which ones.
    """
    captions = sorted(
        {pair.caption for pair in pairs}, key=lambda one: derive_seed(seed, "held out", one)
    )
    count = round(share * len(captions))
    count = min(max(count, 1), len(captions) - 1) if share > 0 else 0
    held = set(captions[:count])
    train = [pair for pair in pairs if pair.caption not in held]
    return train, [pair for pair in pairs if pair.caption in held]


def _other_prompt(pairs: Sequence[Pair], number: int) -> str:
    """The prompt of the next pair of the batch, taken as a circle, that has another one."""
    own = pairs[number].prompt
    behind = [*pairs[number + 1 :], *pairs[:number]]
    return next((pair.prompt for pair in behind if pair.prompt != own), own)
