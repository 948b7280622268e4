import json
import socket

import pytest
from fastapi.testclient import TestClient

from studies import listen_to, put_systems


def answer_all(folder):
    from soundwright.evaluation.study.app import create_app
    from soundwright.evaluation.study.sessions import Sessions

    client = TestClient(create_app(Sessions(folder)))
    for choice in ("left", "right"):
        token = client.post("/api/raters").json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        client.post("/api/checks", headers=headers, json={"right": 3, "rounds": 3})
        session = client.get("/api/session", headers=headers).json()
        while session["trial"]:
            body = {
                "trial": session["trial"]["number"],
                "choices": {"quality": choice, "alignment": "left"},
                "plays": listen_to(session),
                "seconds": 1.0,
            }
            session = client.post("/api/answers", headers=headers, json=body).json()


@pytest.fixture
def folders(tmp_path):
    return put_systems(tmp_path, 3)


def test_a_study_from_two_folders_to_results(command, folders, tmp_path):
    a, b = folders
    made = command(
        "study", "plan", "--a", a, "--b", b, "--preset", "rr-paper", "--prompts", 3, "--out", "s",
        "--set", "controls.repeats=1", "--json",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    planned = json.loads(made.stdout)
    assert planned["systems"] == ["with-rr", "without-rr"]
    assert (planned["prompts"], planned["raters"]) == (3, 8)
    answer_all(tmp_path / "s")
    found = command("study", "results", "s", "--export", "answers.jsonl", "--json")
    results = json.loads(found.stdout)
    assert results["questions"]["quality"]["all"]["votes"] == 6
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 8
    assert json.loads(lines[0])["study"] == planned["hash"]
    said = command("study", "results", "s").stdout
    assert "2 of 8 planned raters" in said
    assert "alignment, all raters" in said
    assert "side bias" in said


def test_a_study_from_a_file_finds_its_sounds_beside_it(command, folders, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "preset: tango2\nprompts: 2\nsystems: {ours: with-rr, theirs: without-rr}\n"
        "exclusion: {headphones: true}\n"
    )
    made = command("study", "plan", plan, "--out", "s", "--title", "Two systems")
    assert made.exit_code == 0, made.stderr
    study = json.loads((tmp_path / "s" / "study.json").read_text())
    assert study["plan"]["form"] == "ratings"
    assert study["plan"]["title"] == "Two systems"
    assert set(study["materials"][0]["copies"]) == {"ours", "theirs"}


def test_mistakes_are_told(refuses, command, folders, tmp_path):
    a, b = folders
    refuses("study", "plan", "--a", a, "--out", "s", says="both --a DIR and --b DIR")
    refuses("study", "plan", "--out", "s", says="names no sounds")
    refuses("study", "plan", "--a", a, "--b", a, "--out", "s", says="the same")
    refuses("study", "plan", "--a", a, "--b", "gone", "--out", "s", says="does not exist")
    refuses(
        "study", "plan", "--a", a, "--b", b, "--out", "s",
        says=["3 prompts have a sound of every system", "asks for 100"],
    )  # fmt: skip
    refuses(
        "study", "plan", "--a", a, "--b", b, "--out", "s", "--set", "tie=false",
        says="unknown key 'tie'",
    )  # fmt: skip
    refuses("study", "results", tmp_path, says="is no study")
    refuses("study", "serve", tmp_path, says="is no study")
    command("study", "plan", "--a", a, "--b", b, "--prompts", 3, "--out", "s")
    refuses("study", "results", "s", says="Nobody has answered")
    refuses("study", "plan", "--a", a, "--b", b, "--prompts", 3, "--out", "s", says="exists")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses("study", "serve", "s", "--port", port, says="cannot be used")
    (tmp_path / "s" / "answers.sqlite3").write_bytes(b"not a database at all" * 100)
    refuses("study", "results", "s", says="no whole database")
