import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from soundwright.core.errors import UserError
from soundwright.evaluation.study import app as study_app
from soundwright.evaluation.study.app import create_app
from soundwright.evaluation.study.materials import prepare_study
from soundwright.evaluation.study.plan import read_plan
from soundwright.evaluation.study.records import ANSWERS_NAME, STUDY_NAME, Study
from soundwright.evaluation.study.sessions import Sessions, open_study
from soundwright.evaluation.study.storage import Answers
from soundwright.web.ports import listen
from studies import listen_to, put_systems

WIDE = {"headphones": False, "controls": {"identical": 1, "foils": 1, "repeats": 1}}


def make(root, prompts=4, **values):
    folders = put_systems(root, prompts)
    systems = {one.name: str(one) for one in folders}
    prepare_study(
        read_plan({"systems": systems, "prompts": prompts, **WIDE, **values}), root / "study"
    )
    return root / "study"


class Rater:
    def __init__(self, client, token=None):
        self.client = client
        self.token = token or client.post("/api/raters").json()["token"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def get(self, path):
        return self.client.get(path, headers=self.headers)

    def post(self, path, body):
        return self.client.post(path, headers=self.headers, json=body)

    @property
    def session(self):
        return self.get("/api/session").json()

    def answer(self, session, choice="left", **changes):
        body = {
            "trial": session["trial"]["number"],
            "choices": {question["id"]: choice for question in session["questions"]},
            "plays": listen_to(session),
            "seconds": 4.0,
            **changes,
        }
        return self.post("/api/answers", body)

    def finish(self, choose=lambda session: "left"):
        session = self.session
        while session["trial"]:
            answer = self.answer(session, choose(session))
            assert answer.status_code == 200, answer.text
            session = answer.json()


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path)


@pytest.fixture
def client(folder):
    return TestClient(create_app(Sessions(folder)))


def test_every_answer_is_there_with_all_that_explains_it(folder, client):
    rater = Rater(client)
    rater.finish()
    study, answers = open_study(folder)
    given = answers.read()
    assert [answer.trial for answer in given] == list(range(7))
    copies = {
        copy.hash: (material.prompt, system)
        for material in study.materials
        for system, copy in material.copies.items()
    }
    for answer in given:
        assert answer.study == study.hash
        assert answer.choices == {"quality": "left", "alignment": "left"}
        assert {play.side for play in answer.plays} == {"left", "right"}
        for side, system in answer.systems.items():
            prompt = copies[answer.hashes[side]][0]
            assert copies[answer.hashes[side]][1] == system
            assert (prompt == answer.prompt) != (answer.foil == side)
        assert answer.rater not in rater.token
    assert rater.session["trial"] is None


def test_nothing_that_the_page_gets_tells_system_or_control(folder, client):
    rater = Rater(client)
    told = json.dumps([client.get("/api/study").json(), rater.session])
    names = ("with-rr", "without-rr", "foil", "identical", "repeat", "vote", "sound-0")
    assert not [name for name in names if name in told]
    sound = rater.get("/api/trials/0/left")
    assert not {"last-modified", "etag", "content-disposition"} & set(sound.headers)
    assert soundfile.read(io.BytesIO(sound.content))[0].size == 4000
    with soundfile.SoundFile(io.BytesIO(sound.content)) as file:
        assert file.copy_metadata() == {}


def test_what_is_played_is_what_the_answer_says(folder, client):
    rater = Rater(client)
    played = [
        {
            side: hashlib.sha256(rater.get(f"/api/trials/{trial}/{side}").content).hexdigest()
            for side in ("left", "right")
        }
        for trial in range(7)
    ]
    rater.finish()
    assert [answer.hashes for answer in open_study(folder)[1].read()] == played


@pytest.mark.parametrize(
    "plays",
    [
        [],
        [{"side": "left", "at": 0, "start": 0, "end": 0.5}],
        [
            {"side": "left", "at": 0, "start": 0, "end": 0.5},
            {"side": "right", "at": 1, "start": 0, "end": 0.3},
        ],
        [
            {"side": "left", "at": 0, "start": 0, "end": 0.5},
            {"side": "right", "at": 1, "start": 0, "end": 0.3},
            {"side": "right", "at": 2, "start": 0, "end": 0.3},
        ],
    ],
)
def test_unheard_sounds_are_not_judged(folder, client, plays):
    rater = Rater(client)
    answer = rater.answer(rater.session, plays=plays)
    assert answer.status_code == 422
    assert "play it to its end" in answer.json()["detail"]
    assert rater.session["done"] == 0


