"""What needs a machine of its own: names that lead to privileged addresses, mounts that are swapped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.fixtures import CREDENTIALS
from grounds import fill
from s3_stub import BUCKET, page, run_stub
from volumes.namespace import bind, enter_private_network, run, unmount
from watcher.errors import DeniedError
from watcher.patterns import PathFilter
from watcher.sources.bucket import BucketSource
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.client import Client
    from e2e.server import ServerProcess

METADATA = "169.254.169.254"
HOSTS = Path("/etc/hosts")
MOUNTS = 100


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """Return a thread with a network of its own, in which METADATA is an address of this machine, and ``store`` a name for it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hosts").write_text(f"{METADATA} store\n127.0.0.1 localhost\n")

    def prepare() -> None:
        enter_private_network()
        run("ip", "address", "add", f"{METADATA}/32", "dev", "lo")

    bind(tmp_path / "hosts", HOSTS)
    try:
        with ThreadPoolExecutor(1, initializer=prepare) as thread:
            yield thread
    finally:
        unmount(HOSTS)


@pytest.mark.parametrize(("host", "is_denied"), [("store", True), ("0xa9fea9fe", True), ("2852039166", True), (METADATA, False)])
def test_names_do_not_lead_to_privileged_addresses(machine: ThreadPoolExecutor, host: str, *, is_denied: bool) -> None:
    """A name that resolves to such an address is denied once it is connected, and sent nothing; the address itself was judged before."""

    def ask() -> int:
        with run_stub([page("a")], METADATA) as stub:
            spec = BucketSpec(BUCKET, region="us-east-1", endpoint_url=stub.endpoint_url.replace(METADATA, host))
            with closing(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False)) as source:
                if is_denied:
                    with pytest.raises(DeniedError, match=METADATA):
                        source.open(lambda: None)
                else:
                    source.open(lambda: None)
            return len(stub.requests)

    assert machine.submit(ask).result() == (0 if is_denied else 1)


def test_mounts_that_are_swapped(
    start_server: Callable[..., ServerProcess], connect: Callable[..., Client], tmp_path: Path, name: str
) -> None:
    """While another directory is mounted over the watched one, again and again, the stream tells of the one and of nothing else."""
    fill(tmp_path, "allowed/in/a", "allowed/in/d/b", "outside/secret", "outside/d/secret")
    watched = tmp_path / "allowed/in"
    strict = start_server("--allow-directory", str(tmp_path / "allowed"))
    stream = connect(strict).watch(name, {"directory": {"path": str(watched), "mode": "poll", "poll_interval": "100ms", "settle": "100ms"}})
    for _ in range(MOUNTS):
        bind(tmp_path / "outside", watched)
        run("umount", "--lazy", watched)
    fill(tmp_path, "allowed/in/last")
    assert [event["path"] for event in stream.wait_path("last")] == ["last"]
