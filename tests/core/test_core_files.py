"""Files that are whole or absent."""

import errno
import json

import pytest

from soundwright.core import files
from soundwright.core.errors import UserError


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def write_half():
        with files.open_atomic(path) as file:
            file.write(b"new, but ")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_an_error_for_people(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(UserError, match="No space left"):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_only_when_complete(tmp_path):
    path = tmp_path / "checkpoint"

    def write_half():
        with files.folder_atomic(path) as folder:
            (folder / "weights").write_bytes(b"1")
            assert not path.exists()
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with files.folder_atomic(path) as folder:
        (folder / "weights").write_bytes(b"2")
    assert (path / "weights").read_bytes() == b"2"
    with pytest.raises(UserError, match="exists already"), files.folder_atomic(path):
        pass


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_broken_json_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="does not exist"):
        files.read_json(tmp_path / "b.json")


def test_hash_of_file_equals_hash_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 1000
    files.write_bytes(tmp_path / "a", content)
    assert files.hash_file(tmp_path / "a") == files.hash_bytes(content)


def test_the_cache_moves_with_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path))
    assert files.cache_folder() == tmp_path
