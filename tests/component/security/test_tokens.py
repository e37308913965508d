"""The owners of tokens, through changes of the file in every way in which files are replaced."""

import hmac
from hmac import compare_digest
from pathlib import Path

import pytest

from watcher.errors import StateError
from watcher.security.tokens import TokenFile


def write(path: Path, text: str) -> None:
    """Replace a file by a rename, as editors do."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("alice:one\nbob:two\nbob:three\n", encoding="utf-8")
    return path


def owners(tokens: TokenFile) -> list[str | None]:
    return [tokens.owner(token) for token in ("one", "two", "three", "four")]


@pytest.mark.parametrize(
    "text", ["", "# only\n", "no colon", "name:", ":token", "good:one\nbad\n", "name:\udcff", None]
)
def test_a_file_that_is_not_right_is_refused(path: Path, text: str | None) -> None:
    """A server must not start, and admit everyone, with a broken or missing token file."""
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StateError, match="cannot be read" if text is None else "token"):
        TokenFile(path)


def test_all_tokens_are_compared_in_constant_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(known: bytes, shown: bytes) -> bool:
        compared.append((known, shown))
        return compare_digest(known, shown)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = TokenFile(path)
    for shown in ("one", "three", "four"):
        tokens.owner(shown)
    known = (b"one", b"two", b"three")
    assert compared == [(each, shown) for shown in (b"one", b"three", b"four") for each in known]


def test_a_file_that_is_replaced_is_followed(path: Path) -> None:
    """A name may have several tokens."""
    tokens = TokenFile(path)
    assert owners(tokens) == ["alice", "bob", "bob", None]
    assert not tokens.refresh()
    write(path, "alice:one\nbob:three\ncarol:four\n")
    assert tokens.refresh()
    assert owners(tokens) == ["alice", None, "bob", "carol"]
    path.write_text("alice:four\n", encoding="utf-8")
    assert tokens.refresh()
    assert owners(tokens) == [None, None, None, "alice"]
    assert not tokens.refresh()


def test_a_secret_of_kubernetes_is_followed(tmp_path: Path) -> None:
    """The link ..data is swapped; size and time of the file may stay the same."""
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
    """The former tokens hold, and ``is_stale`` shows it, until the file is good again."""
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
