import pytest
from preference_sounds import select

from chat_server import Drip, reply, serve
from soundwright.core.errors import UserError
from soundwright.preference.perturbation.chat_perturber import ChatPerturber
from soundwright.preference.perturbation.perturber import share_words
from soundwright.preference.perturbation.rules import RulePerturber
from soundwright.preference.perturbing import (
    PerturbingChoice,
    perturb_captions,
    read_perturbations,
)
from soundwright.preference.record_files import RecordFile
from soundwright.text.chat import ChatConfig, ChatEndpoint, ChatError

GOOD = "two dogs bark\na dog growls\na dog howls\ndogs barking\na dog barks at a cat"
CAPTIONS = ["a dog barks", "a dog barks twice", "the dog barks", "one dog barks", "dogs bark"]


def perturb(config, tmp_path, fallback=None, captions=CAPTIONS[:1], name="out.jsonl"):
    chosen = RecordFile("f", {}, tuple(select(*captions)), tmp_path)
    perturber = ChatPerturber(ChatEndpoint(config), share_words)
    choice = PerturbingChoice(strategies=("S2",))
    facts = perturb_captions(chosen, tmp_path / name, perturber, choice, fallback)
    return facts, read_perturbations(tmp_path / name).items


def test_an_endpoint_is_asked_once_a_caption_with_model_and_key(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with serve(reply(GOOD)) as (config, asked):
        config = config.model_copy(update={"key_variable": "MY_KEY"})
        facts, items = perturb(config, tmp_path)
        again = perturb(config, tmp_path)
    assert again == (facts, items)
    assert len(asked) == 1
    path, headers, body = asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body["model"] == "m"
    assert "a dog barks" in body["messages"][0]["content"]
    assert [item.text for item in items] == GOOD.split("\n")
    assert facts["by"] == {"m": 5}
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    "first",
    [
        (500, "oops"),
        (429, "slow down", {"Retry-After": "0.02"}),
        (200, "<html>"),
        (200, "{}"),
        (200, '{"choices": []}'),
        (200, '{"choices": [{"message": {"content": null}}]}'),
        reply("I'm sorry, I can't."),
        reply("a dog barks\n" * 5),
        reply(""),
    ],
)
def test_what_may_pass_is_tried_again(tmp_path, first):
    with serve(first, first, reply(GOOD)) as (config, asked):
        facts, items = perturb(config, tmp_path)
    assert len(asked) == 3
    assert (len(items), facts["failures"]) == (5, {})


def test_tries_end_and_the_stage_goes_on_where_it_stopped(tmp_path):
    down = (503, "")
    with serve(reply(GOOD), down, down, down, reply(GOOD)) as (config, asked):
        with pytest.raises(UserError, match=r"nothing for 'a dog barks twice': status 503"):
            perturb(config, tmp_path, captions=CAPTIONS[:2])
        assert len(asked) == 1 + 3
        assert not (tmp_path / "out.jsonl").exists()
        _, items = perturb(config, tmp_path, captions=CAPTIONS[:2])
        assert len(asked) == 5, "the first caption is not asked about again"
    assert len(items) == 10


def test_a_stage_that_has_stopped_may_go_on_with_rules(tmp_path):
    with serve(reply(GOOD), (503, "")) as (config, _):
        with pytest.raises(UserError, match="add --on-failure rules"):
            perturb(config, tmp_path, captions=CAPTIONS[:2])
        facts, _ = perturb(config, tmp_path, RulePerturber(), CAPTIONS[:2])
    assert facts["by"] == {"m": 5, "rules": 5}


def test_nonsense_falls_back_on_rules_for_that_caption(tmp_path):
    nonsense = reply("What a lovely dog!")
    with serve(nonsense, nonsense, nonsense, reply(GOOD)) as (config, asked):
        facts, items = perturb(config, tmp_path, RulePerturber(), CAPTIONS[:2])
    assert len(asked) == 4
    assert facts["by"] == {"rules": 5, "m": 5}
    assert facts["failures"] == {"nonsense": 1}
    assert [item.by for item in items] == ["rules"] * 5 + ["m"] * 5


def test_an_endpoint_that_is_down_is_given_up_after_three_captions(tmp_path):
    with serve((503, "")) as (config, asked):
        facts, _ = perturb(config, tmp_path, RulePerturber(), CAPTIONS)
    assert len(asked) == 3 * 3
    assert facts["by"] == {"rules": 25}
    assert facts["failures"] == {"status 503": 3, "not asked any more": 2}


def test_nobody_listens(tmp_path):
    with serve(reply(GOOD)) as (config, _):
        pass
    with pytest.raises(ChatError, match="no answer"):
        ChatEndpoint(config).ask("?")


def test_an_answer_that_drips_is_given_up(tmp_path):
    with serve(Drip) as (config, _):
        endpoint = ChatEndpoint(config.model_copy(update={"timeout": 0.3}))
        with pytest.raises(ChatError, match="no whole answer within"):
            endpoint.ask("?")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_what_will_be_refused_again_stops_at_once(tmp_path, status):
    with serve((status, "", {"Location": "http://127.0.0.1:9/"})) as (config, asked):
        with pytest.raises(UserError, match=f"refuses with status {status}"):
            perturb(config, tmp_path, RulePerturber())
        assert len(asked) == 1


def test_a_wish_for_patience_is_granted_up_to_the_longest_pause():
    with serve((429, "", {"Retry-After": "3600"}), reply("yes")) as (config, _):
        endpoint = ChatEndpoint(config.model_copy(update={"longest_pause": 0.05}))
        assert endpoint.ask_until("?", lambda _: None) == "yes"


def test_addresses_are_checked_before_anything_is_asked(monkeypatch):
    with pytest.raises(UserError, match="no address"):
        ChatEndpoint(ChatConfig(url="file:///etc/passwd", model="m"))
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    with pytest.raises(UserError, match="network is forbidden"):
        ChatEndpoint(ChatConfig(url="https://chat.example/v1", model="m"))
    ChatEndpoint(ChatConfig(url="http://localhost:1/v1", model="m"))
