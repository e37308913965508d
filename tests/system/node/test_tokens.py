"""Tokens in a Secret, which kubelet exchanges below the running server."""

import base64
import json
from pathlib import Path

import grpc
import pytest

from support.client import wait_until
from support.config import config
from support.fixtures import Connect
from system.cluster.cluster import FLAVOURS
from system.node.changing import open_directory
from system.node.namespace import ROTATED_S, Namespace, Service

OLD, NEW = "s3cret", "rotated"
POLL_S = 1.0

pytestmark = pytest.mark.timeout(900)


def test_a_token_that_is_replaced_ends_its_streams(
    namespace: Namespace, connect: Connect, tmp_path: Path
) -> None:
    """The new one is accepted and the old one refused, by the same pod."""
    for claim in ("orders", "watcher-state"):
        directory = open_directory(tmp_path / claim)
        namespace.add_claim(claim, directory, is_made=claim == "orders")
    namespace.add_secret("watcher-tokens", {"tokens": f"orders:{OLD}\n"})
    namespace.install(*FLAVOURS["tokens"])
    before = namespace.get("pods")["items"]
    client = connect(Service(namespace.address()))
    stream = client.watch("orders", config("/data"), token=OLD)
    assert not client.is_admitted("orders", config("/data"), token=NEW)

    tokens = base64.b64encode(f"orders:{NEW}\n".encode()).decode()
    patch = json.dumps({"data": {"tokens": tokens}})
    namespace.run("patch", "secret/watcher-tokens", f"--patch={patch}")
    assert stream.wait_end(ROTATED_S).code is grpc.StatusCode.UNAUTHENTICATED
    wait_until(
        lambda: client.is_admitted("orders", config("/data"), token=NEW), "NEW", pause_s=POLL_S
    )
    assert not client.is_admitted("orders", config("/data"), token=OLD)
    (pod,) = namespace.get("pods")["items"]
    assert [pod["metadata"]["uid"]] == [each["metadata"]["uid"] for each in before]
    assert [status["restartCount"] for status in pod["status"]["containerStatuses"]] == [0]
