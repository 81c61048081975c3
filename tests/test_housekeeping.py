"""What Fedloom has put into the cache, and how to be rid of it."""

from fedloom import housekeeping
from fedloom.housekeeping import PRIVATE, kept, remove


def test_every_folder_of_the_cache_is_known_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path))
    assert kept() == []
    for kind in ("rows", "prepared", "sites", "judges", "models", "wheels"):
        (tmp_path / kind / "below").mkdir(parents=True)
        (tmp_path / kind / "below" / "file").write_bytes(b"12345")
    assert {folder.kind: folder.bytes for folder in kept()} == dict.fromkeys(housekeeping.KINDS, 5)
    assert all("private content" in folder.what for folder in kept() if folder.kind in PRIVATE)


def test_a_folder_that_is_removed_is_gone_with_all_that_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path))
    (tmp_path / "prepared" / "below").mkdir(parents=True)
    (found,) = kept()
    remove(found)
    assert kept() == []
    assert list(tmp_path.iterdir()) == []
