"""Runs the image as a node of Kubernetes does: runc gets a bundle whose root is read-only.

Bundles: https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import uuid4

from support.server import ServerProcess

USER_ID = 65532
OPEN_MODE = 0o755
"""Mode of directories that the image's user must read."""

KERNEL = {"/proc", "/dev", "/dev/shm"}  # noqa: S108 - a mount
"""Mounts of the kernel that the program sees."""

WARNINGS = {"PYTHONWARNINGS": "error"}
"""Warnings are errors, as in the tests of the program alone."""


@dataclass(frozen=True, slots=True)
class Image:
    """The mount point of a built image, and its configuration as ``docker inspect`` shows it."""

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])


class Mount(NamedTuple):
    """A directory of the machine that a container sees."""

    source: Path
    destination: str
    is_writable: bool = False


class Container(subprocess.Popen[bytes]):
    """A run of an image on the machine's network; the process is runc, which ends as it does.

    Its arguments are those of the image unless given. It sees nothing of the machine but mounts.
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
        variables = image.environment | dict(environment or {})
        _write_bundle(self._bundle, image, command, variables, mounts)
        self._runc = ["runc", f"--root={self._bundle / 'state'}"]
        run = [*self._runc, "run", f"--bundle={self._bundle}", self._id]
        super().__init__(run, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program, or to runc where no program runs yet or any more."""
        if subprocess.run(
            [*self._runc, "kill", self._id, str(int(sig))], capture_output=True, check=False
        ).returncode:
            super().send_signal(sig)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the program, as a probe does."""
        return subprocess.run(
            [*self._runc, "exec", self._id, *command], capture_output=True, text=True, check=False
        )


class ContainedServer(ServerProcess):
    """A server in a container: it sees the tests' directories, and may write to its state alone."""

    process: Container

    def __init__(
        self,
        image: Image,
        directories: Path,
        directory: Path,
        *options: Any,  # noqa: ANN401 - those of ``ServerProcess``
    ) -> None:
        self._image = image
        self._directories = directories
        directory.chmod(OPEN_MODE)
        super().__init__(directory, *options)

    def _run(
        self,
        launcher: tuple[str, ...],
        flags: tuple[str, ...],
        environment: Mapping[str, str],
        log: IO[bytes],
    ) -> Container:
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
    """Make a directory that belongs to the image's user, unless it exists, and return it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    os.chown(directory, USER_ID, USER_ID)
    return directory


def _write_bundle(
    directory: Path,
    image: Image,
    command: list[str],
    environment: Mapping[str, str],
    mounts: Sequence[Mount],
) -> None:
    """Write a bundle as for a restricted pod with hostNetwork and a read-only root."""
    subprocess.run(["runc", "spec", f"--bundle={directory}"], check=True)
    file = directory / "config.json"
    bundle: dict[str, Any] = json.loads(file.read_text())
    user, group = map(int, image.config["User"].split(":"))
    bundle["process"] |= {
        "terminal": False,
        "user": {"uid": user, "gid": group},
        "args": command,
        "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": image.config["WorkingDir"] or "/",
        "capabilities": {},
        "rlimits": [],
    }
    bundle["root"]["path"] = str(image.root)
    bundle["mounts"] = [mount for mount in bundle["mounts"] if mount["destination"] in KERNEL] + [
        {
            "destination": mount.destination,
            "type": "bind",
            "source": str(mount.source),
            "options": ["rbind", "rprivate", "rw" if mount.is_writable else "ro"],
        }
        for mount in mounts
    ]
    bundle["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    del bundle["linux"]["resources"]
    file.write_text(json.dumps(bundle))
