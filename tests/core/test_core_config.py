"""Configuration: recipes that extend each other, overrides, and errors that name the mend."""

from pathlib import Path

import pytest
from pydantic import Field

from soundwright.core.config import Config, compose, merge, parse_override
from soundwright.core.errors import ConfigError


class Layer(Config):
    dim: int = 8
    rate: float = 0.1


class Model(Config):
    layer: Layer = Layer()
    layers: tuple[Layer, ...] = ()
    extra: Layer | None = None
    names: dict[str, Layer] = Field(default_factory=dict)


@pytest.fixture
def find(tmp_path):
    def look(name: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        if not path.is_file():
            raise ConfigError(f"There is no recipe {name!r}.")
        return path

    return look


def test_child_recipe_replaces_leaves_and_keeps_siblings(tmp_path, find):
    (tmp_path / "base.yaml").write_text("layer: {dim: 4, rate: 1e-3}\nname: base\n")
    (tmp_path / "child.yaml").write_text("extends: base\nlayer: {dim: 16}\n")
    assert compose("child", find=find) == {"layer": {"dim": 16, "rate": "1e-3"}, "name": "base"}
    values = compose("child", ["layer.dim=32"], find=find)
    assert Model.read({"layer": values["layer"]}).layer == Layer(dim=32, rate=1e-3)


def test_later_parent_wins_and_circles_are_named(tmp_path, find):
    (tmp_path / "a.yaml").write_text("x: 1\ny: 1\n")
    (tmp_path / "b.yaml").write_text("y: 2\n")
    (tmp_path / "both.yaml").write_text("extends: [a, b]\n")
    assert compose("both", find=find) == {"x": 1, "y": 2}
    (tmp_path / "c.yaml").write_text("extends: d\n")
    (tmp_path / "d.yaml").write_text("extends: c\n")
    with pytest.raises(ConfigError, match="circle"):
        compose("c", find=find)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1", {"a": {"b": 1}}),
        ("a=x=y", {"a": "x=y"}),
        ("a=", {"a": None}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ("a.b={c: true}", {"a": {"b": {"c": True}}}),
    ],
)
def test_override_values_are_yaml(text, value):
    assert parse_override(text) == value


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", "a=[1"])
def test_malformed_override_is_refused(text):
    with pytest.raises(ConfigError):
        parse_override(text)


def test_merge_leaves_its_arguments_alone():
    below, above = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge(below, above) == {"a": {"b": 1, "c": 2}}
    assert below == {"a": {"b": 1}}
    assert above == {"a": {"c": 2}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"layer": {"dmi": 4}}, ["layer.dmi", "did you mean 'dim'"]),
        ({"layr": {}}, ["layr", "did you mean 'layer'"]),
        ({"layers": [{"dim": 1}, {"rat": 2}]}, ["layers.1.rat", "did you mean 'rate'"]),
        ({"extra": {"dimm": 2}}, ["extra.dimm", "did you mean 'dim'"]),
        ({"names": {"x": {"raet": 2}}}, ["names.x.raet", "did you mean 'rate'"]),
        ({"layer": {"dim": "wide"}}, ["layer.dim", "'wide'", "integer"]),
    ],
)
def test_unknown_keys_and_wrong_types_name_the_key_and_its_neighbour(values, words):
    with pytest.raises(ConfigError) as caught:
        Model.read(values, origin="recipe.yaml")
    for word in [*words, "recipe.yaml"]:
        assert word in str(caught.value)


def test_a_value_too_long_to_be_read_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        Model.read({"layer": {"dim": "wide" * 100}}, origin="recipe.yaml")
    assert str(caught.value).startswith("recipe.yaml: 'layer.dim': Input should be a valid integer")
    assert "wide" not in str(caught.value)


def test_configuration_is_frozen_and_round_trips():
    model = Model(layers=(Layer(dim=2),), names={"x": Layer()})
    with pytest.raises(Exception, match="frozen"):
        model.layer = Layer()
    assert Model.read(model.plain()) == model


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1", "\xff\xfe", "", "# a\n"])
def test_a_recipe_that_is_no_mapping_is_refused(tmp_path, find, text):
    (tmp_path / "bad.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        compose("bad", find=find)
