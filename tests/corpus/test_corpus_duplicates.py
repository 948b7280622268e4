from itertools import pairwise

import numpy as np
import pytest
from fingerprint_sounds import cut, draw_fingerprint, join
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundwright.core.errors import UserError
from soundwright.corpus.duplicates import (
    Duplicate,
    DuplicateConfig,
    find_duplicates,
    read_duplicates,
)
from soundwright.corpus.fingerprints import FingerprintConfig
from soundwright.corpus.sketches import Sketch, write_sketches
from soundwright.corpus.sorting import pack, sort_rows, unpack

FINGERPRINTS = FingerprintConfig()


def sketch(name, fingerprint, pcm_hash=None, preference=0):
    return Sketch(name, name if pcm_hash is None else pcm_hash, fingerprint, preference)


def find(folder, shards, config=DuplicateConfig()):  # noqa: B008 (frozen)
    """The report, and one table of all shards."""
    paths = []
    for number, shard in enumerate(shards):
        paths.append(folder / f"{number}.safetensors")
        write_sketches(paths[-1], shard, FINGERPRINTS)
    report = find_duplicates(paths, folder / "tables", config, scratch=folder)
    table = {}
    for path in paths:
        table |= read_duplicates(folder / "tables" / f"{path.stem}.json")
    return report, table


def mixed_corpus():
    """Wholes, parts, copies of samples, a chain, and strangers."""
    a, b, c = (draw_fingerprint(seed) for seed in (1, 2, 3))
    return [
        sketch("whole", a),
        sketch("part", cut(a, 2, 7)),
        sketch("again", cut(a, 2, 7), pcm_hash="part"),
        sketch("twin-1", b),
        sketch("twin-2", b),
        sketch("chain-1", c),
        sketch("chain-2", join(cut(c, 4, 10), draw_fingerprint(4, 3.5))),
        sketch("chain-3", join(draw_fingerprint(4, 3.5), draw_fingerprint(5, 3.5))),
        *(sketch(f"other-{seed}", draw_fingerprint(seed)) for seed in range(10, 16)),
        sketch("empty-1", draw_fingerprint(0, 0.0)),
        sketch("empty-2", draw_fingerprint(0, 0.0)),
    ]


EXPECTED = {
    "part": ("whole", "same-sound", 2.0),
    "again": ("whole", "same-sound", 2.0),
    "twin-2": ("twin-1", "same-sound", 0.0),
    "chain-2": ("chain-1", "same-sound", 4.0),
}


def told(table):
    return {name: (one.kept, one.how, one.offset) for name, one in table.items()}


def test_finds_what_is_there_and_nothing_else(tmp_path):
    report, table = find(tmp_path, [mixed_corpus()])
    assert told(table) == EXPECTED
    assert all(0.9 < one.score <= 1 for one in table.values())
    assert (report.clips, report.same_samples, report.same_sound) == (16, 1, 3)
    assert (report.crowded_hashes, report.pairs_left_out) == (0, 0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(16)),
    cuts=st.sets(st.integers(1, 15), max_size=4),
    rows=st.sampled_from([7, 100, 1 << 20]),
)
def test_order_shards_and_memory_change_nothing(tmp_path_factory, order, cuts, rows):
    corpus = mixed_corpus()
    shuffled = [corpus[number] for number in order]
    edges = [0, *sorted(cuts), 16]
    shards = [shuffled[a:b] for a, b in pairwise(edges)]
    folder = tmp_path_factory.mktemp("corpus")
    report, table = find(folder, shards, DuplicateConfig(memory_rows=rows))
    assert told(table) == EXPECTED
    assert (report.same_samples, report.same_sound) == (1, 3)
    assert not [path for path in folder.iterdir() if path.name.startswith("bucket-")]


