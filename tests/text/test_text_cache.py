from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.core.protocols import TextEncoder, TextStates
from soundwright.core.seeding import torch_stream
from soundwright.text import cache
from soundwright.text.cache import CachedTextEncoder
from soundwright.text.encoders import sentence_vectors

TEXTS = ["a dog barks", "", "rain", "a bell rings thrice", "rain"]


class CountingEncoder:
    """A small encoder, its states a function of each word, that counts what it is asked."""

    width = 8

    def __init__(self, identity: str = "counting") -> None:
        self.identity = identity
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> TextStates:
        self.asked += texts
        words = [text.split() for text in texts]
        length = max(1, *map(len, words), 1)
        states, mask = torch.zeros(len(texts), length, 8), torch.zeros(len(texts), length).bool()
        for row, text in enumerate(words):
            for place, word in enumerate(text):
                stream = torch_stream(0, self.identity, word, place)
                states[row, place] = torch.randn(8, generator=stream)
                mask[row, place] = True
        return TextStates(states, mask, sentence_vectors(states, mask))


def assert_same(one: TextStates, two: TextStates) -> None:
    assert torch.equal(one.states, two.states)
    assert torch.equal(one.mask, two.mask)
    assert torch.equal(one.sentence, two.sentence)


def packs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_same_states_and_each_text_once(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    cached = CachedTextEncoder(encoder, tmp_path)
    assert isinstance(cached, TextEncoder)
    assert (cached.width, cached.identity) == (8, "counting")
    expected = CountingEncoder().encode(TEXTS)
    assert_same(cached.encode(TEXTS), expected)
    assert sorted(encoder.asked) == sorted(set(TEXTS))
    assert_same(cached.encode(TEXTS), expected)
    assert_same(cached.encode(TEXTS[::-1]), CountingEncoder().encode(TEXTS[::-1]))
    assert len(encoder.asked) == 4
    assert cached.encode([]).states.shape == (0, 1, 8)
    assert_same(cached.encode([""]), CountingEncoder().encode([""]))


def test_a_later_process_reads_the_disk(tmp_path: Path) -> None:
    CachedTextEncoder(CountingEncoder(), tmp_path).encode(TEXTS)
    encoder = CountingEncoder()
    assert_same(CachedTextEncoder(encoder, tmp_path).encode(TEXTS), CountingEncoder().encode(TEXTS))
    assert encoder.asked == []


def test_another_encoder_has_its_own_entries(tmp_path: Path) -> None:
    CachedTextEncoder(CountingEncoder(), tmp_path).encode(TEXTS)
    other = CountingEncoder("another")
    assert_same(
        CachedTextEncoder(other, tmp_path).encode(TEXTS), CountingEncoder("another").encode(TEXTS)
    )
    assert len(other.asked) == 4


def test_entries_of_a_process_that_runs_beside_are_seen(tmp_path: Path) -> None:
    one, two = CountingEncoder(), CountingEncoder()
    first, second = CachedTextEncoder(one, tmp_path), CachedTextEncoder(two, tmp_path)
    first.encode(["rain"])
    second.encode(["rain", "wind"])
    assert two.asked == ["wind"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "header"])
def test_damaged_packs_are_computed_again(tmp_path: Path, damage: str) -> None:
    CachedTextEncoder(CountingEncoder(), tmp_path).encode(TEXTS)
    (pack,) = packs(tmp_path)
    content = bytearray(pack.read_bytes())
    if damage == "flip":
        content[-20] ^= 1
    if damage == "header":
        content[20] ^= 0xFF
    pack.write_bytes({"cut": content[:-10], "empty": b""}.get(damage, content))
    for asked in (4, 0):
        encoder = CountingEncoder()
        result = CachedTextEncoder(encoder, tmp_path).encode(TEXTS)
        assert_same(result, CountingEncoder().encode(TEXTS))
        assert len(encoder.asked) == asked


def test_a_pack_that_vanishes_is_computed_again(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    cached = CachedTextEncoder(encoder, tmp_path, memory_bytes=0)
    cached.encode(TEXTS)
    packs(tmp_path)[0].unlink()
    assert_same(cached.encode(TEXTS), CountingEncoder().encode(TEXTS))
    assert len(encoder.asked) == 8


def test_memory_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    entry = (1 + 1) * 8 * 4
    cached = CachedTextEncoder(encoder, tmp_path, memory_bytes=3 * entry)
    for text in ("a", "b", "c", "a", "d"):
        cached.encode([text])
    for pack in packs(tmp_path):
        pack.unlink()
    encoder.asked.clear()
    for text in ("a", "c", "d"):
        cached.encode([text])
    assert encoder.asked == []
    cached.encode(["b"])
    assert encoder.asked == ["b"]


def test_many_texts_go_into_several_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PACK_TEXTS", 10)
    texts = [f"text number {row}" for row in range(35)]
    result = CachedTextEncoder(CountingEncoder(), tmp_path).encode(texts)
    assert_same(result, CountingEncoder().encode(texts))
    assert len(packs(tmp_path)) == 4


def work(folder: Path, first: int) -> str:
    texts = [f"text number {row}" for row in range(first, first + 30)]
    cached = CachedTextEncoder(CountingEncoder(), folder)
    states = [cached.encode(texts[row : row + 3]) for row in range(0, 30, 3)]
    return hash_bytes(b"".join(one.states.numpy().tobytes() for one in states))


def test_processes_share_a_folder(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.starmap(work, [(tmp_path, 0), (tmp_path, 15), (tmp_path, 0), (tmp_path, 15)])
    assert found[:2] == found[2:] == [work(tmp_path / "alone", 0), work(tmp_path / "alone", 15)]
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        CachedTextEncoder(CountingEncoder(), tmp_path / "file").encode(["rain"])