def test_a_sound_may_be_heard_in_pieces(folder, client):
    rater = Rater(client)
    pieces = [
        {"side": side, "at": 0, "start": start, "end": start + 0.3}
        for side in ("left", "right")
        for start in (0.2, 0.0)
    ]
    assert rater.answer(rater.session, plays=pieces).status_code == 200


def test_an_answer_sent_twice_is_one_and_another_one_is_refused(folder, client):
    rater = Rater(client)
    session = rater.session
    assert rater.answer(session).status_code == 200
    assert rater.answer(session, seconds=9.0).status_code == 200
    assert rater.answer(session, "right").status_code == 409
    [answer] = open_study(folder)[1].read()
    assert (answer.choices["quality"], answer.seconds) == ("left", 4.0)


def test_rows_are_only_ever_added(folder, client):
    rater = Rater(client)
    rater.answer(rater.session)
    with sqlite3.connect(folder / ANSWERS_NAME) as database:
        for table in ("facts", "raters", "answers"):
            with pytest.raises(sqlite3.IntegrityError, match="only added"):
                database.execute(f"DELETE FROM {table}")
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            database.execute("UPDATE answers SET record = ''")
        [mode] = database.execute("PRAGMA journal_mode").fetchone()
    assert mode == "wal"
    content = b"".join(path.read_bytes() for path in folder.glob(f"{ANSWERS_NAME}*"))
    assert rater.token.encode() not in content


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": {"quality": "left"}},
        {"choices": {"quality": "left", "alignment": 3}},
        {"choices": {"quality": "left", "alignment": "middle"}},
        {"choices": {"quality": "left", "alignment": "left", "beauty": "left"}},
        {"counts": {"left": {"dog": 1}}},
        {"trial": 7},
        {"trial": -1},
        {"plays": [{"side": "left", "at": 0, "start": 0, "end": 0.5}] * 600},
        {"plays": [{"side": "left", "at": 0, "start": 0, "end": "nan"}]},
        {"remark": "x"},
    ],
)
def test_answers_that_are_none_are_refused(folder, client, changes):
    rater = Rater(client)
    assert rater.answer(rater.session, **changes).status_code == 422
    assert rater.session["done"] == 0


def test_only_sounds_of_the_study_are_given(client):
    rater = Rater(client)
    for path in (
        "/api/trials/0/middle",
        "/api/trials/99/left",
        "/api/trials/..%2f..%2fstudy.json/left",
        "/../study.json",
        "/%2e%2e/study.json",
        "/sounds/../study.json",
        "/study.json",
        "/answers.sqlite3",
        "/docs",
        "/openapi.json",
    ):
        assert rater.get(path).status_code in (404, 422), path
    assert client.get("/api/trials/0/left").status_code == 401
    assert Rater(client, "unknown").get("/api/session").status_code == 401
    assert Rater(client, "x" * 1000).get("/api/session").status_code == 422


def test_large_bodies_are_refused_whatever_they_claim(client):
    rater = Rater(client)
    large = b" " * (study_app.LARGEST_BODY + 1)
    assert client.post("/api/answers", headers=rater.headers, content=large).status_code == 413
    pieces = (b" " * 65_536 for _ in range(3))
    assert client.post("/api/answers", headers=rater.headers, content=pieces).status_code == 413


def test_the_page_needs_nothing_from_elsewhere(client):
    for path in ("/", "/study.css", "/study.js", "/sound.js"):
        given = client.get(path)
        assert given.status_code == 200
        assert "http://" not in given.text
        assert "https://" not in given.text
        assert "default-src 'none'" in given.headers["content-security-policy"]


def test_headphones_are_checked_once(tmp_path):
    client = TestClient(create_app(Sessions(make(tmp_path, headphones=True))))
    rater = Rater(client)
    assert rater.session["check"]
    assert not rater.post("/api/checks", {"right": 3, "rounds": 3}).json()["check"]
    assert rater.post("/api/checks", {"right": 3, "rounds": 99}).status_code == 422


def test_the_checklist_wants_a_number_for_each_event_and_sound(tmp_path):
    events = {f"sound number {number}": ["dog", "bell"] for number in range(4)}
    folder = make(tmp_path, checklist=True, events=events)
    client = TestClient(create_app(Sessions(folder)))
    rater = Rater(client)
    session = rater.session
    assert session["trial"]["events"] == ["dog", "bell"]
    counts = {"left": {"dog": 2, "bell": 0}, "right": {"dog": 1, "bell": 1}}
    assert rater.answer(session).status_code == 422
    assert rater.answer(session, counts={"left": counts["left"]}).status_code == 422
    wrong = {**counts, "left": {"dog": 2, "bell": 21}}
    assert rater.answer(session, counts=wrong).status_code == 422
    assert rater.answer(session, counts=counts).status_code == 200
    assert open_study(folder)[1].read()[0].counts == counts


