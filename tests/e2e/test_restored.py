"""A backup of the state is restored: no id is used twice, and nothing is lost."""

import shutil
from pathlib import Path

import pytest

from support.config import config
from support.files import fill
from support.fixtures import Serve

SOON = ("--redelivery-window", "100ms")


@pytest.mark.parametrize("is_whole", [False, True], ids=["file", "directory"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_restored_backup(
    serve: Serve, root: Path, name: str, tmp_path: Path, *, is_whole: bool, is_killed: bool
) -> None:
    """Changes since the backup are found again, and come with ids that no event has had."""
    state, backup = tmp_path / "state", tmp_path / "backup"
    delivered = []

    def run(*paths: str, found: str = "", killed: bool = False) -> None:
        """Run a server until it has reported new paths, and those that it is to find."""
        server, client = serve(*SOON)
        server.expected = {"state.restored"}  # the log has that of the next servers, too
        stream = client.watch(name, config(root))
        for path in paths:
            fill(root, path)
        for path in (*paths, *found):
            events = stream.wait_path(path)
        server.wait_watch(name, unconfirmed=0)
        delivered.extend(events)
        renewed = bool(found)
        (watch,) = server.status()["watches"]
        assert (watch["ids_renewed_at"] > 0, "new ids" in watch["note"]) == (renewed, renewed)
        if renewed:
            (line,) = server.lines("state.restored")
            assert (line["watch"], line["ids"]) == (name, events[0]["id"].partition("-")[0])
        if killed:
            server.kill()
        else:
            assert server.stop() == 0

    run("a", "b")
    shutil.copytree(state, backup)
    run("c", "d", killed=is_killed)
    if is_whole:
        shutil.rmtree(state)
        shutil.copytree(backup, state)
    else:
        (file,) = state.glob("*.db")
        for rest in state.glob("*.db-*"):
            rest.unlink()
        shutil.copyfile(backup / file.name, file)
    run("e", found="cd")
    ids, numbers = ([event[key] for event in delivered] for key in ("id", "seq"))
    assert sorted(event["path"] for event in delivered) == [*"abccdde"]
    assert len({*ids}) == len(ids)
    assert numbers == sorted(numbers)
