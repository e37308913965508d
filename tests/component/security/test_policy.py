"""Decides whether tokens and the operator's lists let in whom they name and nobody else; it must not import gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.wiring import find
from watcher.errors import DeniedError, StateError, UnauthenticatedError, WatcherError
from watcher.security.policy import ANONYMOUS, Policy
from watcher.settings import ServerSettings
from watcher.spec import BucketSpec, DirectorySpec, Spec

if TYPE_CHECKING:
    from pathlib import Path

LISTS = ServerSettings(
    allow_directories=("/data/in", "/srv"),
    allow_buckets=("landing", "team-*"),
    allow_endpoints=("http://minio:9000/",),
)


def watch(policy: Policy, where: DirectorySpec | BucketSpec) -> None:
    """Admit a place, as a stream does, and find it, as its watch does."""
    find(policy.check(Spec(where)))


def tokens(path: Path, text: str) -> Policy:
    """Return a policy with a token file."""
    path.write_text(text, encoding="utf-8")
    return Policy(ServerSettings(token_file=path))


@pytest.mark.parametrize("authorization", [None, "", "Bearer secret", "Basic x"])
def test_without_tokens_everyone_is_nobody(authorization: str | None) -> None:
    """A server without a token file asks for none and makes no difference between its clients."""
    assert Policy(ServerSettings()).principal(authorization) == ANONYMOUS


@pytest.mark.parametrize(
    ("authorization", "principal"),
    [
        ("Bearer secret", "alice"),
        ("bearer  secret ", "alice"),
        ("Bearer a:b", "bob"),
        ("Bearer pässword", "carol"),
    ],
)
def test_a_token_names_its_owner(tmp_path: Path, authorization: str, principal: str) -> None:
    """The name before the first colon belongs to the token after it; comments and blank lines count for nothing."""
    policy = tokens(tmp_path / "t", "# comment\n\nalice: secret\n bob:a:b\ncarol:pässword\n")
    assert policy.principal(authorization) == principal


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "secret",
        "Bearer",
        "Bearer ",
        "Basic secret",
        "Bearer Secret",
        "Bearer secret2",
        "Bearer \udcff",
    ],
)
def test_a_wrong_token_is_refused(tmp_path: Path, authorization: str | None) -> None:
    """Nothing but a known token gets in, and the refusal does not repeat what was shown."""
    with pytest.raises(UnauthenticatedError) as error:
        tokens(tmp_path / "t", "alice:secret").principal(authorization)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "# only\n", "no colon", "name:", ":token", "good:one\nbad\n", "name:\udcff"]
)
def test_a_token_file_is_right_or_refused(tmp_path: Path, text: str) -> None:
    """A file without tokens, or with a line that is none, stops the server instead of opening it."""
    path = tmp_path / "t"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StateError):
        Policy(ServerSettings(token_file=path))


def test_a_token_file_must_be_there(tmp_path: Path) -> None:
    """A token file that is missing stops the server as well."""
    with pytest.raises(StateError, match="cannot be read"):
        Policy(ServerSettings(token_file=tmp_path / "absent"))


@pytest.mark.parametrize(
    "where",
    [
        DirectorySpec("/data/in"),
        DirectorySpec("/data/in/deep"),
        DirectorySpec("/srv"),
        BucketSpec("landing"),
        BucketSpec("team-a", endpoint_url="http://minio:9000"),
    ],
)
def test_what_is_listed_may_be_watched(where: DirectorySpec | BucketSpec) -> None:
    """A directory at or below a listed one, and a bucket that a glob matches at AWS or a listed endpoint, are allowed."""
    watch(Policy(LISTS), where)


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        (DirectorySpec("/data"), "--allow-directory"),
        (DirectorySpec("/data/inner"), "--allow-directory"),
        (DirectorySpec("/data/in/../out"), "--allow-directory"),
        (DirectorySpec("/"), "--allow-directory"),
        (BucketSpec("landing2"), "--allow-bucket"),
        (BucketSpec("Landing"), "--allow-bucket"),
        (BucketSpec("landing", endpoint_url="http://minio:9001"), "--allow-endpoint"),
        (BucketSpec("landing", endpoint_url="http://minio.evil:9000"), "--allow-endpoint"),
    ],
)
def test_what_is_not_listed_is_denied(where: DirectorySpec | BucketSpec, hint: str) -> None:
    """A name that merely begins alike is denied, and the error says which flag would allow it."""
    with pytest.raises(DeniedError, match=hint):
        watch(Policy(LISTS), where)


@pytest.mark.parametrize(
    ("lists", "open_"),
    [
        (ServerSettings(), True),
        (ServerSettings(allow_directories=("/x",)), False),
        (ServerSettings(allow_buckets=("x",)), False),
        (ServerSettings(allow_endpoints=("http://x",)), False),
    ],
)
def test_one_list_closes_all(lists: ServerSettings, *, open_: bool) -> None:
    """As soon as one list is given, what the others would have to name is denied."""
    policy = Policy(lists)
    assert policy.is_open is open_
    for where in (
        DirectorySpec("/data"),
        BucketSpec("b"),
        BucketSpec("b", endpoint_url="http://e"),
    ):
        if open_:
            watch(policy, where)
        else:
            with pytest.raises(WatcherError):
                watch(policy, where)


def test_links_are_judged_by_their_target(tmp_path: Path) -> None:
    """A link inside an allowed directory to the outside is denied, and a link to an allowed directory is allowed."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "allowed/out").symlink_to("../secret")
    (tmp_path / "alias").symlink_to("allowed")
    for listed in ("allowed", "alias"):
        policy = Policy(ServerSettings(allow_directories=(str(tmp_path / listed),)))
        watch(policy, DirectorySpec(str(tmp_path / "alias")))
        with pytest.raises(DeniedError):
            watch(policy, DirectorySpec(str(tmp_path / "allowed/out")))
