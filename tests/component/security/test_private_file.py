"""A file for libraries that take a name: it has the data, and is gone afterwards."""

import os
from pathlib import Path

import pytest

from watcher.security.private_file import private_file


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_it_is_private_and_gone(monkeypatch: pytest.MonkeyPatch, *, is_in_memory: bool) -> None:
    if not is_in_memory:
        monkeypatch.delattr(os, "memfd_create")
    with private_file(b"key") as name:
        assert Path(name).read_bytes() == b"key"
        assert name.startswith("/proc/") is is_in_memory
        if not is_in_memory:
            assert Path(name).stat().st_mode & 0o777 == 0o600
    assert not Path(name).exists()
