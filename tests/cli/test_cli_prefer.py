"""Preference data with the models that ship, from captions to the table."""

import json

import pytest

LOOSE = [f"judges.matcher.{limit}=" for limit in ("alpha", "beta", "least_delta", "greatest_delta")]


def settings(*pairs):
    return [part for pair in pairs for part in ("--set", pair)]


@pytest.fixture
def captions(tmp_path):
    (tmp_path / "captions.txt").write_text("a dog barks twice\nrain falls, then a bell rings\n")
    return "captions.txt"


def test_from_captions_to_the_table(command, captions, tmp_path):
    def run(*arguments):
        done = command("prefer", *arguments)
        assert done.exit_code == 0, done.stderr or done.exception
        return done

    chosen = run("captions", captions, "--each", 1, "--out", "a/captions.jsonl", "--json")
    assert json.loads(chosen.stdout)["temporal"] == 1
    assert "2 captions in 2 clusters, of 200 x 1 asked for" in chosen.stderr
    made = run("perturb", "a/captions.jsonl", "--count", 1, "--out", "a/perturbed.jsonl")
    assert "3 perturbations of 2 captions; 3 by rules" in made.stdout
    rollout = [
        "rollout", "a/captions.jsonl", "--perturbed", "a/perturbed.jsonl", "--out", "a/rollouts",
        "--duration", 1, *settings("samples=2", "varied_temperatures=[0.6,1.5]"), "--json",
    ]  # fmt: skip
    sounds = json.loads(run(*rollout).stdout)
    assert sounds["sounds"] == {"S1.1": 4, "S1.2": 4, "S2": 4, "S3": 2}
    first = (tmp_path / "a/rollouts/rollouts.jsonl").read_bytes()
    assert json.loads(run(*rollout).stdout) == sounds
    assert (tmp_path / "a/rollouts/rollouts.jsonl").read_bytes() == first
    item = json.loads(first.splitlines()[1])
    assert (tmp_path / "a/rollouts" / item["path"]).with_suffix(".json").is_file()
    pair = ["pair", "a/rollouts", "--out", "a", *settings(*LOOSE, "judges.loudness="), "--json"]
    numbers = json.loads(run(*pair).stdout)
    assert numbers["candidates"] == 7
    assert numbers["table"]["matcher"][-1]["n"] == numbers["pairs"] >= 4
    assert json.loads(run("stats", "a", "--json").stdout) == numbers
    said = run("stats", "a").stdout
    assert "matcher" in said
    assert "delta" in said
    strict = command("prefer", *pair[:-1], "--out", "b", "--set", "judges.matcher.alpha=2")
    assert strict.exit_code == 2
    assert "None of 7 candidates is left" in strict.stderr
    assert (tmp_path / "b/rejected.jsonl").is_file()


def test_mistakes_are_told(refuses, command, captions, tmp_path):
    refuses("prefer", "captions", "no.txt", "--out", "c.jsonl", says="cannot be read")
    refuses("prefer", "perturb", captions, "--out", "p", says="no file of captions")
    assert command("prefer", "captions", captions, "--out", "c.jsonl").exit_code == 0
    perturb = ["prefer", "perturb", "c.jsonl", "--out", "p.jsonl"]
    refuses(*perturb, "--strategies", "S4", says="S4")
    refuses(*perturb, "--chat-model", "m", says="--chat URL")
    refuses(*perturb, "--chat", "http://localhost:1", says="--chat-model NAME")
    chat = ["--chat", "https://chat.example", "--chat-model", "m"]
    refuses(*perturb, *chat, says="network is forbidden")
    refuses(*perturb, *chat, "--set", "patience=3", says="patience")
    rollout = ["prefer", "rollout", "c.jsonl", "--out", "r"]
    refuses(*rollout, "--strategies", "S2", says="nothing to be made for S2")
    refuses(*rollout, "--strategies", "S9", says="S9")
    refuses(*rollout, "--set", "step=3", says="did you mean 'steps'?")
    refuses(*rollout, "--duration", -1, says="duration")
    refuses("prefer", "pair", "r", "--out", "o", says="does not exist")
    refuses("prefer", "pair", "r", "--thresholds", "tango", "--out", "o", says="'tango2'")
    refuses("prefer", "stats", "o", says="does not exist")


def test_what_measures_is_refused_as_a_judge(refuses, tmp_path):
    from soundwright.preference.record_files import write_records

    write_records(tmp_path / "r" / "rollouts.jsonl", "rollouts", "f", {}, [])
    pair = ["prefer", "pair", "r", "--out", "o"]
    refuses(*pair, "--set", "judges.tagger.least_delta=0", says="never chooses")
    refuses(*pair, "--set", "judges.events.least_delta=0", says="events=DIR")
    refuses(*pair, "--judge", "clap=laion/larger_clap_general", says="no rule for the judge clap")
    refuses(*pair, "--thresholds", "tango2", says="lukewys/laion_clap")
    there = ["--judge", "clap-630k-audioset-best=here.pt"]
    refuses(*pair, "--thresholds", "tango2", *there, says="here.pt")
