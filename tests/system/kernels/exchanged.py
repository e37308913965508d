"""Volumes that tests mount, unmount and exchange: an export, a share, or a disk's image."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from system.kernels.file_servers import (
    SERVER,
    make_image,
    mount_image,
    mount_remote,
    unmount,
)
from system.kernels.places import MAKE, SERVED, SHARE, SHARED, FileServers

OPTIONS = {"nfs4": "vers=4.2", "nfs": "vers=3,nolock", "cifs": "guest,noserverino"}
"""Of mounts by type: with what makes inodes new each time, where there is such an option."""


class Volume:
    """A volume of a type, which is not mounted at first.

    Args:
        kind: Type of its mount.
        name: A name that no other volume of that type has.
        servers: What serves it, unless it is local.

    Attributes:
        is_local: Whether it is on a disk of this machine.
    """

    def __init__(self, kind: str, name: str, file_servers: FileServers) -> None:
        self.kind = kind
        self.name = name
        self.is_local = kind in MAKE
        self._served = (SHARED if kind == "cifs" else SERVED) / f"{name}-{kind}"
        self._image = self._served.with_suffix(".img")
        self._served.mkdir(parents=True)
        if self.is_local:
            make_image(MAKE[kind], self._image)
        elif kind != "cifs":
            file_servers.nfs.export(self._served)

    def mount(self, point: Path, more: str = "") -> None:
        """Mount it, a remote one with more options."""
        if self.is_local:
            mount_image(self.kind, self._image, point)
        else:
            source = f"//{SERVER}/{SHARE}/{self._served.name}"
            source = source if self.kind == "cifs" else f"{SERVER}:{self._served}"
            mount_remote(
                self.kind, source, point, ",".join(filter(None, (OPTIONS[self.kind], more)))
            )

    @contextmanager
    def elsewhere(self) -> Iterator[Path]:
        """Provide its files to another writer than those at the point where it is mounted.

        They are those on the server's side; a local volume, which must not be mounted meanwhile, is
        mounted at another point.
        """
        if self.is_local:
            mount_image(self.kind, self._image, self._served)
        yield self._served
        if self.is_local:
            unmount(self._served)

    @contextmanager
    def beside(self, point: Path) -> Iterator[Path]:
        """Provide its files to a writer while it is mounted at a point."""
        if self.is_local:
            yield point
        else:
            with self.elsewhere() as directory:
                yield directory
