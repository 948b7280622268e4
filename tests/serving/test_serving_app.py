"""The HTTP API with scripted workers: what is answered to whom, and in which shape."""

import asyncio
import io
import json
import threading
from contextlib import ExitStack

import pytest
import soundfile
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from scripted import Gate, Scripted, hang, make, refuse, tone, wait_for

from soundwright.pipelines.models import RECORD_FILE, find_model
from soundwright.serving.app import create_app
from soundwright.serving.bodies import MOST_SEED, GenerationBody
from soundwright.serving.config import ServingConfig
from soundwright.serving.jobs import Problem
from soundwright.serving.routes.jobs import follow_job, wait_for_job
from soundwright.serving.starting import settle_access
from soundwright.web.guards import HEADERS

GENERATE = "/v1/audio/generations"
TOKEN = "correct horse battery staple"
GONE = "job-00000000000000000000"
RAIN = {"prompt": "rain", "duration": 0.5, "seed": 7}


@pytest.fixture
def open_app(tmp_path):
    """Starts applications, each on a folder of its own; gives their clients."""
    with ExitStack() as stack:

        def start(*workers, address="http://testserver", **values):
            state = tmp_path / f"state {len(list(tmp_path.iterdir()))}"
            config = ServingConfig(**{"state": state, "rate": 0, "grace": 5.0, **values})
            app = create_app(config, workers or [Scripted()])
            return stack.enter_context(TestClient(app, address, raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One application for all who only ask."""
    config = ServingConfig(
        state=tmp_path_factory.mktemp("served"), rate=0, models=("bundled", "bundled-diffusion")
    )
    app = create_app(config, [Scripted()])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def running(client):
    return client.app.state.context


def error_of(answer, status, kind):
    """The problem in an answer, whose shape is checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert error["type"] == kind, error
    assert set(error) <= {"type", "message", "expected", "change", "field"}
    assert all(isinstance(value, str) for value in error.values())
    return error


def made(client, **body):
    """A job that is done."""
    answer = client.post(f"{GENERATE}?wait=30", json={**RAIN, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(text):
    """The jobs that a stream of events told, oldest first."""
    blocks = [block.splitlines() for block in text.replace("\r\n", "\n").split("\n\n")]
    told = [dict(line.split(": ", 1) for line in block) for block in blocks if block]
    assert {event["event"] for event in told} == {"job"}
    return [json.loads(event["data"]) for event in told]


BAD = {
    "nothing": ({}, None, "either a prompt or prompts"),
    "both": ({"prompt": "a", "prompts": ["b"]}, None, "either a prompt or prompts"),
    "no prompts": ({"prompts": []}, None, "no prompt"),
    "empty": ({"prompt": " \n"}, "prompt", "is empty"),
    "one empty": ({"prompts": ["a", ""]}, "prompts", "Prompt 2 of 2 is empty"),
    "long": ({"prompt": "x" * 60_000}, "prompt", "60000 characters"),
    "NUL": ({"prompt": "a\0b"}, "prompt", "NUL"),
    "number": ({"prompt": 3}, "prompt", "valid string"),
    "list": ({"prompt": ["a"]}, "prompt", "valid string"),
    "text for prompts": ({"prompts": "a"}, "prompts", "valid list"),
    "number among prompts": ({"prompts": ["a", 3]}, "prompts.1", "valid string"),
    "1001 prompts": ({"prompts": ["a"] * 1001}, "prompts", "at most 1000"),
    "17 sounds": ({"prompts": ["a"] * 17}, None, "17 sounds"),
    "many samples": ({"prompts": ["a", "b"], "num_samples": 9}, None, "18 sounds"),
    "no samples": ({"prompt": "a", "num_samples": 0}, "num_samples", "num_samples is 0"),
    "half a sample": ({"prompt": "a", "num_samples": 1.5}, "num_samples", "integer"),
    "samples": ({"prompt": "a", "num_samples": 10**30}, "num_samples", "num_samples is 1"),
    "best of none": ({"prompt": "a", "best_of": 0}, "best_of", "best_of is 0"),
    "best of many": ({"prompt": "a", "best_of": 17}, "best_of", "best_of is 17"),
    "unknown field": ({"prompt": "a", "cfg": 3}, "cfg", "no field 'cfg'"),
    "near field": ({"prompt": "a", "durations": 3}, "durations", "did you mean 'duration'?"),
    "long field": ({"prompt": "a", "x" * 10_000: 3}, "x" * 10_000, "There is no field"),
    "duration": ({"prompt": "a", "duration": 61}, "duration", "duration is 61 s"),
    "no duration": ({"prompt": "a", "duration": 0}, "duration", "duration is 0 s"),
    "negative duration": ({"prompt": "a", "duration": -1}, "duration", "duration is -1 s"),
    "a click": ({"prompt": "a", "duration": 1e-6}, "duration", "at least 0.1 s"),
    "short loop": ({"prompt": "a", "duration": 0.5, "loop": True}, "loop", "two cross-fades"),
    "text for duration": ({"prompt": "a", "duration": "5"}, "duration", "valid number"),
    "truth for duration": ({"prompt": "a", "duration": True}, "duration", "valid number"),
    "NaN": ({"prompt": "a", "duration": float("nan")}, "duration", "finite"),
    "Infinity": ({"prompt": "a", "cfg_scale": float("inf")}, "cfg_scale", "finite"),
    "NaN seed": ({"prompt": "a", "seed": float("nan")}, "seed", "integer"),
    "negative seed": ({"prompt": "a", "seed": -1}, "seed", "greater"),
    "large seed": ({"prompt": "a", "seed": MOST_SEED + 1}, "seed", "less"),
    "guidance": ({"prompt": "a", "cfg_scale": -1}, "cfg_scale", "cfg_scale is -1"),
    "top_k": ({"prompt": "a", "top_k": -1}, "top_k", "top_k is -1"),
    "top_p": ({"prompt": "a", "top_p": 1.5}, "top_p", "top_p is 1.5"),
    "negative": ({"prompt": "a", "negative": ""}, "negative", "negative prompt is empty"),
    "no guidance": ({"prompt": "a", "negative": "b", "cfg_scale": 1}, None, "no effect"),
    "steps for a language model": ({"prompt": "a", "steps": 5}, "steps", "not for bundled-lm"),
    "sampler for one": ({"prompt": "a", "sampler": "ddim"}, "sampler", "language model"),
    "top_k for diffusion": (
        {"prompt": "a", "model": "bundled-diffusion", "top_k": 5}, "top_k", "a diffusion model",
    ),
    "steps": ({"prompt": "a", "model": "bundled-diffusion", "steps": 0}, "steps", "steps is 0"),
    "sampler": (
        {"prompt": "a", "model": "bundled-diffusion", "sampler": "x"}, "sampler", "ddpm, ddim",
    ),
    "sampler of another kind": (
        {"prompt": "a", "model": "bundled-diffusion", "sampler": "euler"}, "sampler", "cannot run",
    ),
    "stream of diffusion": (
        {"prompt": "a", "model": "bundled-diffusion", "stream": True}, "stream", "diffusion",
    ),
    "continued diffusion": (
        {"prompt": "a", "model": "bundled-diffusion", "continue_from": "upload-" + "0" * 20},
        "continue_from",
        "diffusion",
    ),
    "format": ({"prompt": "a", "format": "aiff"}, "format", "'wav', 'flac', 'mp3' or 'ogg'"),
    "stream of two": ({"prompts": ["a", "b"], "stream": True}, None, "stream and num_samples"),
    "stream of flac": ({"prompt": "a", "format": "flac", "stream": True}, None, "and format"),
    "stream of a loop": ({"prompt": "a", "loop": True, "stream": True}, None, "and loop"),
    "stream of the best": ({"prompt": "a", "best_of": 2, "stream": True}, None, "and best_of"),
    "text for stream": ({"prompt": "a", "stream": "yes"}, "stream", "valid boolean"),
    "loop of a given sound": (
        {"prompt": "a", "loop": True, "continue_from": "upload-" + "0" * 20}, "loop", "both be",
    ),
    "path for an upload": ({"prompt": "a", "continue_from": "../x"}, "continue_from", "pattern"),
    "path for a job": (
        {"prompt": "a", "continue_from": {"job": "../x", "sound": 0}}, "continue_from", "pattern",
    ),
    "near field of a job": (
        {"prompt": "a", "continue_from": {"job": GONE, "sounds": 0, "sound": 0}},
        "continue_from.sounds",
        "did you mean 'sound'?",
    ),
    "list for the body": (["a"], None, "valid dictionary"),
    "null for the body": (None, None, "valid dictionary"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "field", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_meant_is_refused_with_its_field_and_leaves_no_job(
    client, body, field, says
):
    before = client.get("/v1/jobs").json()
    answer = client.post(
        GENERATE, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    error = error_of(answer, 422, "invalid")
    told = " ".join(error.get(name, "") for name in ("message", "expected"))
    assert says in told
    assert (error.get("field") or "").startswith(field or "")
    assert len(answer.content) < 12_000
    assert client.get("/v1/jobs").json() == before


@pytest.mark.parametrize(
    "content",
    [b"{", b"prompt=a", b"\xff\xfe\x00", b"[" * 60_000, b'{"seed": ' + b"1" * 5000 + b"}"],
    ids=["cut", "form", "binary", "deep", "digits"],
)
def test_what_is_no_json_is_malformed(client, content):
    answer = client.post(GENERATE, content=content, headers={"content-type": "application/json"})
    error_of(answer, 400, "malformed")


@pytest.mark.parametrize(
    "content",
    ['{"prompt": "\\ud800"}', '{"prompt": "a", "model": "\\ud800"}', '{"\\udfff": 1}'],
)
def test_half_a_character_is_refused(client, content):
    answer = client.post(GENERATE, content=content, headers={"content-type": "application/json"})
    error_of(answer, 422, "invalid")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_only_json_is_taken_for_a_request(client, kind):
    # A page elsewhere can send the others without asking; a browser asks before it sends JSON.
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post(GENERATE, content=json.dumps(RAIN), headers=headers)
    error_of(answer, 415, "unsupported_media_type")
    assert client.post(GENERATE, headers=headers).status_code in (415, 422)


def test_a_model_that_is_not_offered_is_not_found(client):
    answer = client.post(GENERATE, json={**RAIN, "model": "bundled-difusion"})
    error = error_of(answer, 404, "not_found")
    assert error["field"] == "model"
    assert "did you mean 'bundled-diffusion'?" in error["message"]


def test_large_bodies_are_refused_whatever_they_claim(client):
    largest = running(client).config.largest_body
    for content in (
        b" " * (largest + 1),
        b"x" * (10 << 20),
        (b" " * 65_536 for _ in range(3)),
        json.dumps({"prompt": "x" * 100_000}).encode(),
    ):
        answer = client.post(
            GENERATE, content=content, headers={"content-type": "application/json"}
        )
        error = error_of(answer, 413, "too_large")
        assert str(largest) in error["expected"]
    fits = json.dumps(RAIN).encode()
    answer = client.post(
        GENERATE,
        content=fits + b" " * (largest - len(fits)),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 202


def test_a_job_is_accepted_and_told_with_all_that_makes_it_again(open_app):
    gate = Gate()
    client = open_app(Scripted(gate), gather=0.5)
    answer = client.post(
        GENERATE, json={"prompts": ["A dog!", "rain"], "num_samples": 2, "duration": 0.5}
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    seed = job["request"]["seed"]
    assert job["request"] == {
        "prompts": ["A dog!", "rain"], "num_samples": 2, "duration": 0.5, "seed": seed,
        "model": "bundled",
    }  # fmt: skip
    assert [(sound["prompt"], sound["seed"] - seed) for sound in job["sounds"]] == [
        ("A dog!", 0), ("A dog!", 1), ("rain", 2), ("rain", 3),
    ]  # fmt: skip
    assert (job["state"], job["error"], job["finished_at"]) == ("waiting", None, None)
    first = job["sounds"][0]
    assert (first["state"], first["url"], first["bytes"]) == ("waiting", None, None)
    assert first["filename"] == f"a-dog-{seed}.wav"
    assert first["settings"] == {
        "duration": 0.5, "cfg_scale": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0,
    }  # fmt: skip
    gate.opened.set()
    wait_for(lambda: client.get(f"/v1/jobs/{job['id']}").json()["state"] == "done")
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert (done["progress"], done["position"]) == (1.0, None)
    assert done["finished_at"] >= done["created_at"]
    for number, sound in enumerate(done["sounds"]):
        assert sound["url"] == f"/v1/jobs/{job['id']}/sounds/{number}"
        content = client.get(sound["url"]).content
        assert content == tone(seed + number)
        assert (sound["bytes"], sound["sample_rate"]) == (len(content), 8000)
        assert f"seed={seed + number}" in sound["python"]
        assert f"--seed {seed + number}" in sound["command"]


def test_a_seed_is_drawn_anew_for_each_request_without_one(client):
    seeds = {
        client.post(GENERATE, json={"prompt": "a", "duration": 0.5}).json()["request"]["seed"]
        for _ in range(4)
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_leave_room_for_the_candidates_of_each_sound(client):
    job = made(client, num_samples=3, best_of=4)
    assert [sound["seed"] for sound in job["sounds"]] == [7, 11, 15]


def test_who_waits_gets_the_job_when_it_is_done_or_when_time_is_up(open_app):
    gate = Gate()
    client = open_app(Scripted(gate))
    answer = client.post(f"{GENERATE}?wait=0.1", json=RAIN)
    assert (answer.status_code, answer.json()["finished_at"]) == (202, None)
    gate.opened.set()
    answer = client.post(f"{GENERATE}?wait=60", json=RAIN)
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    assert client.get(answer.json()["sounds"][0]["url"]).content == tone(7)


def test_who_waits_for_a_job_that_fails_is_told_why(open_app):
    client = open_app(Scripted(refuse))
    answer = client.post(f"{GENERATE}?wait=60", json=RAIN)
    assert (answer.status_code, answer.json()["state"]) == (202, "failed")
    assert answer.json()["error"]["message"] == "This cannot be made."
    assert answer.json()["sounds"][0]["state"] == "failed"


def test_who_waits_for_a_job_that_is_removed_waits_no_longer(open_app):
    gate = Gate()
    client = open_app(Scripted(gate))
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(client.post(f"{GENERATE}?wait=60", json=RAIN))
    )
    thread.start()
    gate.reached.wait()
    [job] = client.get("/v1/jobs").json()["jobs"]
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    thread.join(20)
    assert [answer.status_code for answer in answers] == [202]


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "soon"])
def test_nobody_waits_for_ever(client, wait):
    error = error_of(client.post(f"{GENERATE}?wait={wait}", json=RAIN), 422, "invalid")
    assert error["field"] == "wait"


def test_a_full_queue_says_when_to_come_again(open_app):
    gate = Gate()
    client = open_app(Scripted(gate), queue=2, gather=0.0)
    client.post(GENERATE, json=RAIN)
    gate.reached.wait()
    waiting = client.post(GENERATE, json={**RAIN, "num_samples": 2}).json()
    assert waiting["position"] == 0
    answer = client.post(GENERATE, json=RAIN)
    error = error_of(answer, 429, "too_many")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["retry-after"] in error["change"]
    assert len(client.get("/v1/jobs").json()["jobs"]) == 2
    # What can never fit is not told to come again.
    error_of(client.post(GENERATE, json={**RAIN, "num_samples": 3}), 422, "invalid")
    gate.opened.set()


def test_a_server_that_ends_takes_nothing_in(open_app):
    client = open_app()
    running(client).engine.queue.close()
    answer = client.post(GENERATE, json=RAIN)
    error_of(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_events_tell_a_job_from_now_to_its_end(open_app):
    gate = Gate()
    client = open_app(Scripted(gate))
    job = client.post(GENERATE, json=RAIN).json()["id"]
    gate.reached.wait()

    async def follow():
        told = follow_job(running(client), running(client).find(job))
        first = (await anext(told)).data
        gate.opened.set()
        return [first, *[event.data async for event in told]]

    first, *_, last = asyncio.run(asyncio.wait_for(follow(), 20.0))
    assert (first.id, first.state) == (job, "running")
    assert last.state == "done"
    assert running(client).engine.lives._watchers == {}
    # Of a job that has ended there is one event.
    answer = client.get(f"/v1/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events(answer.text) == [client.get(f"/v1/jobs/{job}").json()]


def test_a_job_that_ended_before_anybody_watched_is_told_as_ended(open_app):
    gate = Gate()
    client = open_app(Scripted(gate))
    job = client.post(GENERATE, json=RAIN).json()["id"]
    gate.reached.wait()
    stale = running(client).find(job)
    gate.opened.set()
    wait_for(lambda: running(client).find(job).ended)

    async def follow():
        return [event.data async for event in follow_job(running(client), stale)]

    async def in_time(what):
        return await asyncio.wait_for(what, 20.0)

    assert stale.state == "running"
    [told] = asyncio.run(in_time(follow()))
    waited = asyncio.run(in_time(wait_for_job(running(client), job, 60.0)))
    shown = running(client).show(stale)
    assert (told.state, waited.state, shown.state, shown.progress) == ("done", "done", "done", 1.0)


def test_events_end_when_the_job_is_removed(open_app):
    gate = Gate()
    client = open_app(Scripted(gate))
    job = client.post(GENERATE, json=RAIN).json()["id"]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.get(f"/v1/jobs/{job}/events")))
    thread.start()
    wait_for(lambda: job in running(client).engine.lives._watchers)
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    thread.join(20)
    assert [answer.status_code for answer in answers] == [200]


def test_a_stream_is_the_sound_and_is_kept(open_app):
    client = open_app()
    answer = client.post(GENERATE, json={**RAIN, "stream": True})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    assert answer.content == tone(7)
    job = client.get(answer.headers["location"]).json()
    assert answer.headers["x-soundwright-job"] == job["id"]
    wait_for(lambda: client.get(f"/v1/jobs/{job['id']}").json()["state"] == "done")
    assert client.get(f"/v1/jobs/{job['id']}/sounds/0").content == answer.content


def test_a_stream_that_never_begins_is_answered_with_the_reason(open_app):
    client = open_app(Scripted(refuse), time_limit=0.2)
    error = error_of(client.post(GENERATE, json={**RAIN, "stream": True}), 422, "invalid")
    assert error["message"] == "This cannot be made."
    slow = open_app(Scripted(hang), time_limit=0.2)
    error_of(slow.post(GENERATE, json={**RAIN, "stream": True}), 503, "too_slow")
    waiting = open_app(Scripted(Gate()))
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(waiting.post(GENERATE, json={**RAIN, "stream": True}))
    )
    thread.start()
    wait_for(lambda: waiting.get("/v1/jobs").json()["jobs"])
    [job] = waiting.get("/v1/jobs").json()["jobs"]
    assert waiting.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    thread.join()
    error_of(answers[0], 409, "conflict")


def test_jobs_are_listed_page_by_page(open_app):
    client = open_app()
    jobs = [made(client)["id"] for _ in range(3)][::-1]
    page = client.get("/v1/jobs", params={"limit": 2}).json()
    assert ([job["id"] for job in page["jobs"]], page["more"]) == (jobs[:2], True)
    page = client.get("/v1/jobs", params={"limit": 2, "before": jobs[1]}).json()
    assert ([job["id"] for job in page["jobs"]], page["more"]) == (jobs[2:], False)
    for query in ("limit=0", "limit=101", "limit=x", "before=../x", "favourites=perhaps"):
        error_of(client.get(f"/v1/jobs?{query}"), 422, "invalid")


def test_favourites_are_marked_listed_and_unmarked(open_app):
    client = open_app()
    job = made(client, num_samples=2)["id"]
    made(client)
    for method, expected in (("PUT", True), ("PUT", True), ("DELETE", False)):
        answer = client.request(method, f"/v1/jobs/{job}/sounds/1/favourite")
        assert answer.status_code == 200
        assert [sound["favourite"] for sound in answer.json()["sounds"]] == [False, expected]
        listed = client.get("/v1/jobs?favourites=true").json()["jobs"]
        assert [one["id"] for one in listed] == ([job] if expected else [])
    error_of(client.put(f"/v1/jobs/{job}/sounds/2/favourite"), 404, "not_found")
    error_of(client.put(f"/v1/jobs/{GONE}/sounds/0/favourite"), 404, "not_found")


def test_a_job_is_cancelled_once(open_app):
    client = open_app(Scripted(hang))
    job = client.post(GENERATE, json=RAIN).json()["id"]
    answer = client.post(f"/v1/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.json()["finished_at"] is not None
    error = error_of(client.post(f"/v1/jobs/{job}/cancel"), 409, "conflict")
    assert "cancelled" in error["message"]
    error_of(client.post(f"/v1/jobs/{GONE}/cancel"), 404, "not_found")


def test_a_removed_job_is_gone_with_its_files(open_app):
    client = open_app()
    job = made(client)["id"]
    path = running(client).shelf.place(job, 0, "wav")
    assert path.is_file()
    answer = client.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not path.parent.exists()
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", f"/v1/jobs/{job}/sounds/0"):
        error_of(client.get(path), 404, "not_found")
    error_of(client.delete(f"/v1/jobs/{job}"), 404, "not_found")


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [
        ("wav", "audio/wav"),
        ("flac", "audio/flac"),
        ("mp3", "audio/mpeg"),
        ("ogg", "audio/ogg"),
    ],
)
def test_a_sound_comes_as_a_file_of_its_kind_whole_or_in_part(client, suffix, media_type):
    job = made(client, prompt='"../; Ünï\r\nX: y"', format=suffix)
    [sound] = job["sounds"]
    whole = client.get(sound["url"])
    assert whole.status_code == 200
    assert whole.headers["content-type"] == media_type
    assert whole.headers["content-disposition"] == f'attachment; filename="n-x-y-7.{suffix}"'
    assert sound["filename"] == f"n-x-y-7.{suffix}"
    assert int(whole.headers["content-length"]) == sound["bytes"] == len(whole.content)
    assert soundfile.read(io.BytesIO(whole.content))[1] == 8000
    part = client.get(sound["url"], headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{sound['bytes']}"
    beyond = client.get(sound["url"], headers={"range": "bytes=99999999-"})
    assert beyond.status_code == 416


def test_a_sound_that_is_not_there_yet_or_no_more_says_so(open_app):
    gate = Gate()
    client = open_app(Scripted(make, gate))
    gone = made(client, num_samples=2)["id"]
    running(client).shelf.place(gone, 0, "wav").unlink()
    error_of(client.get(f"/v1/jobs/{gone}/sounds/0"), 410, "expired")
    assert client.get(f"/v1/jobs/{gone}/sounds/1").status_code == 200
    old = client.post(GENERATE, json=RAIN).json()["id"]
    error_of(client.get(f"/v1/jobs/{old}/sounds/0"), 404, "not_found")
    gate.opened.set()
    wait_for(lambda: client.get(f"/v1/jobs/{old}").json()["state"] == "done")
    running(client).store.expire(1.0, 1)
    shown = client.get(f"/v1/jobs/{old}").json()
    assert (shown["state"], shown["sounds"][0]["url"]) == ("expired", None)
    assert shown["sounds"][0]["state"] == "expired"
    error_of(client.get(f"/v1/jobs/{old}/sounds/0"), 410, "expired")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/..%2f..%2fjobs.sqlite",
        "/v1/jobs/%2e%2e",
        "/v1/jobs/%2e%2e/sounds/0",
        "/v1/jobs/job-0000000000000000000",
        "/v1/jobs/JOB-00000000000000000000",
        "/v1/jobs/job-00000000000000000000%0a",
        "/v1/jobs/job-00000000000000000000%00",
        "/v1/jobs/job-00000000000000000000/sounds/..%2f0",
        "/v1/jobs/job-00000000000000000000/sounds/-1",
        "/v1/jobs/job-00000000000000000000/sounds/99999999999999999999",
        "/v1/jobs/job-00000000000000000000/sounds/0.wav",
        "/%2e%2e/jobs.sqlite",
        "/jobs.sqlite",
        "/sounds",
        "/app.py",
        "/docs",
        "/redoc",
        "/v2/jobs",
    ],
)
def test_nothing_but_what_the_server_has_named_is_found(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    error_of(answer, answer.status_code, "not_found" if answer.status_code == 404 else "invalid")


def test_another_method_is_not_allowed(client):
    for method, path in (("GET", GENERATE), ("PUT", "/v1/jobs"), ("POST", "/health")):
        answer = client.request(method, path)
        error_of(answer, 405, "not_allowed")
        assert answer.headers["allow"]


def test_without_the_token_there_is_only_what_tells_nothing(open_app):
    client = open_app(token=TOKEN)
    right = {"authorization": f"Bearer {TOKEN}"}
    job = client.post(f"{GENERATE}?wait=30", json=RAIN, headers=right).json()
    guarded = [
        ("POST", GENERATE), ("POST", "/v1/audio/uploads"), ("GET", "/v1/jobs"),
        ("GET", f"/v1/jobs/{job['id']}"), ("DELETE", f"/v1/jobs/{job['id']}"),
        ("GET", f"/v1/jobs/{job['id']}/sounds/0"), ("GET", f"/v1/jobs/{job['id']}/events"),
        ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/v1/nothing"),
    ]  # fmt: skip
    wrong = [
        f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"bearer {TOKEN}", TOKEN, "Bearer ",
        f"Basic {TOKEN}", f"Bearer  {TOKEN}", "Bearer " + "x" * 5000,
    ]  # fmt: skip
    for method, path in guarded:
        error = error_of(client.request(method, path), 401, "unauthorized")
        assert TOKEN not in str(error)
    # However near, each wrong one is answered alike.
    answers = {client.get("/v1/jobs", headers={"authorization": given}).content for given in wrong}
    assert len(answers) == 1
    answer = client.get("/v1/jobs", headers={"authorization": "Bearer \xff".encode("latin-1")})
    error_of(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/v1/jobs", "/v1/models", "/metrics", f"/v1/jobs/{job['id']}/sounds/0"):
        assert client.get(path, headers=right).status_code == 200
    for path in ("/", "/health", "/ready", "/openapi.json"):
        assert client.get(path).status_code == 200
    assert client.get(f"/v1/jobs/{job['id']}", headers=right).json() == job


def test_no_header_talks_the_guard_out_of_the_token(open_app):
    client = open_app(token=TOKEN)
    for headers in (
        {"host": "testserver/?"},
        {"host": "x@testserver"},
        {"x-forwarded-prefix": "/health"},
        {"x-original-url": "/health"},
        {"x-http-method-override": "OPTIONS"},
    ):
        error_of(client.get("/v1/jobs", headers=headers), 401, "unauthorized")
    assert client.options("/v1/jobs").status_code == 405


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LocalHost:1", True),
        ("[::1]:8000", True),
        ("studio.example:443", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example:8000", False),
        ("x@evil.example", False),
        ("192.168.0.1", False),
        ("", False),
    ],
)
def test_a_local_server_answers_only_to_its_own_names(open_app, tmp_path, host, allowed):
    settled = settle_access(ServingConfig(hosts=("studio.example",)), "127.0.0.1")
    client = open_app(hosts=settled.hosts)
    for path in ("/", "/health", "/v1/models"):
        answer = client.get(path, headers={"host": host})
        if allowed:
            assert answer.status_code == 200
        else:
            error_of(answer, 421, "misdirected")


def test_other_pages_may_use_the_api_only_when_they_are_named(open_app):
    page = {"origin": "https://page.example"}
    ask = {**page, "access-control-request-method": "POST"}
    shut = open_app()
    assert "access-control-allow-origin" not in shut.get("/v1/models", headers=page).headers
    answer = shut.options(GENERATE, headers=ask)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers
    opened = open_app(origins=("https://page.example",), token=TOKEN)
    for answer in (opened.options(GENERATE, headers=ask), opened.get("/health", headers=page)):
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
    # A page that may ask also learns why not.
    for answer in (
        opened.get("/v1/models", headers=page),
        opened.post(GENERATE, content=b"x" * 100_000, headers=page),
    ):
        assert answer.status_code in (401, 413)
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
    other = opened.get("/health", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_every_answer_carries_what_protects_browsers(open_app):
    def fail():
        raise RuntimeError("a secret of the server")

    client = open_app(token=TOKEN, hosts=("testserver",), rate=6)
    client.app.add_api_route("/broken", fail)
    right = {"authorization": f"Bearer {TOKEN}"}
    job = client.post(f"{GENERATE}?wait=30", json=RAIN, headers=right).json()["id"]
    file = client.get(f"/v1/jobs/{job}/sounds/0", headers=right)
    answers = {
        200: client.get("/"),
        206: client.get(f"/v1/jobs/{job}/sounds/0", headers={**right, "range": "bytes=0-3"}),
        202: client.post(GENERATE, json=RAIN, headers=right),
        204: client.delete(f"/v1/jobs/{job}", headers=right),
        404: client.get("/nothing"),
        405: client.delete("/health"),
        401: client.get("/v1/jobs"),
        421: client.get("/", headers={"host": "evil.example"}),
        413: client.post(GENERATE, content=b"x" * 100_000, headers=right),
        415: client.post(GENERATE, content=b"x", headers=right),
        400: client.post(
            GENERATE, content=b"x", headers={**right, "content-type": "application/json"}
        ),
        422: client.post(GENERATE, json={}, headers=right),
        500: client.get("/broken"),
    }
    stream = client.post(GENERATE, json={**RAIN, "stream": True}, headers=right)
    assert stream.headers["content-type"] == "audio/wav"
    tries = (client.post(GENERATE, json={}, headers=right) for _ in range(100))
    answers[429] = next(answer for answer in tries if answer.status_code == 429)
    for status, answer in answers.items():
        assert answer.status_code == status
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (status, name)
    for answer in (file, stream):
        assert answer.headers["x-content-type-options"] == "nosniff"
    error = error_of(answers[500], 500, "internal")
    assert "secret" not in str(error)


def test_who_asks_too_often_is_told_when_to_come_again(open_app):
    client = open_app(rate=2)
    for body in (RAIN, {}):
        assert client.post(GENERATE, json=body).status_code in (202, 422)
    for path in (GENERATE, "/v1/audio/uploads"):
        answer = client.post(path, json=RAIN)
        error_of(answer, 429, "too_many")
        assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert [client.get("/v1/jobs").status_code for _ in range(5)] == [200] * 5
    assert 'soundwright_refused_requests_total{reason="rate"} 2.0' in client.get("/metrics").text


def test_a_sound_that_was_made_here_can_be_continued(open_app):
    gate = Gate()
    worker = Scripted(make, make, gate)
    client = open_app(worker)
    job = made(client, num_samples=2)
    place = {"job": job["id"], "sound": 1}
    continued = made(client, continue_from=place)
    assert continued["request"]["continue_from"] == place
    assert worker.batches[-1].beginning == tone(8)
    assert "--continue-from" in continued["sounds"][0]["command"]
    running(client).shelf.place(job["id"], 1, "wav").unlink()
    waiting = client.post(GENERATE, json=RAIN).json()["id"]
    for given, status, kind in (
        (place, 410, "expired"),
        ({"job": job["id"], "sound": 2}, 404, "not_found"),
        ({"job": waiting, "sound": 0}, 404, "not_found"),
        ({"job": GONE, "sound": 0}, 404, "not_found"),
        ("upload-" + "0" * 20, 404, "not_found"),
    ):
        answer = client.post(GENERATE, json={**RAIN, "continue_from": given})
        assert error_of(answer, status, kind)["field"] == "continue_from"
    gate.opened.set()


def test_a_disk_that_is_full_is_told_without_its_paths(open_app, tmp_path):
    client = open_app()
    job = made(client)["id"]
    state = running(client).config.state
    (state / "uploads").write_text("a file where a folder is wanted")
    headers = {"content-type": "audio/wav"}
    answer = client.post("/v1/audio/uploads", content=tone(1), headers=headers)
    error = error_of(answer, 507, "disk_full")
    assert str(tmp_path) not in str(error)
    with running(client).store._database.write() as connection:
        connection.execute("ALTER TABLE sounds RENAME TO lost")
    error = error_of(client.post(GENERATE, json=RAIN), 507, "disk_full")
    assert "lost" not in str(error)
    with running(client).store._database.write() as connection:
        connection.execute("ALTER TABLE lost RENAME TO sounds")
    assert [one["id"] for one in client.get("/v1/jobs").json()["jobs"]] == [job]
    assert made(client)["state"] == "done"


def test_models_tell_what_each_lets_people_choose(client):
    shown = client.get("/v1/models").json()
    speaking, diffusing = shown["models"]
    assert (speaking["name"], speaking["kind"], speaking["state"]) == ("bundled", "lm", "ready")
    assert (diffusing["kind"], diffusing["streams"]) == ("diffusion", False)
    assert (speaking["streams"], speaking["continues"]) == (True, True)
    assert set(speaking["settings"]) == {
        "duration", "cfg_scale", "temperature", "top_k", "top_p", "num_samples", "best_of",
    }  # fmt: skip
    assert set(diffusing["settings"]) == {
        "duration", "cfg_scale", "steps", "sampler", "cfg_rescale", "num_samples", "best_of",
    }  # fmt: skip
    assert speaking["settings"]["duration"]["maximum"] == 60.0
    sampler = diffusing["settings"]["sampler"]
    assert sampler["default"] in sampler["choices"]
    for model in shown["models"]:
        assert len(model["hash"]) == 16
        for name, setting in model["settings"].items():
            body = {**RAIN, "model": model["name"], name: setting["default"]}
            assert client.post(GENERATE, json=body).status_code == 202, name
    for prompt in shown["examples"]:
        GenerationBody(prompt=prompt).check(1, 1)


def test_a_model_that_fails_to_load_is_told_and_the_server_stays(open_app):
    fault = Problem(type="unavailable", message="The weights are damaged.")
    client = open_app(Scripted(fault=fault), models=("bundled", "bundled-diffusion"))
    wait_for(lambda: client.get("/ready").json()["status"] == "failed")
    assert client.get("/ready").status_code == 503
    error = error_of(client.post(GENERATE, json=RAIN), 503, "unavailable")
    assert error["message"] == "The weights are damaged."
    bundled, other = client.get("/v1/models").json()["models"]
    assert (bundled["state"], bundled["error"]["message"]) == ("failed", fault.message)
    assert other["state"] == "waiting"
    assert client.get("/health").json() == {"status": "ok"}
    assert made(client, model="bundled-diffusion")["state"] == "done"
    wait_for(lambda: client.get("/v1/models").json()["models"][1]["state"] == "ready")


def test_a_model_that_is_not_there_or_makes_no_sounds_spoils_only_itself(open_app, tmp_path):
    record = json.loads((find_model("bundled") / RECORD_FILE).read_text(encoding="utf-8"))
    mute = tmp_path / "mute"
    mute.mkdir()
    (mute / RECORD_FILE).write_text(json.dumps({**record, "kind": "captioner"}))
    client = open_app(models=("bundled", "gone", str(mute)))
    states = [model["state"] for model in client.get("/v1/models").json()["models"]]
    assert states[1:] == ["failed", "failed"]
    for name, says in (("gone", "no model 'gone'"), (str(mute), "generates no sounds")):
        error = error_of(client.post(GENERATE, json={**RAIN, "model": name}), 503, "unavailable")
        assert says in error["message"]
    assert made(client)["state"] == "done"


def test_ready_means_that_the_default_model_is_there(open_app):
    loaded = threading.Event()

    class Slow(Scripted):
        def load(self, model):
            loaded.wait()

    client = open_app(Slow(), queue=5)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "loading")
    assert client.get("/health").status_code == 200
    client.post(GENERATE, json={**RAIN, "num_samples": 3})
    assert client.get("/ready").json()["waiting"] == 3
    loaded.set()
    wait_for(lambda: client.get("/ready").status_code == 200)
    assert client.get("/ready").json()["models"] == {"bundled": "ready"}


def test_metrics_are_what_prometheus_reads(open_app):
    client = open_app()
    made(client, num_samples=3)
    client.get(f"/v1/jobs/{GONE}")
    client.get("/a path that nobody made")
    # The worker counts after it has told.
    made_seconds = 'soundwright_sound_seconds_total{model="bundled"} 1.5'
    wait_for(lambda: made_seconds in client.get("/metrics").text)
    text = client.get("/metrics").text
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["soundwright_accepted_sounds_total", "bundled"] == 3
    assert values["soundwright_jobs_total", "done"] == 1
    assert values["soundwright_batch_sounds_sum", "bundled"] == 3
    assert values["soundwright_sound_seconds_total", "bundled"] == 1.5
    assert values["soundwright_waiting_sounds",] == 0
    assert values["soundwright_accept_seconds_count",] == 1
    assert values["soundwright_requests_total", "/v1/audio/generations", "200", "POST"] == 1
    assert values["soundwright_requests_total", "/v1/jobs/{job}", "404", "GET"] == 1
    # A stranger cannot make as many labels as there are addresses.
    assert "nobody" not in text
    assert GONE not in text


def references(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from [inner] if name == "$ref" else references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_description_of_the_api_is_whole_and_its_examples_work(client):
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    for reference in references(described):
        found = described
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            if path.startswith("/v1"):
                assert {"401", "422", "429", "503"} <= set(operation["responses"])
    body = described["components"]["schemas"]["GenerationBody"]
    assert body["additionalProperties"] is False
    assert all(value.get("description") for value in body["properties"].values())
    assert body["examples"]
    for example in body["examples"]:
        assert client.post(GENERATE, json=example).status_code == 202
    upload = described["paths"]["/v1/audio/uploads"]["post"]["requestBody"]
    assert {"audio/wav", "application/octet-stream"} <= set(upload["content"])


def test_the_page_is_given_at_the_root(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
