"""Tokens and allow lists together."""

from pathlib import Path

import pytest

from watcher.errors import DeniedError, StateError, UnauthenticatedError
from watcher.security.policy import ANONYMOUS, Policy
from watcher.settings import ServerSettings
from watcher.spec import BucketSpec, Spec


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    path = tmp_path / "tokens"
    path.write_text("# comment\n\nalice: secret\n bob:a:b\ncarol:pässword\n", encoding="utf-8")
    return Policy(ServerSettings(token_file=path, allow_buckets=("alice=landing",)))


@pytest.mark.parametrize("authorization", [None, "", "Bearer secret", "Basic x"])
def test_without_a_token_file_everyone_is_anonymous(authorization: str | None) -> None:
    policy = Policy(ServerSettings())
    assert policy.is_open
    assert policy.principal(authorization) == ANONYMOUS


@pytest.mark.parametrize(
    ("authorization", "principal"),
    [
        ("Bearer secret", "alice"),
        ("bearer  secret ", "alice"),
        ("Bearer a:b", "bob"),
        ("Bearer pässword", "carol"),
        *((wrong, None) for wrong in (None, "", "secret", "Bearer", "Bearer ", "Basic secret")),
        *((wrong, None) for wrong in ("Bearer Secret", "Bearer secret2", "Bearer \udcff")),
    ],
)
def test_a_token_gives_its_principal(
    policy: Policy, authorization: str | None, principal: str | None
) -> None:
    """A wrong token is refused and not repeated."""
    if principal is None:
        with pytest.raises(UnauthenticatedError) as error:
            policy.principal(authorization)
        assert "secret" not in str(error.value)
    else:
        assert policy.principal(authorization) == principal


def test_the_lists_are_for_the_principals_of_the_token_file(policy: Policy, tmp_path: Path) -> None:
    spec = Spec(BucketSpec("landing"))
    assert not policy.is_open
    assert policy.authorize(spec, "alice").spec is spec
    with pytest.raises(DeniedError):
        policy.authorize(spec, "bob")
    with pytest.raises(StateError, match="no 'dave'"):
        Policy(ServerSettings(token_file=tmp_path / "tokens", allow_buckets=("dave=landing",)))
