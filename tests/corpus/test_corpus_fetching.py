"""Files by address: fetched once and whole, again where that may help, and politely."""

import importlib.util
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from filelock import FileLock

from soundwright.core.errors import ConfigError, UserError
from soundwright.corpus.failures import PermanentError, TransientError
from soundwright.corpus.fetching import FetchPolicy, fetch, wait_before
from soundwright.corpus.host_rates import HostRates
from soundwright.corpus.http_fetching import retry_after
from soundwright.corpus.youtube_fetching import is_youtube, youtube_error

CONTENT = bytes(range(256)) * 2000
SIZE = len(CONTENT)
QUICK = FetchPolicy(first_wait_s=0.01, timeout_s=60.0, rate=1e6)
ONCE = QUICK.model_copy(update={"attempts": 1})


class Host(BaseHTTPRequestHandler):
    """Answers by what the path says; notes when each path was asked for, and from which byte."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[dict[str, list]] = {}

    def do_GET(self):
        path = self.path.partition("?")[0]
        asked = self.asked.setdefault(path, [])
        asked.append((time.monotonic(), self.headers.get("Range")))
        what, _, rest = path[1:].partition("/")
        kind = what.replace("-", "_")
        getattr(self, f"give_{kind}", self.give_file)(rest, len(asked))

    def give_file(self, *_):
        self.answer(200)

    def give_status(self, rest, _):
        self.answer(int(rest))

    def give_busy_once(self, _, number):
        self.answer(429 if number == 1 else 200, {"Retry-After": "1"})

    def give_down_twice(self, _, number):
        self.answer(503 if number < 3 else 200)

    def give_cut(self, *_):
        self.answer_cut({"ETag": '"v1"'})

    def give_cut_once(self, _, number):
        if number == 1:
            self.answer_cut({})
        else:
            self.answer(200)

    def give_changes(self, _, number):
        if number == 1:
            self.answer_cut({"ETag": '"v1"'})
        else:
            self.answer(200)

    def give_elsewhere(self, _, number):
        """Another part than the one that is asked for, once."""
        if number == 1:
            self.answer_cut({"ETag": '"v1"'})
        elif number == 2:
            self.answer(206, {"ETag": '"v1"', "Content-Range": f"bytes 5-9/{SIZE}"}, b"wrong")
        else:
            self.answer(200)

    def give_page(self, *_):
        self.answer(200, {"Content-Type": "text/html; charset=utf-8"})

    def give_message(self, *_):
        self.answer(200, {"Content-Type": "application/json"}, content=b'{"error": "busy"}')

    def give_empty(self, *_):
        self.answer(200, content=b"")

    def give_to(self, rest, _):
        self.answer(302, {"Location": f"/{rest}"})

    def give_to_file(self, *_):
        self.answer(302, {"Location": "file:///etc/passwd"})

    def give_round(self, *_):
        self.answer(302, {"Location": f"/round/{time.monotonic_ns()}"})

    def answer(self, status, headers=(), content=CONTENT):
        self.send_response(status)
        body = content if status in (200, 206) else b""
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_cut(self, headers):
        """A third of what is asked for, at most, whatever the length says."""
        first = int(self.headers.get("Range", "bytes=0-")[6:-1])
        ranged = first > 0 and self.headers.get("If-Range") == headers.get("ETag")
        first = first if ranged else 0
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {first}-{SIZE - 1}/{SIZE}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(SIZE - first))
        self.end_headers()
        self.wfile.write(CONTENT[first : first + SIZE // 3 + 1])
        self.close_connection = True

    def give_drips(self, *_):
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        try:
            for _ in range(200):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def network_allowed(monkeypatch):
    Host.asked = {}
    for name in ("SOUNDWRIGHT_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_file_is_fetched_once_and_found_again(host, tmp_path):
    address = f"{host}/some/ä clip.MP4?key=../../1#t=3"
    path = fetch(address, tmp_path / "media", QUICK)
    assert path.read_bytes() == CONTENT
    assert path.parent == tmp_path / "media"
    assert (len(path.stem), path.suffix) == (32, ".mp4")
    assert fetch(address, tmp_path / "media", QUICK) == path
    assert len(Host.asked) == 1
    assert not any((tmp_path / "media" / ".unfinished").iterdir())
    other = fetch(f"{host}/some/..%2f..%2fclip", tmp_path / "media", QUICK)
    assert other.parent == tmp_path / "media"
    assert files_in(tmp_path / "media") == sorted([path.name, other.name])


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("status/404", "not-found"),
        ("status/410", "removed"),
        ("status/401", "forbidden"),
        ("status/403", "forbidden"),
        ("status/451", "refused"),
        ("page", "not-media"),
        ("empty", "empty"),
        ("round", "redirects"),
        ("to-file", "redirects"),
    ],
)
def test_what_will_not_change_is_asked_for_once(host, tmp_path, what, reason):
    with pytest.raises(PermanentError) as caught:
        fetch(f"{host}/{what}", tmp_path, QUICK)
    assert (caught.value.reason, caught.value.attempts) == (reason, 1)
    assert f"{host}/{what}" in str(caught.value)
    assert files_in(tmp_path) == []
    assert [path.suffix for path in (tmp_path / ".unfinished").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("status/500", "server"),
        ("status/429", "rate-limited"),
        ("status/408", "timeout"),
        ("message", "not-media"),
    ],
)
def test_what_may_pass_is_tried_as_often_as_allowed(host, tmp_path, what, reason):
    with pytest.raises(TransientError) as caught:
        fetch(f"{host}/{what}", tmp_path, QUICK.model_copy(update={"attempts": 3}))
    assert (caught.value.reason, caught.value.attempts) == (reason, 3)
    assert len(Host.asked[f"/{what}"]) == 3
    assert files_in(tmp_path) == []


def test_a_host_that_was_down_is_asked_again(host, tmp_path):
    assert fetch(f"{host}/down-twice", tmp_path, QUICK).read_bytes() == CONTENT
    assert len(Host.asked["/down-twice"]) == 3


def test_a_busy_host_is_left_alone_as_long_as_it_asks(host, tmp_path):
    # By a name of its own: what is held is all that this process asks of a host.
    host = host.replace("127.0.0.1", "localhost")
    assert fetch(f"{host}/busy-once", tmp_path, QUICK).read_bytes() == CONTENT
    (first, _), (second, _) = Host.asked["/busy-once"]
    assert second - first >= 1.0
    Host.asked = {}
    with pytest.raises(TransientError) as caught:
        fetch(f"{host}/busy-once?", tmp_path, QUICK.model_copy(update={"total_s": 0.5}))
    assert (caught.value.reason, caught.value.attempts) == ("rate-limited", 1)


def test_a_cut_file_is_continued_where_the_host_allows_it(host, tmp_path):
    with pytest.raises(TransientError) as caught:
        fetch(f"{host}/cut", tmp_path, ONCE)
    assert caught.value.reason == "cut"
    assert files_in(tmp_path) == []
    # As after a process that was killed: another call goes on.
    assert fetch(f"{host}/cut", tmp_path, QUICK).read_bytes() == CONTENT
    third = SIZE // 3 + 1
    ranges = [where for _, where in Host.asked["/cut"]]
    assert ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_cut_file_is_fetched_anew_where_nothing_tells_that_it_is_the_same(host, tmp_path):
    assert fetch(f"{host}/cut-once", tmp_path, QUICK).read_bytes() == CONTENT
    assert [where for _, where in Host.asked["/cut-once"]] == [None, None]
    assert fetch(f"{host}/changes", tmp_path, QUICK).read_bytes() == CONTENT
    assert [where for _, where in Host.asked["/changes"]] == [None, f"bytes={SIZE // 3 + 1}-"]
    assert fetch(f"{host}/elsewhere", tmp_path, QUICK).read_bytes() == CONTENT
    ranges = [where for _, where in Host.asked["/elsewhere"]]
    assert ranges == [None, f"bytes={SIZE // 3 + 1}-", None]


def test_a_slow_host_is_not_waited_for_beyond_the_limit(host, tmp_path):
    policy = QUICK.model_copy(update={"total_s": 0.4})
    with pytest.raises(TransientError) as caught:
        fetch(f"{host}/drips", tmp_path, policy)
    assert caught.value.reason == "timeout"
    with pytest.raises(TransientError) as caught:
        fetch("http://127.0.0.1:9/closed", tmp_path, QUICK.model_copy(update={"attempts": 2}))
    assert (caught.value.reason, caught.value.attempts) == ("connection", 2)


def test_a_file_that_is_too_large_is_not_kept(host, tmp_path):
    policy = QUICK.model_copy(update={"max_bytes": SIZE - 1})
    with pytest.raises(PermanentError) as caught:
        fetch(f"{host}/a.wav", tmp_path, policy)
    assert caught.value.reason == "too-large"
    assert files_in(tmp_path) == []
    assert fetch(f"{host}/a.wav", tmp_path, QUICK.model_copy(update={"max_bytes": SIZE}))


def test_redirects_are_followed_within_the_web(host, tmp_path):
    assert fetch(f"{host}/to/to/file.wav", tmp_path, QUICK).read_bytes() == CONTENT
    with pytest.raises(PermanentError, match="status 302"):
        fetch(f"{host}{'/to' * 6}/file.wav", tmp_path, QUICK)


def fetch_whole(address, folder):
    assert fetch(address, folder, QUICK).read_bytes() == CONTENT


def test_threads_fetch_an_address_once(host, tmp_path):
    arguments = (f"{host}/shared", tmp_path)
    threads = [threading.Thread(target=fetch_whole, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fetch_whole(*arguments)
    assert len(Host.asked["/shared"]) == 1


def test_what_another_process_fetches_is_waited_for(host, tmp_path):
    path = fetch(f"{host}/shared", tmp_path, QUICK)
    path.unlink()
    with FileLock(tmp_path / ".unfinished" / f"{path.stem}.lock"):
        with pytest.raises(TransientError) as caught:
            fetch(f"{host}/shared", tmp_path, QUICK.model_copy(update={"total_s": 0.2}))
        assert caught.value.reason == "busy"
        path.write_bytes(CONTENT)
        fetch_whole(f"{host}/shared", tmp_path)
    assert len(Host.asked["/shared"]) == 1


def test_what_is_on_this_machine_is_used_in_place(tmp_path):
    path = tmp_path / "a b.wav"
    path.write_bytes(b"x")
    assert fetch(str(path), tmp_path / "media") == path
    assert fetch(path.as_uri(), tmp_path / "media") == path
    assert not (tmp_path / "media").exists()
    with pytest.raises(PermanentError) as caught:
        fetch(str(tmp_path / "absent.wav"), tmp_path)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize("address", ["ftp://host/a", "http://", "http://[::1", "file://host/a"])
def test_other_addresses_are_refused(tmp_path, address):
    with pytest.raises(PermanentError) as caught:
        fetch(address, tmp_path)
    assert caught.value.reason == "bad-address"


def test_a_forbidden_network_is_not_used(monkeypatch, host, tmp_path):
    path = fetch(f"{host}/here.wav", tmp_path, QUICK)
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    assert fetch(f"{host}/here.wav", tmp_path, QUICK) == path
    with pytest.raises(TransientError) as caught:
        fetch(f"{host}/other.wav", tmp_path, QUICK)
    assert (caught.value.reason, len(Host.asked)) == ("network-forbidden", 1)


def test_a_folder_that_cannot_be_written_is_nobodys_item(host, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        fetch(f"{host}/a.wav", tmp_path / "file", QUICK)
    assert not isinstance(caught.value, PermanentError | TransientError)


def test_waits_grow_and_are_the_same_in_each_run():
    policy = FetchPolicy(first_wait_s=1.0, longest_wait_s=30.0)
    waits = [wait_before(attempt, "http://a/b", policy) for attempt in range(2, 9)]
    for wait, longest in zip(waits, [1, 2, 4, 8, 16, 30, 30], strict=True):
        assert longest / 2 <= wait < longest
    assert waits[0] == pytest.approx(0.6741074784346173)
    assert len({wait_before(2, f"http://a/{name}", policy) for name in range(50)}) == 50
    assert wait_before(2, "http://a/b", policy, retry_after=90.0) == 90.0
    assert wait_before(5000, "http://a/b", policy) < 30.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Sat, 01 Aug 2026 12:00:30 GMT", 30.0),
        ("Sat, 01 Aug 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
    ],
)
def test_hosts_say_as_a_number_or_a_date_when_to_come_again(text, seconds):
    assert retry_after(text, datetime(2026, 8, 1, 12, tzinfo=UTC)) == seconds


def test_a_host_gets_a_burst_and_then_its_rate():
    rates = HostRates()

    def ask(host, now, longest=100.0):
        return rates.reserve(host, rate=2.0, burst=3, now=now, longest=longest)

    assert [ask("a", 10.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert ask("a", 10.0, longest=1.4) is None
    assert ask("a", 10.0) == 1.5
    assert ask("b", 10.0) == 0.0
    assert [ask("a", 12.0), ask("a", 20.0)] == [0.0, 0.0]
    rates.hold("a", 4.0, rate=2.0, burst=3, now=20.0)
    assert [ask("a", 21.0), ask("a", 21.0), ask("a", 40.0)] == [3.0, 3.5, 0.0]


def test_threads_share_the_rate_of_a_host():
    rates = HostRates()
    delays = []

    def ask():
        delays.extend(
            rates.reserve("a", rate=4.0, burst=1, now=0.0, longest=1e9) for _ in range(100)
        )

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delays) == [number / 4 for number in range(400)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://www.youtube.com/watch?v=x", True),
        ("https://youtu.be/x", True),
        ("https://notyoutube.com/x", False),
        ("https://host/youtube.com", False),
    ],
)
def test_addresses_of_youtube_are_known_and_need_consent(tmp_path, address, expected):
    assert is_youtube(address) == expected
    if expected:
        with pytest.raises(PermanentError, match="youtube: true") as caught:
            fetch(address, tmp_path)
        assert caught.value.reason == "youtube-not-allowed"


@pytest.mark.skipif(importlib.util.find_spec("yt_dlp") is not None, reason="yt-dlp is installed")
def test_consent_without_the_package_says_what_to_install(tmp_path):
    with pytest.raises(UserError, match="pip install yt-dlp") as caught:
        fetch("https://youtu.be/x", tmp_path, FetchPolicy(youtube=True))
    assert not isinstance(caught.value, PermanentError | TransientError)


def test_messages_of_youtube_are_sorted():
    said = {
        "ERROR: [youtube] x: Private video. Sign in if you've been granted access": "private",
        "ERROR: [youtube] x: Video unavailable. This video has been removed by the uploader": (
            "removed"
        ),
        "ERROR: [youtube] x: Video unavailable": "unavailable",
        "ERROR: [youtube] x: The uploader has not made this video available in your country": (
            "region"
        ),
        "ERROR: [youtube] x: Sign in to confirm your age.": "forbidden",
        "ERROR: [youtube] x: Sign in to confirm you're not a bot.": "rate-limited",
        "ERROR: unable to download video data: HTTP Error 429: Too Many Requests": "rate-limited",
        "ERROR: [youtube] x: The read operation timed out": "timeout",
        "ERROR: HTTP Error 503: Service Unavailable": "server",
        "ERROR: [youtube] x: Premieres in 3 hours": "not-yet",
        "ERROR: something new": "connection",
    }
    errors = [youtube_error("https://youtu.be/x", message) for message in said]
    assert [error.reason for error in errors] == list(said.values())
    assert Counter(error.kind for error in errors) == {"permanent": 5, "transient": 6}


def test_a_policy_is_checked():
    with pytest.raises(ConfigError, match="attempts"):
        FetchPolicy.read({"attempts": 0})
    with pytest.raises(ConfigError, match="did you mean 'youtube'"):
        FetchPolicy.read({"youtub": True})
