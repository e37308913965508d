"""A volume is the same one wherever it is mounted, and another one at its point is not."""

from __future__ import annotations

import pytest

from watcher.filesystem.volumes import Volume, describe_volume, is_same_volume

DISK = Volume("ext4", "UUID=6f3a", "/", "/", "/data")
EXPORT = Volume("nfs4", "server:/export", "/", "/", "/data")
NAMELESS = Volume("exfat", "", "/", "/", "/data")


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param(DISK, Volume("ext4", "UUID=6f3a", "/", "/", "/mnt/2"), id="another point"),
        pytest.param(DISK, Volume("ext3", "UUID=6f3a", "/", "/", "/data"), id="another driver"),
        pytest.param(DISK, Volume("ext4", "UUID=6f3a", "/", "/b", "/data"), id="another link"),
        pytest.param(EXPORT, Volume("nfs", "server:/export", "/", "/", "/data"), id="NFS 3 and 4"),
        pytest.param(
            Volume("ext4", "UUID=6f3a", "/", "/data", "/"),
            Volume("ext4", "UUID=6f3a", "/data", "/data", "/data"),
            id="a directory bound to itself",
        ),
        pytest.param(DISK, Volume("ext4", "fsid=00ff", "/", "/", "/data"), id="an older kernel"),
        pytest.param(
            Volume("ext4", "fsid=00ff", "/", "/", "/data"), DISK, id="a kernel that reports UUIDs"
        ),
        pytest.param(
            Volume("xfs", "", "/", "/", "/data"),
            Volume("xfs", "UUID=6f3a", "/", "/", "/data"),
            id="xfs on a kernel that reports UUIDs",
        ),
        pytest.param(NAMELESS, Volume("exfat", "", "/", "/in", "/data"), id="no id"),
    ],
)
def test_the_same_volume(known: Volume, found: Volume) -> None:
    assert known.is_same(found)


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param(DISK, Volume("ext4", "UUID=77aa", "/", "/", "/data"), id="another disk"),
        pytest.param(DISK, Volume("ext4", "UUID=6f3a", "/b", "/b", "/data"), id="another bind"),
        pytest.param(EXPORT, Volume("nfs4", "server:/b", "/", "/", "/data"), id="another export"),
        pytest.param(EXPORT, Volume("nfs4", "10.0.0.1:/export", "/", "/", "/data"), id="spelling"),
        pytest.param(EXPORT, Volume("nfs4", "server:/export", "/b", "/b", "/data"), id="a part"),
        pytest.param(DISK, EXPORT, id="a disk, then an export"),
        pytest.param(
            Volume("ext4", "kubernetes.io~empty-dir/work", "/", "/", "/data"),
            DISK,
            id="an emptyDir, then a claim",
        ),
        pytest.param(
            Volume("nfs4", "server:/export", "/", "/", "/data/in"),
            Volume("nfs4", "server:/export", "/", "/in", "/data"),
            id="an export below itself, unmounted",
        ),
        pytest.param(
            Volume("ext4", "UUID=6f3a", "/var/claim", "/var/claim", "/data"),
            Volume("ext4", "UUID=6f3a", "/", "/data", "/"),
            id="a directory of the same disk, unmounted",
        ),
        pytest.param(NAMELESS, Volume("exfat", "", "/", "/", "/mnt"), id="no id, elsewhere"),
        pytest.param(NAMELESS, Volume("exfat", "", "/in", "/in", "/data"), id="no id, a part"),
        pytest.param(NAMELESS, Volume("tmpfs", "", "/", "/", "/data"), id="no id, another type"),
        pytest.param(
            DISK, Volume("ext4", "fsid=00ff", "/b", "/b", "/data"), id="an older kernel, a part"
        ),
    ],
)
def test_another_volume(known: Volume, found: Volume) -> None:
    assert not known.is_same(found)
    assert not found.is_same(known)


@pytest.mark.parametrize(
    ("known", "found", "is_same"),
    [
        ("ext4 at /data", DISK, True),
        ("nfs4 at /data", EXPORT, True),
        ("exfat at /data", Volume("exfat", "", "/in", "/in", "/data"), True),
        ("ext4 at /a b at /c", Volume("ext4", "UUID=1", "/", "/", "/a b at /c"), True),
        ("ext4 at /mnt", DISK, False),
        ("xfs at /data", DISK, False),
        ("nfs4 at /data", DISK, False),
    ],
)
def test_volumes_of_0_1_are_known_by_type_and_point(
    known: str, found: Volume, *, is_same: bool
) -> None:
    assert Volume.parse(known).is_same(found) is is_same


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        (DISK, "ext4 UUID=6f3a at /data"),
        (Volume("ext4", "UUID=6f3a", "/b", "/b/c", "/data"), "ext4 UUID=6f3a:/b at /data"),
        (EXPORT, "nfs4 server:/export at /data"),
        (Volume("nfs4", "server:/", "/b", "/b", "/data"), "nfs4 server:/b at /data"),
        (Volume("virtiofs", "share", "/b", "/b", "/data"), "virtiofs share/b at /data"),
        (NAMELESS, "exfat at /data"),
        (Volume("tmpfs", "", "/b", "/b", "/data"), "tmpfs /b at /data"),
        (Volume("tmpfs", "", "/", "/", "/d\udcff"), "tmpfs at /d�"),
    ],
)
def test_descriptions(volume: Volume, text: str) -> None:
    assert str(volume) == text


def test_texts_of_0_1_are_described_as_they_are() -> None:
    assert describe_volume("nfs4 at /data") == "nfs4 at /data"
    assert is_same_volume("nfs4 at /data", "nfs4 at /data")
