"""The file servers of the virtual machine, NFS in its kernel and Samba, and mounts of theirs.

Clients have a network of their own, so that the servers can be cut off from them.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.client import wait_until

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
NETWORK = "client"
LINK = "served"
"""The server's end of the cable between the two networks."""

EXPORTS = Path("/etc/exports")
SMB_CONF = Path("/etc/samba/smb.conf")
SHARES = """\
[global]
server role = standalone server
map to guest = Bad User
disable netbios = yes
smb ports = 445
load printers = no
log file = /run/smbd.log
[{name}]
path = {path}
guest ok = yes
force user = root
read only = no
"""
GRACE_S = 10
"""Seconds after its start in which an NFSv4 server opens no files: its clients reclaim theirs."""

NFSD_THREADS = "8"


def run(*command: str | Path) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def connect_networks() -> None:
    """Give clients a network that has a cable to that of the servers."""
    run("ip", "netns", "add", NETWORK)
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", NETWORK)
    run("ip", "address", "add", f"{SERVER}/24", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    for command in ("address add 10.0.0.2/24 dev eth0", "link set eth0 up", "link set lo up"):
        run("ip", "-netns", NETWORK, *command.split())


@contextmanager
def cut_off() -> Iterator[None]:
    """Pull the cable while the block runs."""
    run("ip", "link", "set", LINK, "down")
    try:
        yield
    finally:
        run("ip", "link", "set", LINK, "up")


class NfsServer:
    """The kernel's NFS server."""

    def __init__(self) -> None:
        self._exported: dict[Path, int] = {}
        Path("/var/lib/nfs/v4recovery").mkdir(parents=True, exist_ok=True)
        run("rpcbind", "-w")
        run("rpc.mountd")
        self.start()

    def export(self, *directories: Path) -> None:
        """Export directories, beside those exported before."""
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
            self._exported.setdefault(directory, len(self._exported) + 1)
        self._write()

    def withdraw(self, directory: Path) -> None:
        """Export a directory no more; its clients are told that their handles are stale."""
        self._exported.pop(directory)
        self._write()
        run("exportfs", "-f")

    def start(self) -> None:
        """Serve, or serve again, what is exported."""
        seconds = str(GRACE_S)
        run("rpc.nfsd", "--grace-time", seconds, "--lease-time", seconds, NFSD_THREADS)

    def stop(self) -> None:
        """Stop to serve: connections are refused."""
        run("rpc.nfsd", "0")

    def _write(self) -> None:
        options = "rw,sync,no_root_squash,no_subtree_check"
        lines = (f"{path} *({options},fsid={fsid})\n" for path, fsid in self._exported.items())
        EXPORTS.write_text("".join(lines))
        run("exportfs", "-ra")


class SmbServer:
    """Samba with one share, for guests."""

    def __init__(self, name: str, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        SMB_CONF.write_text(SHARES.format(name=name, path=path))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Serve, or serve again."""
        command = ["smbd", "--foreground", "--no-process-group"]
        for directory in ("/run/samba", "/var/lib/samba/private", "/var/cache/samba"):
            Path(directory).mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: ":445 " in run("ss", "-Hltn"), "smbd listens")

    def stop(self) -> None:
        """End it, and what it has for each connection."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def mount_remote(kind: str, source: str, point: Path, options: str = "") -> None:
    """Mount an export or a share in the clients' network."""
    point.mkdir(parents=True, exist_ok=True)
    chosen = ("-o", options) if options else ()
    run("nsenter", f"--net=/run/netns/{NETWORK}", "mount", "-t", kind, *chosen, source, point)


def unmount(point: Path) -> None:
    """Unmount what is at a place, as soon as it is not busy."""
    wait_until(
        lambda: subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0,
        f"{point} is unmounted",
        pause_s=0.2,
    )


def make_image(make: tuple[str, ...], image: Path) -> None:
    """Make a file system in a file, by a command of the mkfs family."""
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run(*make, image)


def mount_image(kind: str, image: Path, point: Path) -> None:
    """Mount the file system in a file."""
    point.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", kind, "-o", "loop", image, point)
