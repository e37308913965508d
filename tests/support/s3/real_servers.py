"""Starts real S3 servers, each a process of its own on 127.0.0.1, as fixtures of the session.

PyPI has programs of some; those of others are provided by a script of .ci/. S3_SERVERS names the
fixtures that tests run with, in place of those from PyPI. `make test` leaves these tests out.
"""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.session import Session
from mypy_boto3_s3 import S3Client

from support.ports import free_ports
from support.s3.simulated import CREDENTIALS, REGION

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 2.0
"""Seconds until a server is killed: SeaweedFS waits for its own streams for ever."""
POLL_S = 0.05

FROM_PYPI = ("moto_server", "seaweedfs", "rclone_server")
PROVIDED = ("versitygw", "ceph")
CHOSEN = os.environ.get("S3_SERVERS", "").split()
_SERVERS = frozenset({*FROM_PYPI, *PROVIDED, "s3_server"})

SEAWEEDFS_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)
"""Flags of SeaweedFS that name its ports."""

_LOADER = Loader()
"""Caches the description of S3, which is most of the cost of a client."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running S3 server.

    Attributes:
        name: Its name.
        endpoint_url: Where it listens.
        access_key: Access key of an administrator.
        secret_key: The secret key that belongs to it.
        attempts: Number of times that its client sends a request before it has failed.
        root: Directory of files that it serves as objects, those of a bucket in one of its name;
            None where it keeps objects otherwise.
    """

    name: str
    endpoint_url: str
    access_key: str = CREDENTIALS["AWS_ACCESS_KEY_ID"]
    secret_key: str = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    attempts: int = 1
    root: Path | None = None

    def client(self) -> S3Client:
        """Return a new client, which the caller closes."""
        session = Session()
        session.register_component("data_loader", _LOADER)
        return boto3.Session(botocore_session=session).client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                retries={"total_max_attempts": self.attempts}, connect_timeout=5, read_timeout=30
            ),
        )

    def make_bucket(self) -> str:
        """Make an empty bucket and return its name, which is new."""
        name = f"test-{uuid4().hex}"
        with closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def put_many(self, bucket: str, keys: Iterable[str]) -> None:
        """Put an object of one byte at each key."""
        with closing(self.client()) as client, ThreadPoolExecutor(4) as pool:
            for _ in pool.map(
                lambda key: client.put_object(Bucket=bucket, Key=key, Body=b"x"), keys
            ):
                pass

    def environment(self) -> dict[str, str]:
        """Return environment variables with credentials for an AWS SDK."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
        }


@contextmanager
def run_moto(directory: Path) -> Iterator[tuple[S3Server, subprocess.Popen[bytes]]]:
    """Run moto, which orders keys like AWS and accepts any credentials; it logs to a directory."""
    (port,) = free_ports(1)
    server = S3Server("moto", f"http://127.0.0.1:{port}")
    with run(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], server, directory
    ) as process:
        yield server, process


@contextmanager
def run_seaweedfs(
    directory: Path, ports: Sequence[int] = ()
) -> Iterator[tuple[S3Server, subprocess.Popen[bytes]]]:
    """Run SeaweedFS, which orders keys as a tree and refuses wrong credentials.

    Its ports are free ones, or those given in the order of ``SEAWEEDFS_PORTS``; its data stays.
    """
    numbers = dict(zip(SEAWEEDFS_PORTS, ports or free_ports(len(SEAWEEDFS_PORTS)), strict=True))
    server = S3Server("seaweedfs", f"http://127.0.0.1:{numbers['s3.port']}")
    credentials = {"accessKey": server.access_key, "secretKey": server.secret_key}
    identities = directory / "identities.json"
    identities.write_text(
        json.dumps(
            {"identities": [{"name": "test", "credentials": [credentials], "actions": ["Admin"]}]}
        )
    )
    command = [
        _program("weed"),
        "server",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{flag}={port}" for flag, port in numbers.items()),
        "-filer",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={identities}",
        "-master.telemetry=false",
        # Each bucket takes a volume, and each test makes a bucket.
        "-volume.max=1000",
    ]
    try:
        with run(command, server, directory, WEED_MASTER_VOLUME_GROWTH_COPY_1="1") as process:
            yield server, process
    finally:
        for port in numbers.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - SeaweedFS says where, and leaves them there
                left.unlink()


@contextmanager
def run_rclone(
    directory: Path, host: str = "127.0.0.1"
) -> Iterator[tuple[S3Server, subprocess.Popen[bytes]]]:
    """Run rclone, which serves files as objects and refuses wrong credentials.

    It lists bare etags and milliseconds, and has no versions and one storage class. The directory
    holds its log and the files, a directory for each bucket. The host is an address of this
    machine.
    """
    (port,) = free_ports(1)
    # Of two puts that make the same directory at once, one may fail.
    server = S3Server("rclone", f"http://{host}:{port}", attempts=5)
    buckets = directory / "buckets"
    buckets.mkdir(exist_ok=True)
    command = [
        _program("rclone"),
        "serve",
        "s3",
        f"--addr={host}:{port}",
        f"--auth-key={server.access_key},{server.secret_key}",
        # No file: the configuration of the machine stays out of the tests.
        "--config=",
        str(buckets),
    ]
    with run(command, server, directory) as process:
        yield server, process


@contextmanager
def run_versitygw(
    directory: Path, *flags: str
) -> Iterator[tuple[S3Server, subprocess.Popen[bytes]]]:
    """Run VersityGW, which serves files also while they are written, and encodes no keys.

    Flags are further ones of the gateway. The directory holds its log, the files, and former
    versions of them.
    """
    (port,) = free_ports(1)
    buckets, versions = directory / "buckets", directory / "versions"
    for each in (buckets, versions):
        each.mkdir(exist_ok=True)
    server = S3Server("versitygw", f"http://127.0.0.1:{port}", root=buckets)
    command = [
        os.environ["VERSITYGW"],
        f"--access={server.access_key}",
        f"--secret={server.secret_key}",
        f"--region={REGION}",
        f"--port=127.0.0.1:{port}",
        *flags,
        "posix",
        f"--versioning-dir={versions}",
        str(buckets),
    ]
    with run(command, server, directory) as process:
        yield server, process


def _program(name: str) -> str:
    """Return the path of a program that a package of the environment installed."""
    return str(Path(sysconfig.get_path("scripts"), name))


@contextmanager
def run(
    command: Sequence[str], server: S3Server, directory: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server from the moment that it stores an object to the end of the block.

    Raises:
        RuntimeError: It does not start; the message has the end of its log.
    """
    log = directory / f"{server.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=os.environ | environment,
        )
    try:
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not _stores_objects(replace(server, attempts=1)):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(
                    f"{server.name} did not start:\n{log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(POLL_S)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stores_objects(server: S3Server) -> bool:
    with closing(server.client()) as client:
        try:
            bucket = server.make_bucket()
            client.put_object(Bucket=bucket, Key="ready", Body=b"")
            client.delete_object(Bucket=bucket, Key="ready")
            client.delete_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError):
            return False
    return True


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run moto for the session."""
    with run_moto(tmp_path_factory.mktemp("moto")) as (server, _):
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run SeaweedFS for the session."""
    with run_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as (server, _):
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run rclone for the session."""
    with run_rclone(tmp_path_factory.mktemp("rclone")) as (server, _):
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run VersityGW for the session."""
    with run_versitygw(tmp_path_factory.mktemp("versitygw")) as (server, _):
        yield server


@pytest.fixture(scope="session", params=[*FROM_PYPI, *PROVIDED])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Run the test once with each server."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, S3Server)
    return server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a real server, and leave out servers that were not chosen."""
    for item in items:
        if not _SERVERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stores)
    left_out = [item for item in items if not _is_chosen(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_chosen(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    server = callspec.params.get("s3_server") if callspec else None
    return server is None or server in (CHOSEN or FROM_PYPI)
