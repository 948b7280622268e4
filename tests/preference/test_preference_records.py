import pytest

from soundwright.core.errors import UserError
from soundwright.preference.record_files import (
    is_written,
    read_pairs,
    read_records,
    sound_path,
    write_records,
)
from soundwright.preference.records import Pair, Perturbation, Scores, Side


def make_side(name, **changes):
    return Side(
        **{
            "rollout": name,
            "path": f"sounds/{name}.wav",
            "pcm_hash": name * 3,
            "seed": 5,
            "asked": "a dog\u2028barks",
            **changes,
        }
    )


def make_pair(name="p", **changes):
    return Pair(
        **{
            "id": name,
            "caption": "c",
            "prompt": "a dog\u2028barks",
            "strategy": "S1.2",
            "duration": 2.0,
            "sample_rate": 16000,
            "winner": make_side("w"),
            "loser": make_side("l", steps=50),
            "scores": {"matcher": Scores(winner=0.5, loser=0.25)},
            **changes,
        }
    )


def test_pairs_come_back_as_they_were_and_find_their_sounds(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_records(path, "pairs", "f", {"judges": ["matcher"]}, [make_pair("p"), make_pair("q")])
    found = read_pairs(tmp_path)
    assert found == read_pairs(path)
    assert found.items == (make_pair("p"), make_pair("q"))
    assert (found.fingerprint, found.facts) == ("f", {"judges": ["matcher"]})
    assert found.items[0].scores["matcher"].delta == 0.25
    assert sound_path(found.folder, found.items[0].winner) == tmp_path / "sounds" / "w.wav"
    before = path.read_bytes()
    write_records(path, "pairs", "f", {"judges": ["matcher"]}, found.items)
    assert path.read_bytes() == before


def test_a_winner_is_not_its_loser():
    with pytest.raises(ValueError, match="the same sound"):
        make_pair(loser=make_side("w"))


def test_a_file_is_known_again_by_what_it_was_made_of(tmp_path):
    path = tmp_path / "pairs.jsonl"
    assert not is_written(path, "pairs", "f")
    write_records(path, "pairs", "f", {}, [make_pair()])
    assert is_written(path, "pairs", "f")
    with pytest.raises(UserError, match="made of something else"):
        is_written(path, "pairs", "g")
    with pytest.raises(UserError, match="no file of captions"):
        is_written(path, "captions", "f")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no file of pairs"),
        ("[1]\n", "no file of pairs"),
        ('{"format": "soundwright-pairs", "version": 2}\n', "version 2"),
        ('{"format": "soundwright-pairs", "version": 1, "fingerprint": "f"}\n', "holds no pair"),
        ('{"format": "soundwright-pairs", "version": 1}\n{"id": 3}\n', "line 2, key 'id'"),
        ('{"format": "soundwright-pairs", "version": 1}\n{"id"\n', "line 2"),
    ],
)
def test_what_is_no_file_of_pairs_is_said(tmp_path, content, says):
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=says):
        read_pairs(path)


def test_a_pair_that_stands_twice_or_has_one_sound_is_refused(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_records(path, "pairs", "f", {}, [make_pair(), make_pair()])
    with pytest.raises(UserError, match="twice"):
        read_pairs(path)
    write_records(path, "pairs", "f", {}, [make_pair()])
    path.write_text(path.read_text().replace("lll", "www"))
    with pytest.raises(UserError, match="line 2: winner and loser are the same sound"):
        read_pairs(path)


def test_a_missing_file_and_another_kind_are_said(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_pairs(tmp_path)
    write_records(tmp_path / "pairs.jsonl", "pairs", "f", {}, [make_pair()])
    with pytest.raises(UserError, match="no file of perturbations"):
        read_records(tmp_path / "pairs.jsonl", "perturbations", Perturbation)
