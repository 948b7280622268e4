"""Whom a server lets in, by the address on which it listens."""

import pytest

from soundwright.core.errors import ConfigError
from soundwright.serving.config import SHORTEST_TOKEN, ServingConfig
from soundwright.serving.starting import is_local, settle_access


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1"])
def test_a_local_server_needs_no_token_and_answers_to_its_names(host):
    assert is_local(host)
    settled = settle_access(ServingConfig(hosts=("studio.example",)), host)
    assert settled.token is None
    assert {"127.0.0.1", "localhost", "[::1]", host, "studio.example"} <= set(settled.hosts)
    given = settle_access(ServingConfig(token="t" * SHORTEST_TOKEN), host)
    assert given.token == "t" * SHORTEST_TOKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "studio.example", "localhost."])
def test_a_server_that_others_reach_has_a_token_of_its_own(host):
    assert not is_local(host)
    drawn = {settle_access(ServingConfig(), host).token for _ in range(3)}
    assert len(drawn) == 3
    assert min(map(len, drawn)) >= 2 * SHORTEST_TOKEN
    given = settle_access(ServingConfig(token="t" * SHORTEST_TOKEN), host)
    assert (given.token, given.hosts) == ("t" * SHORTEST_TOKEN, ())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"token": "short"}, "has 5 characters"),
        ({"token": ""}, "has 0 characters"),
        ({"queue": 0}, "queue"),
        ({"rate": -1}, "rate"),
        ({"models": []}, "models"),
        ({"dtype": "int4"}, "dtype"),
        ({"tokens": "t" * 20}, "did you mean 'token'"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        ServingConfig.read(values)


def test_no_request_may_have_more_sounds_than_may_wait():
    assert ServingConfig(queue=4, most=16).most_at_once == 4
    assert ServingConfig(queue=64, most=16).most_at_once == 16
