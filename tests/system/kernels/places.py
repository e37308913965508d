"""The file systems that are watched: where the server's side is, where the client's, and how."""

import os
from dataclasses import dataclass
from pathlib import Path

from system.kernels.file_servers import (
    SERVER,
    NfsServer,
    SmbServer,
    connect_networks,
    make_image,
    mount_image,
    mount_remote,
    run,
)
from system.kernels.table import Result

SERVED = Path("/srv")
MOUNTED = Path("/mnt")
EXPORT, SHARE = SERVED / "nfs", "share"
SHARED = SERVED / SHARE

SYSTEMS = {
    "nfs4": "NFS 4",
    "nfs": "NFS 3",
    "cifs": "SMB 3",
    "vfat": "FAT",
    "exfat": "exFAT",
    "ext4": "ext4 with casefold",
}
"""Names of file systems by type of the mount; ``nfs`` is mounted as version 3."""

KINDS = [kind for kind in SYSTEMS if kind in os.environ["KERNELS_KINDS"].split()]
"""Types of file systems that are tried here."""

FAT = frozenset({"vfat", "exfat"})
"""File systems whose volumes are not told apart by this kernel."""


@dataclass(frozen=True)
class Place:
    """A mounted file system, and a directory of it that is watched.

    Attributes:
        kind: Type of the mount.
        options: Options given to mount(8).
        mode: How it is watched, as in the configuration.
        compare: What is compared, as in the configuration.
    """

    kind: str
    options: str = ""
    mode: str = "auto"
    compare: str = "auto"

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.setting)))

    @property
    def setting(self) -> str:
        """What distinguishes it from other places of its type, for people; empty by default."""
        compare = "" if self.compare == "auto" else f"compare: {self.compare}"
        mode = "" if self.mode == "auto" else f"mode: {self.mode}"
        return " ".join(filter(None, (self.options, mode, compare)))

    @property
    def is_nfs(self) -> bool:
        return self.kind in {"nfs4", "nfs"}

    @property
    def is_remote(self) -> bool:
        """Whether somebody else than this client writes to it."""
        return self.is_nfs or self.kind == "cifs"

    @property
    def is_notified(self) -> bool:
        return not self.is_remote and self.mode == "auto"

    @property
    def point(self) -> Path:
        """Where it is mounted."""
        return MOUNTED / _name(f"{self.kind} {self.options}")

    @property
    def name(self) -> str:
        """Name of its directory, and of its watch."""
        return _name(str(self))

    @property
    def watched(self) -> Path:
        return self.point / self.name

    @property
    def served(self) -> Path:
        """The watched directory on the server's side; of a local file system, the same."""
        if not self.is_remote:
            return self.watched
        return (EXPORT if self.is_nfs else SHARED) / self.name

    def result(self, case: str, text: str, seconds: float | None = None) -> Result:
        """Return what came of a case here."""
        return Result(case, SYSTEMS[self.kind], self.setting, text, seconds)


def _name(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.strip())


NFS = (
    Place("nfs4"),
    Place("nfs4", "vers=4.1,actimeo=1"),
    Place("nfs4", "actimeo=60"),
    Place("nfs4", "actimeo=60", compare="content"),
    Place("nfs4", "noac"),
    Place("nfs4", "soft,timeo=50,retrans=1"),
    Place("nfs", "vers=3,nolock"),
    Place("nfs", "vers=3,nolock,actimeo=1"),
)
SMB = (
    Place("cifs", "guest"),
    Place("cifs", "guest", compare="content"),
    Place("cifs", "guest,noserverino"),
    Place("cifs", "guest,actimeo=30"),
)
LOCAL = tuple(
    Place(kind, mode=mode) for kind in ("vfat", "exfat", "ext4") for mode in ("auto", "poll")
)
PLACES = tuple(place for place in (*NFS, *SMB, *LOCAL) if place.kind in KINDS)

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8"),
    "vfat": ("mkfs.vfat", "-n", "CARD"),
    "exfat": ("mkfs.exfat",),
}


@dataclass(frozen=True)
class FileServers:
    """The file servers."""

    nfs: NfsServer
    smb: SmbServer


def mount_all() -> FileServers:
    """Start the file servers, and mount every place with an empty directory to watch."""
    connect_networks()
    nfs, smb = NfsServer(), SmbServer(SHARE, SHARED)
    nfs.export(EXPORT)
    for place in PLACES:
        if not place.point.is_mount():
            _mount(place)
        place.served.mkdir(parents=True)
        if place.kind == "ext4":
            run("chattr", "+F", place.watched)
    return FileServers(nfs, smb)


def _mount(place: Place) -> None:
    if place.is_remote:
        source = f"{SERVER}:{EXPORT}" if place.is_nfs else f"//{SERVER}/{SHARE}"
        mount_remote(place.kind, source, place.point, place.options)
    else:
        image = SERVED / f"{place.kind}.img"
        make_image(MAKE[place.kind], image)
        mount_image(place.kind, image, place.point)
