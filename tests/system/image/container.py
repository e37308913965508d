"""Runs the image as a node of Kubernetes does: runc is given a bundle of the Open Container Initiative, whose root is read-only.

What is in a bundle: https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from support.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

USER_ID = 65532
OPEN_MODE = 0o755
"""Of directories in which the image's user finds what it is given."""

SELF = ("nosuid", "noexec", "nodev")
KERNEL = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": [*SELF]},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=64k"],
    },
    {
        "destination": "/dev/shm",  # noqa: S108 - a mount
        "type": "tmpfs",
        "source": "shm",
        "options": [*SELF, "mode=1777", "size=64m"],
    },
]
MASKED = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/firmware",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
WARNINGS = {"PYTHONWARNINGS": "error"}
"""Warnings are errors, as in the tests of the program alone."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was built.

    Attributes:
        root: Where its file system is mounted.
        config: What it says of itself, as ``docker inspect`` shows it.
    """

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it sets."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])


class Mount(NamedTuple):
    """A directory of the machine that is seen in a container."""

    source: Path
    destination: str
    is_writable: bool = False


class Container(subprocess.Popen[bytes]):
    """One run of an image on the network of the machine; as a process it is runc, which ends when and as the program in it does.

    Args:
        image: What is run.
        directory: Gets the bundle, and what runc notes.
        output: Gets what the program writes.
        arguments: Of the image's entry point; None for those that the image has.
        environment: Of the program, beside the image's own.
        mounts: All that it may see of the machine.
    """

    def __init__(
        self,
        image: Image,
        directory: Path,
        output: IO[bytes],
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> None:
        self._id = f"watcher-{uuid4().hex}"
        self._bundle = directory / self._id
        self._bundle.mkdir()
        command = [
            *image.config["Entrypoint"],
            *(image.config["Cmd"] if arguments is None else arguments),
        ]
        bundle = _bundle(image, command, image.environment | dict(environment or {}), mounts)
        (self._bundle / "config.json").write_text(json.dumps(bundle))
        self._runc = ["runc", f"--root={self._bundle / 'state'}"]
        run = [*self._runc, "run", f"--bundle={self._bundle}", self._id]
        super().__init__(run, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program, as kubelet has it done; runc itself is sent it where no program runs any more, or yet."""
        if subprocess.run(
            [*self._runc, "kill", self._id, str(int(sig))], capture_output=True, check=False
        ).returncode:
            super().send_signal(sig)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the program, as a probe does, and return how it ended and what it wrote."""
        return subprocess.run(
            [*self._runc, "exec", self._id, *command], capture_output=True, text=True, check=False
        )


class ContainedServer(ServerProcess):
    """A server in a container, which sees the directories of the tests as they are seen outside, and may write to its state alone.

    Args:
        image: What is run.
        directories: The directory of all tests.
        directory: See ``ServerProcess``.
        flags: Likewise.
        environment: Likewise.
        launcher: Must be empty: nothing can be put before the image's entry point.
    """

    process: Container

    def __init__(
        self,
        image: Image,
        directories: Path,
        directory: Path,
        flags: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        launcher: tuple[str, ...] = (),
    ) -> None:
        self._image = image
        self._directories = directories
        directory.chmod(OPEN_MODE)
        super().__init__(directory, flags, environment, launcher)

    def _run(
        self,
        launcher: tuple[str, ...],
        flags: tuple[str, ...],
        environment: Mapping[str, str],
        log: IO[bytes],
    ) -> Container:
        """See ``ServerProcess``."""
        assert not launcher
        mounts = [
            Mount(self._directories, str(self._directories)),
            Mount(own(self.state), str(self.state), is_writable=True),
        ]
        return Container(
            self._image,
            self.state.parent,
            log,
            ("serve", *flags),
            dict(environment) | WARNINGS,
            mounts,
        )


def own(directory: Path) -> Path:
    """Make a directory that belongs to the user of the image, unless it is there, and return it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    os.chown(directory, USER_ID, USER_ID)
    return directory


def _bundle(
    image: Image, command: list[str], environment: Mapping[str, str], mounts: Sequence[Mount]
) -> dict[str, Any]:
    """Return a configuration as containerd makes it for a pod with hostNetwork, runAsNonRoot, a read-only root and no capabilities."""
    user, group = map(int, image.config["User"].split(":"))
    rights: dict[str, list[str]] = {
        kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
    }
    binds = [
        {
            "destination": mount.destination,
            "type": "bind",
            "source": str(mount.source),
            "options": ["rbind", "rprivate", "rw" if mount.is_writable else "ro"],
        }
        for mount in mounts
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": group},
            "args": command,
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": image.config["WorkingDir"] or "/",
            "capabilities": rights,
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.root), "readonly": True},
        "mounts": [*KERNEL, *binds],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    }
