"""A client that is made again when its credentials have expired."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError

from watcher.errors import DeniedError
from watcher.sources.s3.renewed_client import RenewedClient


@dataclass(eq=False)
class _Client:
    number: int
    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


@dataclass
class _Made:
    """Makes clients, and keeps them."""

    clients: list[_Client] = field(default_factory=list)

    def make(self) -> _Client:
        self.clients.append(_Client(len(self.clients)))
        return self.clients[-1]


@pytest.fixture
def made() -> _Made:
    return _Made()


@pytest.fixture
def client(made: _Made) -> RenewedClient[_Client]:
    return RenewedClient(made.make)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "ListObjectsV2")


def expiry_of_a_role() -> DeniedError:
    """Credentials that cannot be fetched, since those that fetch them have expired."""
    error = DeniedError("expired")
    error.__cause__ = refusal("ExpiredTokenException")
    return error


@pytest.mark.parametrize("expiry", [refusal("ExpiredToken"), expiry_of_a_role()])
def test_a_request_is_sent_once_more_with_renewed_credentials(
    client: RenewedClient[_Client], made: _Made, expiry: Exception
) -> None:
    """And every later one with those alone."""

    def send(by: _Client) -> int:
        if by.number == 0:
            raise expiry
        return by.number

    assert [client.send(send), client.send(send)] == [1, 1]
    assert [each.is_closed for each in made.clients] == [True, False]


def test_credentials_that_have_expired_again_are_an_error(
    client: RenewedClient[_Client], made: _Made
) -> None:
    def send(_: _Client) -> None:
        raise refusal("ExpiredToken")

    with pytest.raises(ClientError, match="ExpiredToken"):
        client.send(send)
    assert len(made.clients) == 2


@pytest.mark.parametrize(
    ("code", "may_renew"), [("AccessDenied", True), ("NoSuchBucket", True), ("ExpiredToken", False)]
)
def test_other_errors_are_passed_on(
    client: RenewedClient[_Client], made: _Made, code: str, *, may_renew: bool
) -> None:
    """So is that one where the request must not be sent once more."""

    def send(_: _Client) -> None:
        raise refusal(code)

    with pytest.raises(ClientError, match=code):
        client.send(send, may_renew=may_renew)
    assert len(made.clients) == 1


def test_of_requests_that_are_refused_together_the_first_renews(
    client: RenewedClient[_Client], made: _Made
) -> None:
    """A request that was under way with the former client is sent again with the present one."""

    def send(by: _Client) -> int:
        if by.number == 0:
            assert client.send(lambda present: present.number or fail()) == 1
            fail()
        return by.number

    def fail() -> int:
        raise refusal("ExpiredToken")

    assert client.send(send) == 1
    assert len(made.clients) == 2


def test_a_client_is_made_when_it_is_needed(client: RenewedClient[_Client], made: _Made) -> None:
    client.close()
    assert made.clients == []
    client.open()
    client.open()
    assert client.send(lambda by: by.number) == 0
    client.close()
    client.close()
    assert client.send(lambda by: by.number) == 1
    assert [each.is_closed for each in made.clients] == [True, False]
