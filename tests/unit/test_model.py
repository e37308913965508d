"""The shared values: identities that do not collide, payloads up to a size."""

import pytest

from watcher.model import Identity, Payload, fitting

ORDERS = Identity("", "orders", "file:///data/in")


@pytest.mark.parametrize(
    "other",
    [
        Identity("alice", "orders", "file:///data/in"),
        Identity("", "order", "file:///data/in"),
        Identity("", "orders", "file:///data/in2"),
        Identity("orders", "", "file:///data/in"),
        Identity("", "ordersfile", ":///data/in"),
    ],
)
def test_identities_do_not_collide(other: Identity) -> None:
    """Two identities that differ in any part have different names for files, which are safe."""
    assert other.digest != ORDERS.digest
    assert other.digest.isalnum()
    assert len(other.digest) == 32


def test_a_log_names_a_principal_only_if_there_is_one() -> None:
    assert ORDERS.labels == {"watch": "orders", "place": "file:///data/in"}
    assert ORDERS._replace(principal="alice").labels == ORDERS.labels | {"principal": "alice"}


@pytest.mark.parametrize(("max_bytes", "count"), [(0, 1), (1, 1), (3, 2), (5, 2), (6, 3), (99, 3)])
def test_payloads_up_to_a_size(max_bytes: int, count: int) -> None:
    payloads = [Payload(seq, b"x" * seq) for seq in (1, 2, 3)]
    assert fitting(iter(payloads), max_bytes) == payloads[:count]
    assert fitting([], max_bytes) == []
