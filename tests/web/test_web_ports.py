"""Ports: taken or refused, and told as a browser takes them."""

import socket

import pytest

from soundwright.core.errors import UserError
from soundwright.web.ports import address_of, listen


def has_ipv6():
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        pytest.param(
            "::1",
            "[::1]",
            marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6"),
        ),
    ],
)
def test_a_free_port_is_found_and_told(host, shown):
    with listen(host, 0) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken, host) == f"http://{shown}:{port}/"
        with socket.create_connection((host, port), timeout=5) as client:
            assert client.getpeername()[1] == port


def test_a_port_in_use_is_refused_and_is_free_again_at_once():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be used") as caught:
            listen("127.0.0.1", port)
        assert "--port" in caught.value.change
    with listen("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::2"])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(UserError, match="cannot be used"):
        listen(host, 0)
