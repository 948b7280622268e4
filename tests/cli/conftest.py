"""The command line in this process, as a person sees it: status and both outputs."""

import pytest
from typer.testing import CliRunner

from soundwright.cli.main import app


@pytest.fixture
def command(own_cache, tmp_path, monkeypatch):
    """Runs `soundwright` with arguments in an empty folder; gives exit_code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def refuses(command):
    """Asserts that a command is a user's mistake, with these words and no traceback."""

    def check(*arguments, says):
        result = command(*arguments)
        assert result.exit_code == 2, result.stderr or result.exception
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        said = " ".join(result.stderr.replace("│", " ").split())
        for words in [says] if isinstance(says, str) else says:
            assert words in said
        return result

    return check
