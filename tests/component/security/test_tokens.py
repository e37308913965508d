"""Decides whose a token is, through changes of the file however it is replaced; names of the file are those that a Secret has."""

from __future__ import annotations

import hmac
from hmac import compare_digest
from typing import TYPE_CHECKING

import pytest

from watcher.security.tokens import TokenFile

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace a file as an editor does: by a rename."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a token of alice and two of bob."""
    path = tmp_path / "tokens"
    path.write_text("alice:one\nbob:two\nbob:three\n", encoding="utf-8")
    return path


def owners(tokens: TokenFile) -> list[str | None]:
    """Return whose the tokens are that appear in these tests."""
    return [tokens.owner(token) for token in ("one", "two", "three", "four")]


def test_a_name_has_several_tokens(path: Path) -> None:
    """Each token of a name belongs to it, so that one can take the place of another without haste."""
    assert owners(TokenFile(path)) == ["alice", "bob", "bob", None]


def test_all_tokens_are_compared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever token is shown, each known one is compared with it, and in a time that does not tell how much of it is right."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(known: bytes, shown: bytes) -> bool:
        compared.append((known, shown))
        return compare_digest(known, shown)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = TokenFile(path)
    for shown in ("one", "three", "four"):
        tokens.owner(shown)
    assert compared == [
        (known, shown)
        for shown in (b"one", b"three", b"four")
        for known in (b"one", b"two", b"three")
    ]


def test_a_file_that_is_replaced_is_followed(path: Path) -> None:
    """Tokens come and go with the file; a file that says the same is no news."""
    tokens = TokenFile(path)
    assert not tokens.refresh()
    write(path, "alice:one\nbob:three\ncarol:four\n")
    assert tokens.refresh()
    assert owners(tokens) == ["alice", None, "bob", "carol"]
    path.write_text("alice:four\n", encoding="utf-8")
    assert tokens.refresh()
    assert owners(tokens) == [None, None, None, "alice"]
    assert not tokens.refresh()


def test_a_secret_of_kubernetes_is_followed(tmp_path: Path) -> None:
    """The swap of the link ..data replaces the tokens, also when size and time of the file are the same."""
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "tokens").write_text(f"alice:{version}\n", encoding="utf-8")
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    tokens = TokenFile(tmp_path / "tokens")
    (tmp_path / "..data_tmp").symlink_to("..two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert tokens.refresh()
    assert owners(tokens) == [None, "alice", None, None]


@pytest.mark.parametrize("text", ["", "no colon\n", "carol:four\nbad\n", None])
def test_a_broken_file_changes_nothing(path: Path, text: str | None) -> None:
    """With a file that is broken or gone the former tokens hold, and it shows, until the file is as it was or is good again."""
    tokens = TokenFile(path)
    good = path.read_text(encoding="utf-8")
    for mended in (good, "alice:one\n"):
        if text is None:
            path.unlink()
        else:
            write(path, text)
        for _ in range(2):
            assert not tokens.refresh()
            assert tokens.is_stale
        assert owners(tokens) == ["alice", "bob", "bob", None]
        write(path, mended)
        assert tokens.refresh() is (mended != good)
        assert not tokens.is_stale
    assert owners(tokens) == ["alice", None, None, None]
