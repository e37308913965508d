"""Runs Ceph's object gateway on a cluster of one node, whose only OSD keeps objects in memory.

A monitor, the OSD and the gateway are processes of their own on 127.0.0.1; no manager is needed.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from support.ports import free_ports
from support.s3.real_servers import S3Server, run

MONITOR_PORTS = ("v2", "v1")
OSD_DEADLINE_S = 120.0
COMMAND_TIMEOUT_S = 60.0
POLL_S = 0.5
TENANT = "acme"

CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = {monitor}
public addr = 127.0.0.1
keyring = {directory}/keyring
run dir = {directory}
admin socket = {directory}/$name.asok
log file = {directory}/$name.log
mon data = {directory}/mon
osd data = {directory}/osd
rgw data = {directory}
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
rgw trust forwarded https = true
"""
CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
}


class _Cluster:
    """The configuration and the commands of a cluster whose files are in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fsid = str(uuid4())
        ports = zip(MONITOR_PORTS, free_ports(len(MONITOR_PORTS)), strict=True)
        self.monitor = "[" + ",".join(f"{kind}:127.0.0.1:{port}" for kind, port in ports) + "]"
        for name in ("mon", "osd"):
            (directory / name).mkdir()
        self._path = directory / "ceph.conf"
        self._path.write_text(
            CONFIGURATION.format(fsid=self.fsid, monitor=self.monitor, directory=directory)
        )

    def call(self, *command: str) -> str:
        """Run a command to its end, and return its output."""
        return subprocess.run(
            command,
            check=True,
            env=os.environ | self.environment,
            timeout=COMMAND_TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout

    @property
    def environment(self) -> dict[str, str]:
        """The environment variable that leads to the configuration."""
        return {"CEPH_CONF": str(self._path)}

    @contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """Run a daemon to the end of the block; its log is in the directory."""
        process = subprocess.Popen(
            [*command, "-f"],
            cwd=self.directory,
            env=os.environ | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def make_monitor(self) -> None:
        """Make the keys of all daemons, and what the monitor begins with."""
        keyring, monmap = str(self.directory / "keyring"), str(self.directory / "monmap")
        create = ["--create-keyring"]
        for name, capabilities in CAPABILITIES.items():
            flags = [part for kind, cap in capabilities.items() for part in ("--cap", kind, cap)]
            self.call("ceph-authtool", *create, keyring, "--gen-key", "--name", name, *flags)
            create = []
        self.call(
            "monmaptool", "--create", f"--fsid={self.fsid}", "--addv", "a", self.monitor, monmap
        )
        self.call("ceph-mon", "-i", "a", "--mkfs", f"--monmap={monmap}")

    def make_osd(self) -> None:
        """Have the monitor know the OSD, and make its store."""
        uuid = str(uuid4())
        self.call("ceph", "osd", "new", uuid)
        self.call("ceph-osd", "-i", "0", "--mkfs", f"--osd-uuid={uuid}")

    def wait_for_osd(self) -> None:
        """Wait until the OSD is up."""
        deadline_s = time.monotonic() + OSD_DEADLINE_S
        while "1 up" not in self.call("ceph", "osd", "stat"):
            assert time.monotonic() < deadline_s
            time.sleep(POLL_S)

    def make_user(self, access_key: str, secret_key: str, *flags: str) -> None:
        """Make a user of the gateway with as many buckets as it likes."""
        self.call(
            "radosgw-admin",
            "user",
            "create",
            "--uid=test",
            "--display-name=test",
            f"--access-key={access_key}",
            f"--secret={secret_key}",
            "--max-buckets=0",
            *flags,
        )


@contextmanager
def run_ceph(directory: Path) -> Iterator[tuple[S3Server, S3Server]]:
    """Run the gateway, and provide it as a user of no tenant and as one of ``TENANT`` sees it."""
    (port,) = free_ports(1)
    server = S3Server("ceph", f"http://127.0.0.1:{port}")
    tenant = S3Server("ceph", server.endpoint_url, f"{TENANT}key", f"{TENANT}secret")
    cluster = _Cluster(directory)
    cluster.make_monitor()
    with ExitStack() as stack:
        stack.enter_context(cluster.running("ceph-mon", "-i", "a"))
        cluster.make_osd()
        stack.enter_context(cluster.running("ceph-osd", "-i", "0"))
        cluster.wait_for_osd()
        cluster.make_user(server.access_key, server.secret_key)
        cluster.make_user(tenant.access_key, tenant.secret_key, f"--tenant={TENANT}")
        gateway = [
            "radosgw",
            "--name=client.admin",
            f"--rgw-frontends=beast endpoint=127.0.0.1:{port}",
            "-f",
        ]
        stack.enter_context(run(gateway, server, directory, **cluster.environment))
        yield server, tenant


@pytest.fixture(scope="session")
def ceph_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, S3Server]]:
    """Run Ceph for the session; see ``run_ceph``."""
    with run_ceph(tmp_path_factory.mktemp("ceph")) as servers:
        yield servers


@pytest.fixture(scope="session")
def ceph(ceph_cluster: tuple[S3Server, S3Server]) -> S3Server:
    """Run Ceph for the session, and be a user of no tenant."""
    return ceph_cluster[0]


@pytest.fixture
def tenant(ceph_cluster: tuple[S3Server, S3Server]) -> S3Server:
    """Run Ceph for the session, and be a user of a tenant."""
    return ceph_cluster[1]
