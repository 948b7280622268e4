import torch

from soundwright.core.packs import Packs

ENTRY = {"rows": torch.arange(6.0).reshape(2, 3), "extra": torch.tensor([1.5])}


def test_entries_come_back_and_may_lack_a_tensor(tmp_path):
    packs = Packs(tmp_path / "new", ("rows", "extra"))
    packs.write({"a": ENTRY, "b": {"rows": ENTRY["rows"][:0]}})
    for there in (packs, Packs(tmp_path / "new", ("rows", "extra"))):
        assert "a" in there
        assert "c" not in there
        found = there.read(["b", "a", "c", "a"])
        assert set(found) == {"a", "b"}
        assert torch.equal(found["a"]["rows"], ENTRY["rows"])
        assert torch.equal(found["a"]["extra"], ENTRY["extra"])
        assert found["b"].keys() == {"rows"}
        assert found["b"]["rows"].shape == (0, 3)


def test_a_damaged_pack_is_forgotten_and_may_be_written_again(tmp_path):
    packs = Packs(tmp_path, ("rows", "extra"))
    packs.write({"a": ENTRY})
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)
    assert packs.read(["a"]) == {}
    assert "a" not in packs
    assert list(tmp_path.iterdir()) == []
    packs.write({"a": ENTRY})
    assert torch.equal(packs.read(["a"])["a"]["rows"], ENTRY["rows"])
