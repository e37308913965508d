"""How far apart two looks at a polled file are, by the mount that holds it."""

from __future__ import annotations

import pytest

from watcher.filesystem import statx
from watcher.filesystem.mounts import Mount
from watcher.sources.directory.attribute_cache import CACHE_S, asks_server, rest_s
from watcher.sources.directory.settle import EMPTY_REST_S
from watcher.spec import DirectorySpec

SPEC = DirectorySpec("/data", settle_s=2.0)


def mount(type_: str, options: str = "") -> Mount:
    return Mount("/data", type_, "/", "rw,relatime", super_options=f"rw,{options}")


@pytest.mark.parametrize(
    ("type_", "options", "cache_s"),
    [
        ("ext4", "", 0.0),
        ("tmpfs", "size=64k", 0.0),
        ("cifs", "vers=3.1.1,actimeo=1", 1.0),
        ("cifs", "acregmax=3,acdirmax=30", 30.0),
        ("smb3", "", CACHE_S),
        ("9p", "trans=virtio,cache=5", CACHE_S),
        ("lustre", "attr_timeout=2.5", 2.5),
        ("afs", "ac_attr_timeout=7", 7.0),
        ("afs", "noac", 0.0),
        ("vboxsf", "xactimeo=9,actimeo=many,actimeo=3s", CACHE_S),
        ("unheard-of", "", CACHE_S),
        ("fuse.sshfs", "user_id=0,group_id=0", 20.0),
    ],
)
def test_looks_outlast_what_is_cached(type_: str, options: str, cache_s: float) -> None:
    assert rest_s(mount(type_, options), SPEC, 1) == 2.0 + cache_s
    assert not asks_server(mount(type_, options))


@pytest.mark.parametrize(
    "type_", ["nfs", "nfs4", "ceph", "fuse", "fuseblk", "fuse.bindfs", "fuse.rclone"]
)
def test_servers_that_can_be_asked_are_not_waited_for(type_: str) -> None:
    assert asks_server(mount(type_, "acregmax=60"))
    assert rest_s(mount(type_, "acregmax=60"), SPEC, 1) == 2.0


@pytest.mark.parametrize(("options", "cache_s"), [("", 60.0), ("acregmax=10", 10.0), ("noac", 0.0)])
def test_without_statx_no_server_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, options: str, cache_s: float
) -> None:
    monkeypatch.setattr(statx, "IS_AVAILABLE", False)
    assert not asks_server(mount("nfs4", options))
    assert rest_s(mount("nfs4", options), SPEC, 1) == 2.0 + cache_s


def test_an_unknown_mount_may_have_a_cache() -> None:
    assert rest_s(None, SPEC, 1) == 2.0 + CACHE_S
    assert not asks_server(None)


@pytest.mark.parametrize(
    ("quiet_s", "size_bytes", "expected_s"),
    [(0.0, 1, 2.0), (0.0, 0, EMPTY_REST_S), (3.0, 1, 3.0), (90.0, 1, 90.0), (90.0, 0, 90.0)],
)
def test_a_file_rests_for_the_longer_of_settle_and_quiet(
    quiet_s: float, size_bytes: int, expected_s: float
) -> None:
    spec = DirectorySpec("/data", settle_s=2.0, quiet_s=quiet_s)
    assert rest_s(mount("ext4"), spec, size_bytes) == expected_s
