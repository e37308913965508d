"""Connections that the network forgets: idle ones are not used again, others fail within seconds.

Each way to a store leads through a relay that can forget its connections as a NAT gateway does.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from support.certificates import Authority
from support.client import DEADLINE_S
from support.clock import FakeClock
from support.relay import Relay
from support.s3.faults import Request
from support.s3.listing import make_source, paths, read
from support.s3.simulated import BUCKET, CREDENTIALS, Store, run_store
from support.s3.watched import AT_ONCE, KEYS, PAGE_KEYS
from watcher.errors import UnavailableError
from watcher.sources.s3 import batches, connections, sdk
from watcher.sources.s3.connections import IDLE_MAX_S
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec

WAYS = ("plain", "TLS", "proxy", "TLS through a proxy")
PAGES = 4
ALL = [key.encode() for key in KEYS]


class Way(NamedTuple):
    """A bucket that is watched through a relay."""

    store: Store
    relay: Relay
    clock: FakeClock
    source: BucketSource


Open: TypeAlias = Callable[..., Way]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def open_way(aws_environment: pytest.MonkeyPatch, authority: Authority) -> Iterator[Open]:
    """Return what opens a bucket on a way, read by one request at a time unless told otherwise."""
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    aws_environment.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        aws_environment.delenv(name, raising=False)
        aws_environment.delenv(name.upper(), raising=False)

    @contextmanager
    def run_way(way: str, workers: int | None = 1) -> Iterator[Way]:
        tls = authority.issue("store") if "TLS" in way else None
        is_proxy = "proxy" in way
        with (
            run_store(tls=tls) as store,
            Relay(store.endpoint_url, is_proxy=is_proxy and tls is not None) as relay,
        ):
            store.put_many(*KEYS)
            store.page_keys = len(KEYS) // PAGES
            url = relay.url
            if is_proxy:
                aws_environment.setenv("http_proxy" if tls is None else "https_proxy", relay.url)
                url = store.endpoint_url
            spec = BucketSpec(BUCKET, "in/", endpoint_url=url, list_workers=workers)
            clock = FakeClock()
            with closing(make_source(spec, clock=clock)) as source:
                source.open(lambda: None)
                yield Way(store, relay, clock, source)

    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(run_way(*arguments, **options))


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have connections die in one second or two; the read timeout is no help."""
    monkeypatch.setattr(sdk, "READ_TIMEOUT_S", DEADLINE_S)
    monkeypatch.setattr(connections, "KEEPALIVE_IDLE_S", 1)
    monkeypatch.setattr(connections, "KEEPALIVE_INTERVAL_S", 1)
    monkeypatch.setattr(connections, "KEEPALIVE_PROBES", 1)
    monkeypatch.setattr(connections, "DEAD_AFTER_S", 1)


@pytest.mark.parametrize("way", WAYS)
def test_an_idle_connection_is_not_used_again(open_way: Open, way: str) -> None:
    """One connection serves a scan; after more than two idle seconds the next scan has another."""
    store, relay, clock, source = open_way(way)
    assert paths(read(source)) == ALL
    clock.advance(IDLE_MAX_S)
    assert paths(read(source)) == ALL
    assert relay.connections == 1
    for connected in (2, 3):
        relay.forget()
        clock.advance(IDLE_MAX_S + 0.1)
        assert paths(read(source)) == ALL
        assert relay.connections == connected
    # What was sent through a forgotten connection would not have arrived.
    assert source._api.requests == len(store.lists)


def test_idle_connections_of_key_ranges_are_not_used_again(
    open_way: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_MIN_OBJECTS", PAGE_KEYS // 2)
    monkeypatch.setattr(batches, "BATCH_MAX_OBJECTS", PAGE_KEYS)
    store, relay, clock, source = open_way("plain", workers=None)
    store.page_keys = PAGE_KEYS
    for _ in range(3):
        source._api.limit._useful = AT_ONCE
        before = relay.connections
        relay.forget()
        clock.advance(IDLE_MAX_S + 0.1)
        assert paths(read(source)) == ALL
    assert any(request.begins_range for request in store.lists)
    assert relay.connections - before > 1
    assert source._api.requests == len(store.lists)


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize(
    ("way", "lost"),
    [
        ("plain", "request"),
        ("plain", "answer"),
        ("plain", "half of the answer"),
        ("TLS through a proxy", "request"),
        ("TLS through a proxy", "half of the answer"),
    ],
)
def test_a_connection_that_is_forgotten_in_mid_listing(open_way: Open, way: str, lost: str) -> None:
    """The request is sent again through a new connection, long before the read timeout."""
    store, relay, _, source = open_way(way)
    third = len(store.lists) + 3

    def forget(request: Request) -> None:
        if request.number == third:
            (relay.forget if lost == "answer" else relay.forget_in_response)()

    if lost == "request":
        relay.forget()
    else:
        store.on_list = forget
    start_s = time.monotonic()
    assert paths(read(source)) == ALL
    assert time.monotonic() - start_s < DEADLINE_S / 2
    assert relay.connections == 2
    sent_again = 0 if lost == "request" else 1
    assert len(store.lists) == third - 3 + PAGES + sent_again
    assert source._api.requests == third - 3 + PAGES + 1


@pytest.mark.usefixtures("_soon")
def test_a_system_without_all_options(open_way: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that a system does not have, or refuses, are left out; the others still help."""
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    monkeypatch.setattr(connections, "KEEPALIVE_PROBES", 1 << 20)
    assert paths(read(open_way("plain").source)) == ALL


def test_authorities_are_read_once_and_followed(
    open_way: Open, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New connections do not read an unchanged file of authorities again; a new one they do."""
    loaded: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def count(context: ssl.SSLContext, file: Any = None, *others: Any, **more: Any) -> None:  # noqa: ANN401 - passed on
        loaded.append(file)
        load(context, file, *others, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", count)
    _, relay, clock, source = open_way("TLS")
    loaded.clear()
    for _ in range(2):
        clock.advance(IDLE_MAX_S + 0.1)
        read(source)
    assert (relay.connections, loaded) == (3, [])
    other = Authority(tmp_path, "other")
    with run_store(tls=other.issue("renewed")) as renewed:
        relay.lead_to(renewed.endpoint_url)
        clock.advance(IDLE_MAX_S + 0.1)
        with pytest.raises(UnavailableError, match="TLS failed"):
            read(source)
        loaded.clear()
        authority.certificate.write_bytes(other.certificate.read_bytes())
        assert read(source) == []
    assert loaded == [str(authority.certificate)]
