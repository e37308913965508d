"""Directories that the operator's lists allow, as the source of a directory finds them."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from support.client import DEADLINE_S, wait_until
from support.wiring import find
from watcher.errors import DeniedError, StateError
from watcher.filesystem import real_paths
from watcher.filesystem.paths import real_path
from watcher.security import allow_list
from watcher.security.allow_list import AllowList
from watcher.settings import ServerSettings
from watcher.spec import (
    AuthorizedSpec,
    BucketSpec,
    DirectorySpec,
    HintKind,
    Notifications,
    Spec,
)

ALLOWED = ("/data/in", "/srv/shared", "orders=/srv/orders", "ns/billing=/srv/billing")
LISTS = ServerSettings(allow_directories=ALLOWED)
EVERYONE = {"", "orders", "ns/billing"}


def allows(
    settings: ServerSettings, where: DirectorySpec | BucketSpec, principal: str = ""
) -> bool:
    try:
        find(AllowList(settings).authorize(Spec(where), principal))
    except DeniedError:
        return False
    return True


@pytest.mark.parametrize(
    ("path", "principals"),
    [
        ("/data/in", EVERYONE),
        ("/srv/shared/in", EVERYONE),
        ("/srv/orders", {"orders"}),
        ("/srv/billing/in", {"ns/billing"}),
        ("/data/inner", set()),
        ("/data/in/../out", set()),
        ("/srv", set()),
        ("/", set()),
    ],
)
def test_a_listed_directory_is_allowed_with_all_below_it(path: str, principals: set[str]) -> None:
    """An entry without a name is for everyone, one with a name for its principal alone."""
    assert {name for name in EVERYONE if allows(LISTS, DirectorySpec(path), name)} == principals


@pytest.mark.parametrize(
    "field",
    [
        "allow_directories",
        "allow_buckets",
        "allow_endpoints",
        "allow_roles",
        "allow_profiles",
        "allow_queues",
    ],
)
def test_one_entry_closes_all_lists(field: str) -> None:
    """An entry for one principal is enough: what is on no list is denied to everyone."""
    entry = {field: ("name=http://x",)}
    settings = replace(ServerSettings(), **entry)  # type: ignore[arg-type]  # all six have this type
    assert AllowList(ServerSettings()).is_empty
    assert not AllowList(settings).is_empty
    bucket = BucketSpec("bucket")
    queue = Notifications(HintKind.QUEUE, "http://e/q")
    named = (
        replace(bucket, profile="p"),
        replace(bucket, endpoint_url="http://e"),
        replace(bucket, notifications=queue),
    )
    for where in (DirectorySpec("/"), bucket, *named):
        assert allows(ServerSettings(), where)
        assert not allows(settings, where)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("/data/a=b", ""),
        ("./a=b", ""),
        ("../a=b", ""),
        ("a=/b", "a"),
        (" a = /b ", "a"),
        ("n/s=/b", "n/s"),
        ("a=b=c", "a"),
    ],
)
def test_a_path_is_not_taken_for_a_name(entry: str, name: str) -> None:
    """A path begins with a slash or a dot; else a name ends at the first equals sign."""
    allow_list = AllowList(ServerSettings(allow_directories=(entry,)))
    allow_list.check_principals(["a", "n/s"])
    if name:
        with pytest.raises(StateError, match=f"no '{name}'"):
            allow_list.check_principals(["other"])
    else:
        allow_list.check_principals(["other"])


def test_a_spec_carries_the_directories_that_its_principal_may_read(tmp_path: Path) -> None:
    """Links in the lists are resolved once, at the start; without lists there are no bounds."""
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    spec = Spec(DirectorySpec(str(tmp_path / "real")))
    lists = (str(tmp_path / "alias"), "a=/a", "b=/b")
    allow_list = AllowList(ServerSettings(allow_directories=lists))
    (tmp_path / "alias").unlink()
    (tmp_path / "alias").symlink_to("/")
    within = (str(tmp_path / "real"), "/a")
    assert allow_list.authorize(spec, "a") == AuthorizedSpec(spec, within)
    assert AllowList(ServerSettings()).authorize(spec, "a") == AuthorizedSpec(spec, None)


@pytest.mark.parametrize("listed", ["allowed", "alias"])
def test_a_link_is_judged_by_its_target(tmp_path: Path, listed: str) -> None:
    """A link that leads out of an allowed directory is denied, one that leads to it is not."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "allowed/out").symlink_to("../secret")
    (tmp_path / "alias").symlink_to("allowed")
    settings = ServerSettings(allow_directories=(str(tmp_path / listed),))
    assert allows(settings, DirectorySpec(str(tmp_path / "alias")))
    assert not allows(settings, DirectorySpec(str(tmp_path / "allowed/out")))


def test_a_directory_whose_volume_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start does not wait for it; its links are resolved once it answers."""
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    hangs, answers = str(tmp_path / "alias"), str(tmp_path / "real")
    is_back = threading.Event()

    def resolve(path: str) -> str:
        if path == hangs:
            assert is_back.wait(DEADLINE_S)
        return real_path(path)

    monkeypatch.setattr(real_paths, "real_path", resolve)
    monkeypatch.setattr(allow_list, "RESOLVE_WAIT_S", 0.1)
    settings = ServerSettings(allow_directories=(hangs, answers))
    found = AllowList(settings)
    spec = Spec(DirectorySpec(answers))
    assert found.authorize(spec, "").within == (hangs, answers)
    is_back.set()
    wait_until(lambda: found.authorize(spec, "").within == (answers, answers), "it is resolved")
