"""Whatever the description of the API allows is answered without a fault of the server."""

import threading

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from scripted import Scripted, wait_for

from soundwright.serving.app import create_app
from soundwright.serving.config import ServingConfig
from soundwright.web.ports import listen

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
EXAMPLES = 12
"""Of each address."""


@pytest.fixture
def schema(tmp_path):
    config = ServingConfig(state=tmp_path / "state", rate=0, longest=1.0)
    app = create_app(config, [Scripted()])
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_for(lambda: server.started)
    yield schemathesis.openapi.from_url(
        f"http://127.0.0.1:{listener.getsockname()[1]}/openapi.json"
    )
    server.should_exit = True
    thread.join()


def test_nothing_that_may_be_asked_is_a_fault_of_the_server(schema):
    asked = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def ask(case):
            answer = case.call()
            asked.add(case.path)
            assert answer.status_code < 500, answer.text

        ask()
    assert {"/v1/audio/generations", "/v1/audio/uploads", "/v1/jobs/{job}/events"} <= asked
