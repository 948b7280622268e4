"""What every request and answer of our pages keeps to, whatever application is behind it."""

import asyncio

import pytest

from soundwright.web.guards import HEADERS, MOST_DISCARDED, GoneError, Guard, read_body


def sending(*messages):
    """A client that sends these messages, and the number of those that were taken."""
    waiting = [{"type": "http.request", "more_body": True, **message} for message in messages]
    taken = []

    async def receive():
        taken.append(waiting.pop(0))
        return taken[-1]

    return receive, taken


def ask(app, *messages, method="POST", path="/", kind="http"):
    """What an application sends in answer."""
    receive, _ = sending(*messages)
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": kind, "method": method, "path": path}, receive, send))
    return sent


async def echo(scope, receive, send):
    message = await receive()
    given = [(b"Referrer-Policy".lower(), b"origin")] if scope["path"] == "/own" else []
    await send({"type": "http.response.start", "status": 200, "headers": given})
    await send({"type": "http.response.body", "body": message["body"]})


async def refuse(scope, receive, send):
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"too large"})


@pytest.fixture
def guard():
    return Guard(echo, largest=lambda method, path: 10 if path == "/" else 4, refuse=refuse)


def test_a_body_comes_whole_however_it_was_cut(guard):
    start, body = ask(guard, {"body": b"0123"}, {"body": b""}, {"body": b"456789", "more_body": 0})
    assert (start["status"], body["body"]) == (200, b"0123456789")
    assert ask(guard, {"more_body": False})[1]["body"] == b""


@pytest.mark.parametrize(("path", "size"), [("/", 11), ("/other", 5)])
def test_a_body_that_is_too_large_never_reaches_the_application(guard, path, size):
    start, body = ask(
        guard, {"body": b"x" * (size - 1)}, {"body": b"x", "more_body": False}, path=path
    )
    assert (start["status"], body["body"]) == (413, b"too large")


def test_a_body_without_an_end_is_read_only_so_far():
    part = b"x" * (1 << 20)
    receive, taken = sending(*[{"body": part}] * 100)
    assert asyncio.run(read_body(receive, 10)) is None
    assert len(taken) == MOST_DISCARDED // len(part) + 1


def test_half_a_body_whose_client_has_gone_is_not_acted_upon(guard):
    gone = {"type": "http.disconnect"}
    assert ask(guard, {"body": b"half"}, gone) == []
    assert ask(guard, gone) == []
    with pytest.raises(GoneError):
        asyncio.run(read_body(sending({"body": b"half"}, gone)[0], 10))


@pytest.mark.parametrize("body", [b"ok", b"x" * 20])
def test_every_answer_carries_the_headers(guard, body):
    start = ask(guard, {"body": body, "more_body": False})[0]
    assert dict(start["headers"]) == {
        name.encode(): value.encode() for name, value in HEADERS.items()
    }


def test_an_application_may_say_otherwise(guard):
    start = ask(guard, {"body": b"ok", "more_body": False}, path="/own")[0]
    said = [value for name, value in start["headers"] if name == b"referrer-policy"]
    assert said == [b"origin"]


def test_what_is_no_request_passes(guard):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Guard(app, largest=lambda *_: 0, refuse=refuse)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
