"""``watcher renew`` on a state directory, with and without a server."""

import json
from pathlib import Path

from support.program import Program, Run, Serve, Start


def test_renewal(
    start: Start, run: Run, serve: Serve, config: Path, place: Path, tmp_path: Path
) -> None:
    """The server must not run; each watch, or those that are named, goes on with other ids."""
    state, uids = tmp_path / "state", []
    for number, arguments in enumerate((["--state", state], ["orders", "--state", state])):
        path = f"{number}.csv"
        serving, address, _ = serve()
        tailing = start("tail", config, "--server", address, "--json")
        (place / path).touch()
        uids.append(uid_of(tailing, path))
        busy = run("renew", *arguments)
        assert (busy.returncode, busy.stdout, busy.stderr.count("\n")) == (1, "", 1)
        assert "another server uses this state directory" in busy.stderr
        assert tailing.stop() == serving.stop() == 0
        assert "state.restored" not in serving.stderr
        for _ in range(2):
            done = run("renew", *arguments)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == f"{state}: 1 watches have new ids\n"
        (watch,) = json.loads(run("status", "--state", state, "--json").stdout)["watches"]
        assert watch["ids_renewed_at"] > 0
        assert watch["unconfirmed"] <= number + 2
    assert uids[0] != uids[1]


def uid_of(tailing: Program, path: str) -> str:
    """Wait for the event of a path, and return the first part of its id."""

    def ids(program: Program) -> list[str]:
        return [event["id"] for event in program.events if event["path"] == path]

    tailing.wait_for(ids)
    return ids(tailing)[0].partition("-")[0]


def test_what_cannot_be_renewed(run: Run, serve: Serve, tmp_path: Path) -> None:
    """A directory that is not there is not made, and a name without a watch is named."""
    nowhere, state = tmp_path / "nowhere", tmp_path / "state"
    assert serve()[0].stop() == 0
    for arguments, text in (
        (["--state", nowhere], "there is no such state directory"),
        (["nobody", "--state", state], "there is no watch 'nobody'"),
    ):
        done = run("renew", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert text in done.stderr
    assert not nowhere.exists()
    assert run("renew", "--state", state).stdout == f"{state}: 0 watches have new ids\n"
