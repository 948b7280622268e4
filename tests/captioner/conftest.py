"""A tiny captioner with its words."""

import pytest
from captioner_models import make_config, make_impressions, make_model, make_words


@pytest.fixture(scope="session")
def words():
    return make_words()


@pytest.fixture
def model(words):
    return make_model(make_config(words))


@pytest.fixture
def impressions():
    return make_impressions()
