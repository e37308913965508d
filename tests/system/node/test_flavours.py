"""Each file of values and each overlay of ``deploy/`` on a node, installed as the documents say."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from support.config import config
from support.files import fill
from support.fixtures import Connect
from support.s3.real_servers import S3Server, run_rclone
from system.cluster.cluster import FLAVOURS, OVERLAYS, Programs
from system.node.changing import open_directory
from system.node.namespace import BUCKET, REPOSITORY, TAG, Namespace, Service
from system.node.node import ADDRESS

STORE, STORE_PORT = "minio", 9000
STORE_URL = f"http://{STORE}.{STORE}.svc:{STORE_PORT}"
"""Of the store in the documents, which is a Service in a namespace of the same name."""

KEYS = [{"secretRef": {"name": "store"}}]
STORE_VALUES: Mapping[str, Any] = MappingProxyType(
    {"allow": {"endpoints": [STORE_URL]}, "envFrom": KEYS}
)
"""Those that a store other than Amazon S3 needs beside the values of a bucket."""

CONTAINER = "/spec/template/spec/containers/0"
STORE_PATCH = (
    {"op": "add", "path": f"{CONTAINER}/args/-", "value": f"--allow-endpoint={STORE_URL}"},
    {"op": "add", "path": f"{CONTAINER}/envFrom", "value": KEYS},
)
"""The same for the overlay of a bucket."""

WORKLOADS = "StatefulSet|Deployment"
OF_BUCKETS = ("bucket", "postgresql")
TOKEN, OTHER_TOKEN = "s3cret", "another"

Install = Callable[[Namespace, str, Path], None]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def store(cluster: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run the store of the documents on the node, with the bucket."""
    with (
        Namespace(cluster, STORE) as namespace,
        run_rclone(tmp_path_factory.mktemp("rclone"), ADDRESS) as (server, _),
    ):
        namespace.lead_here(STORE, STORE_PORT, server.endpoint_url)
        with closing(server.client()) as client:
            client.create_bucket(Bucket=BUCKET)
        yield server


def install_values(namespace: Namespace, flavour: str, directory: Path) -> None:
    """Install the chart."""
    files = FLAVOURS[flavour]
    if flavour in OF_BUCKETS:
        own = directory / "store.json"
        own.write_text(json.dumps(dict(STORE_VALUES)))
        files = (*files, own)
    namespace.install(*files)


def apply_overlay(namespace: Namespace, flavour: str, directory: Path) -> None:
    """Apply an overlay that has that of the flavour as its base."""
    patch = {"target": {"kind": WORKLOADS}, "patch": json.dumps(STORE_PATCH)}
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace.name,
        "resources": [os.path.relpath(OVERLAYS / flavour, directory)],
        "images": [{"name": "watcher", "newName": REPOSITORY, "newTag": TAG}],
        "patches": [patch] if flavour in OF_BUCKETS else [],
    }
    (directory / "kustomization.yaml").write_text(json.dumps(overlay))
    namespace.run("apply", "--kustomize", str(directory))
    namespace.wait_rollout()


@pytest.mark.parametrize("install", [install_values, apply_overlay])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_client_gets_an_event(
    flavour: str,
    install: Install,
    namespace: Namespace,
    store: S3Server,
    database_url: str,
    connect: Connect,
    tmp_path: Path,
) -> None:
    """With what the comments of its files ask for, the pods get ready; a token is asked for."""
    for claim in ("orders", "watcher-state"):
        namespace.add_claim(claim, open_directory(tmp_path / claim), is_made=claim == "orders")
    namespace.add_database(database_url)
    namespace.add_secret("store", store.environment())
    namespace.add_secret("watcher-tokens", {"tokens": f"orders:{TOKEN}\n"})
    install(namespace, flavour, tmp_path)
    token = TOKEN if flavour == "tokens" else ""
    client = connect(Service(namespace.address()), token=token)
    path = f"{namespace.name}.csv"
    if flavour in OF_BUCKETS:
        seen_by_pods = replace(store, endpoint_url=STORE_URL)
        stream = client.watch("orders", config(seen_by_pods, bucket=BUCKET))
        store.put_many(BUCKET, [path])
    else:
        stream = client.watch("orders", config("/data"))
        fill(tmp_path / "orders", path)
    stream.wait_path(path)
    if token:
        assert not client.is_admitted("other", config("/data"), token=OTHER_TOKEN)