def test_raters_at_once_lose_nothing(folder):
    clients = [TestClient(create_app(Sessions(folder))) for _ in range(2)]
    raters = [Rater(clients[number % 2]) for number in range(4)]
    threads = [threading.Thread(target=rater.finish) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = open_study(folder)[1].read()
    assert sorted((answer.number, answer.trial) for answer in given) == [
        (number, trial) for number in range(4) for trial in range(7)
    ]


def test_a_restart_goes_on_where_the_rater_was(folder, client):
    rater = Rater(client)
    for _ in range(3):
        rater.answer(rater.session)
    before = rater.session
    again = Rater(TestClient(create_app(Sessions(folder))), rater.token)
    assert again.session == before
    again.finish()
    assert len(open_study(folder)[1].read()) == 7


def test_a_database_of_another_study_or_a_damaged_one_is_refused(folder, tmp_path):
    Sessions(folder)
    study = Study.model_validate_json((folder / STUDY_NAME).read_text(encoding="utf-8"))
    other = study.model_copy(update={"soundwright": "0"})
    with pytest.raises(UserError, match="another study"):
        Answers(folder, other)
    database = folder / ANSWERS_NAME
    content = database.read_bytes()
    for path in folder.glob(f"{ANSWERS_NAME}-*"):
        path.unlink()
    database.write_bytes(b"x" * 100 + content[100:])
    with pytest.raises(UserError, match="no whole database"):
        Answers(folder, study)
    noise = np.random.default_rng(0).bytes(len(content) - 4096)
    database.write_bytes(content[:4096] + noise)
    with pytest.raises(UserError, match="no whole database"):
        Answers(folder, study)


def test_a_study_without_its_sounds_or_answers_is_refused(folder, tmp_path):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match="Nobody has answered"):
        open_study(folder)
    assert sorted(folder.rglob("*")) == before
    Sessions(folder)
    with pytest.raises(UserError, match="Nobody has answered"):
        open_study(folder)
    with pytest.raises(UserError, match="is no study"):
        Sessions(tmp_path)
    next((folder / "sounds").iterdir()).unlink()
    with pytest.raises(UserError, match="missing"):
        Sessions(folder)


def test_a_port_in_use_is_a_mistake():
    with listen("127.0.0.1", 0) as taken, pytest.raises(UserError, match="cannot be used"):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match="cannot be used"):
        listen("192.0.2.1", 0)


class Wire:
    """A rater at a real server."""

    def __init__(self, address, token=""):
        self.address, self.token = address, token

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address.rstrip("/") + path, data)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def start_server(folder):
    command = [sys.executable, "-m", "soundwright", "study", "serve", folder, "--port", "0"]
    server = subprocess.Popen(
        [*map(str, command), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    text = ""
    while not text.endswith("}\n"):
        line = server.stdout.readline()
        assert line, "the server ended"
        text += line
    return server, json.loads(text)["address"]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_a_killed_server_loses_no_answer_that_it_took(folder):
    server, address = start_server(folder)
    wire = Wire(address)
    wire.token = wire.ask("/api/raters", {})["token"]
    told = []

    def go_on():
        try:
            session = wire.ask("/api/session")
            while session["trial"]:
                body = {
                    "trial": session["trial"]["number"],
                    "choices": {"quality": "left", "alignment": "tie"},
                    "plays": listen_to(session),
                    "seconds": 1.0,
                }
                session = wire.ask("/api/answers", body)
                told.append(body["trial"])
        except (URLError, HTTPError, ConnectionError):
            return

    thread = threading.Thread(target=go_on)
    thread.start()
    while len(told) < 2:
        time.sleep(0.002)
    server.send_signal(signal.SIGKILL)
    thread.join()
    server.wait()
    saved = [answer.trial for answer in open_study(folder)[1].read()]
    assert set(told) <= set(saved)
    rater = Rater(TestClient(create_app(Sessions(folder))), wire.token)
    assert rater.session["done"] == len(saved)
    rater.finish()
    assert [answer.trial for answer in open_study(folder)[1].read()] == list(range(7))
