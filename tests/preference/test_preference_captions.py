import json

import numpy as np
import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.core.protocols import TextStates
from soundwright.core.records import Caption, Clip, Location, Source
from soundwright.data.manifest import Header, Manifest, write_manifest
from soundwright.preference.captions import (
    CaptionChoice,
    cluster,
    embed_captions,
    encoder_config,
    read_captions,
    read_selected,
    select_captions,
    write_captions,
)
from soundwright.preference.records import caption_id

TEXTS = [f"{animal} number {number}" for animal in ("dog", "cat", "owl") for number in range(6)]
CENTRES = {"dog": (1.0, 0.0), "cat": (0.0, 1.0), "owl": (-1.0, 0.0), "rain": (0.0, -1.0)}


class AnimalEncoder:
    """Vectors near the animal's centre."""

    width, identity = 2, "animals"

    def __init__(self):
        self.read = []

    def encode(self, texts):
        self.read += texts
        rows = [
            torch.tensor(CENTRES[text.split()[0]])
            + 0.01 * torch.tensor([len(text), sum(map(ord, text)) % 5])
            for text in texts
        ]
        sentence = torch.stack(rows).float()
        return TextStates(sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool), sentence)


def vectors_of(texts):
    return AnimalEncoder().encode(texts).sentence.numpy()


def test_each_cluster_gives_so_many_captions():
    found = select_captions(TEXTS, vectors_of(TEXTS), CaptionChoice(clusters=3, each=2))
    assert [one.cluster for one in found] == [0, 0, 1, 1, 2, 2]
    animals = {one.cluster: one.text.split()[0] for one in found}
    assert animals == {0: "dog", 1: "cat", 2: "owl"}
    assert [one.text for one in found] == [
        text for text in TEXTS if caption_id(text) in {one.id for one in found}
    ]
    again = select_captions(TEXTS, vectors_of(TEXTS), CaptionChoice(clusters=3, each=2))
    assert again == found
    other = select_captions(TEXTS, vectors_of(TEXTS), CaptionChoice(clusters=3, each=2, seed=5))
    assert [one.cluster for one in other] == [one.cluster for one in found]
    assert other != found


def test_there_are_fewer_clusters_where_there_are_fewer_captions():
    found = select_captions(TEXTS[:4], vectors_of(TEXTS[:4]), CaptionChoice())
    assert len(found) == 4
    assert {one.cluster for one in found} <= {0, 1, 2, 3}
    assert set(cluster(np.zeros((3, 2), np.float32), 2, 0)) == {0}


def test_captions_that_tell_of_time_are_all_kept():
    texts = [*TEXTS, "rain then thunder", "rain before dawn"]
    found = select_captions(texts, vectors_of(texts), CaptionChoice(clusters=4, each=1))
    temporal = [one for one in found if one.temporal]
    assert [one.text for one in temporal] == texts[-2:]
    assert sorted(one.cluster is None for one in temporal) == [False, True]
    assert sum(one.cluster is not None for one in found) == 4


def test_a_vector_is_computed_once_even_for_a_run_that_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("soundwright.preference.captions.PACK_TEXTS", 4)
    first = AnimalEncoder()
    expected = embed_captions(TEXTS, first, tmp_path / "whole")
    assert first.read == TEXTS

    class Killed(AnimalEncoder):
        def encode(self, texts):
            if len(self.read) == 8:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        embed_captions(TEXTS, Killed(), tmp_path / "killed")
    second = AnimalEncoder()
    assert (embed_captions(TEXTS, second, tmp_path / "killed") == expected).all()
    assert second.read == TEXTS[8:]
    damaged = next((tmp_path / "killed").rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-3])
    third = AnimalEncoder()
    assert (embed_captions(TEXTS, third, tmp_path / "killed") == expected).all()
    assert len(third.read) == 4


def test_a_selection_is_written_once_and_not_over_another(tmp_path):
    out = tmp_path / "captions.jsonl"
    choice = CaptionChoice(clusters=3, each=2)
    facts = write_captions(out, TEXTS, AnimalEncoder(), choice)
    assert (facts["read"], facts["selected"], facts["clusters"], facts["temporal"]) == (18, 6, 3, 0)
    assert len(read_selected(out).items) == 6
    before = out.stat().st_mtime_ns
    assert write_captions(out, TEXTS, AnimalEncoder(), choice) == facts
    assert out.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="made of something else"):
        write_captions(out, TEXTS, AnimalEncoder(), CaptionChoice(clusters=2, each=2))


def make_clip(name, split, *texts):
    return Clip(
        id=name,
        source=Source(dataset="d", item=name),
        location=Location(path=f"{name}.wav"),
        pcm_hash=name,
        duration=1.0,
        sample_rate=8000,
        split=split,
        captions=tuple(Caption(text=text) for text in texts),
    )


def test_captions_come_from_manifests_and_text_files(tmp_path):
    clips = (make_clip("a", "train", "rain  falls", "wind"), make_clip("b", "test", "owl", "wind"))
    manifest = tmp_path / "m.jsonl"
    write_manifest(manifest, Manifest(Header(), clips))
    assert read_captions(manifest) == ["rain falls", "wind", "owl"]
    assert read_captions(manifest, "train") == ["rain falls", "wind"]
    lines = tmp_path / "lines.txt"
    lines.write_text(f"a dog\n\n a dog \n{'x' * 1001}\na cat\n")
    assert read_captions(lines) == ["a dog", "a cat"]
    with pytest.raises(UserError, match="no caption of the split valid"):
        read_captions(manifest, "valid")
    with pytest.raises(UserError, match="no splits"):
        read_captions(lines, "train")
    with pytest.raises(UserError, match="cannot be read"):
        read_captions(tmp_path / "nothing.txt")


def test_encoders_have_names():
    assert encoder_config("minilm").kind == "minilm"
    assert encoder_config("gte-large").name == "thenlper/gte-large"
    assert encoder_config("some/model").name == "some/model"
    assert json.loads(encoder_config("gte-large").model_dump_json())["max_tokens"] == 512
