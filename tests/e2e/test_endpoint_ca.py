"""A store of one's own, with a certificate that no public authority has signed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc import StatusCode

from support.certificates import Authority
from support.client import wait_until
from support.config import config
from support.events import told
from support.fixtures import Serve
from support.s3.simulated import Store, run_store
from support.server import ServerProcess


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def store(authority: Authority) -> Iterator[Store]:
    with run_store(tls=authority.issue("store")) as store:
        yield store


def outdated(server: ServerProcess) -> float:
    return server.metric("watcher_outdated_files", kind="authorities")


def test_the_file_is_followed(
    serve: Serve, store: Store, authority: Authority, tmp_path: Path, name: str
) -> None:
    """A server that starts with the wrong authority reads the store once the file has the right."""
    file = tmp_path / "ca.pem"
    file.write_bytes(Authority(tmp_path, "other").certificate.read_bytes())
    server, client = serve("--endpoint-ca", f"{store.endpoint_url}={file}")
    ending = client.refusal(name, config(store))
    assert ending.code is StatusCode.UNAVAILABLE
    assert ending.details.endswith(
        f"put the authority of the store's certificate into {file} (--endpoint-ca)"
    )
    file.write_text("no PEM")
    server.wait_logged("files.unusable")
    wait_until(lambda: outdated(server) == 1, "the metric reports it")
    file.write_bytes(authority.certificate.read_bytes())
    server.wait_logged("files.reloaded")
    wait_until(lambda: outdated(server) == 0, "the metric reports it")
    stream = client.watch(name, config(store, poll_interval="1s"))
    store.put("a")
    assert told(stream.wait_count(1)) == [("created", "a")]
