"""Events told by a chat model, and the command that notes them in a manifest."""

import json

import pytest
import torch
from typer.testing import CliRunner

from chat_server import reply, serve
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.cli.main import app
from soundwright.core.errors import UserError
from soundwright.data.concepts import RuleConcepts, note_concepts
from soundwright.data.importers.folder import FolderImportConfig, import_folder
from soundwright.data.manifest import read_manifest, write_manifest
from soundwright.text.chat import ChatEndpoint
from soundwright.text.concept_chat import ChatConcepts, find_fault, read_concepts

CAPTIONS = ("a dog barks and whines", "rain", "a bell rings, then a car passes")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(len(CAPTIONS)):
        write(folder / f"{number}.wav", Sound(torch.full((1, 800), 0.1 * (number + 1)), 1600))
    rows = [f"{number}.wav\t{caption}" for number, caption in enumerate(CAPTIONS)]
    (folder / "captions.tsv").write_text("\n".join(["file\tcaption", *rows]) + "\n")
    found = import_folder(folder, FolderImportConfig(split="test"))
    write_manifest(folder / "manifest.jsonl", found.manifest)
    return folder


@pytest.mark.parametrize(
    ("answer", "concepts"),
    [
        ('First a dog barks.\nEvents: ["a dog barks", "it whines"]', ["a dog barks", "it whines"]),
        ("Events: ['rain  falls']", ["rain falls"]),
        ('["a thought"] no, rather:\n["rain",\n "wind"]', ["rain", "wind"]),
        ('Events: ["rain", ""]', ["rain"]),
        ("I hear rain.", []),
        ("Events: []", []),
        ("Events: [1, 2]", []),
        ('Events: ["rain", 2]', []),
        ("Events: [__import__('os')]", []),
        ("Events: [rain, wind", []),
    ],
)
def test_the_last_list_of_an_answer_counts(answer, concepts):
    assert read_concepts(answer) == concepts
    assert (find_fault(answer) is None) == bool(concepts)


def test_too_many_events_are_nonsense():
    assert find_fault(str(["rain"] * 51)) == "51 events"


def test_a_chat_model_is_asked_again_after_nonsense_and_gets_the_caption():
    with serve(reply("It rains."), reply('Rain.\nEvents: ["rain", "wind"]')) as (config, asked):
        found = ChatConcepts(ChatEndpoint(config)).extract("rain\nand wind")
    assert found == ["rain", "wind"]
    assert len(asked) == 2
    question = asked[0][2]["messages"][0]["content"]
    assert question.endswith("Caption: rain and wind\nAnswer:")


def test_the_command_counts_by_rule_and_names_who_counted(corpus, tmp_path):
    words = ["data", "concepts", str(corpus), "--out", str(tmp_path / "counted"), "--json"]
    said = json.loads(CliRunner().invoke(app, words).stdout)
    assert (said["by"], said["clips"]) == ("rules", {"1": 1, "2": 2})
    before, after = (read_manifest(place).clips for place in (corpus, tmp_path / "counted"))
    assert [clip.id for clip in after] == [clip.id for clip in before]
    counted = {clip.captions[0].text: clip.metadata for clip in after}
    assert counted["a dog barks and whines"]["concepts"] == "a dog barks; whines"
    assert {one["concept_counter"] for one in counted.values()} == {"rules"}


def test_the_command_asks_a_chat_model_once_for_each_caption(corpus, tmp_path):
    good = reply('Events: ["one", "two", "three"]')
    with serve(good, (500, "down"), good) as (config, asked):
        words = ["data", "concepts", str(corpus), "--out", str(tmp_path / "out")]
        words += ["--chat", config.url, "--chat-model", "m", "--set", "pause=0.01"]
        words += ["--set", "attempts=1"]
        stopped = CliRunner().invoke(app, words)
        assert stopped.exit_code == 2
        assert "Repeat the command" in stopped.output
        assert len(asked) == 2
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(asked) == 4
    clips = read_manifest(tmp_path / "out").clips
    assert [clip.metadata["concept_count"] for clip in clips] == [3, 3, 3]
    assert {clip.metadata["concept_counter"] for clip in clips} == {"m"}


def test_a_corpus_without_captions_and_answers_of_another_are_refused(corpus, tmp_path):
    manifest = read_manifest(corpus)
    bare = [clip.model_copy(update={"captions": ()}) for clip in manifest.clips]
    with pytest.raises(UserError, match="No clip has a caption"):
        note_concepts(manifest.with_clips(bare), RuleConcepts(), tmp_path / "journal")
    note_concepts(manifest, RuleConcepts(), tmp_path / "journal")
    other = RuleConcepts()
    other.identity = "another"
    with pytest.raises(UserError, match="something else"):
        note_concepts(manifest, other, tmp_path / "journal")
