"""The hub: when the network may be used, and what is said when weights cannot be had."""

import pytest

from soundwright.core import hub
from soundwright.core.errors import MissingWeightsError


@pytest.mark.parametrize(
    ("value", "forbidden"), [("1", True), ("true", True), ("0", False), ("no", False), ("", False)]
)
def test_network_is_forbidden_by_environment(monkeypatch, value, forbidden):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", value)
    assert hub.network_forbidden() is forbidden
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.network_forbidden()


@pytest.mark.parametrize("name", ["nobody/nothing", "no such/na me", "x" * 200])
def test_weights_that_cannot_be_had_are_named_with_a_way_out(monkeypatch, tmp_path, name):
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError) as caught:
        hub.fetch_folder(name, hub.PRETRAINED_FILES, what="codec")
    for word in ("codec", name, "forbidden", "--local-dir"):
        assert word in str(caught.value)