def test_a_table_belongs_to_its_shard_and_is_the_same_twice(tmp_path):
    corpus = mixed_corpus()
    for name in ("one", "two"):
        find(tmp_path / name, [corpus[:2], corpus[2:]])
    first, second = (tmp_path / name / "tables" / "0.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert list(read_duplicates(first)) == ["part"]


def test_two_short_clips_give_way_to_the_one_that_holds_both(tmp_path):
    whole = draw_fingerprint(1)
    shard = [sketch("a", cut(whole, 0, 4)), sketch("b", cut(whole, 6, 10)), sketch("z", whole)]
    _, table = find(tmp_path, [shard])
    assert told(table) == {"a": ("z", "same-sound", 0.0), "b": ("z", "same-sound", 6.0)}


def test_a_clip_that_only_overlaps_a_dropped_one_stays(tmp_path):
    recording = draw_fingerprint(1, 20.0)
    pieces = [(0, 10), (5, 14), (9.5, 18)]
    shard = [sketch(f"{start:g}", cut(recording, start, end)) for start, end in pieces]
    _, table = find(tmp_path, [shard])
    assert told(table) == {"5": ("0", "same-sound", 5.0)}


def test_an_overlap_of_less_than_half_is_no_duplicate(tmp_path):
    recording = draw_fingerprint(1, 20.0)
    shard = [sketch("a", cut(recording, 0, 10)), sketch("b", cut(recording, 6, 16))]
    assert find(tmp_path / "half", [shard])[1] == {}
    _, table = find(tmp_path / "less", [shard], DuplicateConfig(least_covered=0.3))
    assert told(table) == {"b": ("a", "same-sound", 6.0)}


def test_the_preferred_of_equally_long_ones_is_kept(tmp_path):
    sound = draw_fingerprint(1)
    coded = type(sound)(sound.hashes, sound.times, 10.03)
    shard = [sketch("a", coded, preference=3), sketch("b", sound, preference=1), sketch("c", sound)]
    assert told(find(tmp_path, [shard])[1]) == {
        "a": ("c", "same-sound", 0.0),
        "b": ("c", "same-sound", 0.0),
    }


def test_the_same_samples_need_no_landmarks(tmp_path):
    silence = draw_fingerprint(0, 0.0)
    shards = [[sketch("b", silence, "5a")], [sketch("a", silence, "5a"), sketch("c", silence, "")]]
    report, table = find(tmp_path, [*shards, [sketch("d", silence, "")]])
    assert table == {"b": Duplicate(kept="a", how="same-samples", score=1.0, offset=0.0)}
    assert report.compared == 0


def test_a_sound_more_frequent_than_partners_is_still_found_and_told(tmp_path):
    sound = draw_fingerprint(1, 2.0)
    shard = [sketch(f"{number:02d}", sound) for number in range(40)]
    report, table = find(tmp_path, [shard], DuplicateConfig(partners=3))
    assert {one.kept for one in table.values()} == {"00"}
    assert len(table) == 39
    assert report.crowded_hashes == len(sound)
    assert report.pairs_left_out == len(sound) * (40 * 39 // 2 - (1 + 2 + 3 * 37))


def test_a_corpus_of_no_clips_has_no_duplicates(tmp_path):
    assert find(tmp_path, [[]])[1] == {}
    assert find_duplicates([], tmp_path / "none").clips == 0


def test_refuses_a_clip_in_two_shards(tmp_path):
    one = sketch("a", draw_fingerprint(1))
    with pytest.raises(UserError, match="clip a stands in the sketches twice"):
        find(tmp_path, [[one], [one]])


def test_refuses_two_shards_of_one_name(tmp_path):
    with pytest.raises(UserError, match="one name"):
        find_duplicates([tmp_path / "a" / "0.x", tmp_path / "b" / "0.x"], tmp_path)


def test_refuses_fingerprints_of_another_configuration(tmp_path):
    path = tmp_path / "0.safetensors"
    write_sketches(path, [sketch("a", draw_fingerprint(1))], FingerprintConfig(targets=3))
    with pytest.raises(UserError, match="another configuration"):
        find_duplicates([path], tmp_path / "tables")


def test_refuses_damaged_sketches_and_tables(tmp_path):
    path = tmp_path / "0.safetensors"
    write_sketches(path, [sketch("a", draw_fingerprint(1))], FINGERPRINTS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"sketches .* cannot be read"):
        find_duplicates([path], tmp_path / "tables")
    (tmp_path / "0.json").write_text('{"a": 3}')
    with pytest.raises(UserError, match="no table of duplicates"):
        read_duplicates(tmp_path / "0.json")


@settings(max_examples=25)
@given(
    keys=st.lists(st.integers(5, 999), max_size=300),
    limit=st.integers(1, 60),
    piece=st.integers(1, 50),
)
def test_sorting_through_files_is_sorting(tmp_path_factory, keys, limit, piece):
    folder = tmp_path_factory.mktemp("sorting")
    rows = pack(np.array(keys, np.int64), np.arange(len(keys)) % 3)
    pieces = [rows[begin : begin + piece] for begin in range(0, len(rows), piece)]
    found = list(sort_rows(pieces, folder, keys=range(5, 1000), limit=limit))
    assert np.array_equal(np.concatenate([rows[:0], *found]), np.sort(rows))
    spans = [unpack(part)[0] for part in found]
    assert all(len(span) <= limit or span[0] == span[-1] for span in spans)
    assert all(a[-1] < b[0] for a, b in pairwise(spans))
    assert not list(folder.iterdir())
