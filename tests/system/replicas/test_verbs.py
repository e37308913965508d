"""State in a database on the command line: moved there and back, served, shown and renewed."""

import json
from pathlib import Path

from support.postgres import SHARED
from support.program import Program, Run, Serve, Start


def last_event(tailing: Program, path: str) -> tuple[str, int]:
    """Wait for the event of a path, and return the parts of its id."""

    def ids(program: Program) -> list[str]:
        return [event["id"] for event in program.events if event["path"] == path]

    tailing.wait_for(ids)
    uid, _, seq = ids(tailing)[0].partition("-")
    return uid, int(seq)


def test_state_moves_into_a_database_and_back(
    start: Start, run: Run, serve: Serve, config: Path, place: Path, tmp_path: Path
) -> None:
    """Events go on with the ids they had; each verb that opens state takes the URL."""
    directory, url = tmp_path / "state", SHARED.url(str(tmp_path))
    secret = url.replace("postgres@", "postgres:s3cret@")
    shown = url.partition("?")[0].replace("postgres@", "")

    def event_of(name: str, *flags: object) -> tuple[str, int]:
        serving, address, _ = serve(*flags)
        tailing = start("tail", config, "--server", address, "--json")
        (place / name).touch()
        found = last_event(tailing, name)
        if flags:
            (watch,) = json.loads(run("status", "--state", url, "--json").stdout)["watches"]
            assert watch["next_seq"] == found[1] + 1
            busy = run("renew", "--state", secret)
            assert (busy.returncode, busy.stderr.count("\n")) == (1, 1)
            assert "another server uses this database" in busy.stderr
            since = run("replay", "orders", "--since", "1h", "--server", address)
            assert since.returncode == 0
        assert tailing.stop() == serving.stop() == 0
        assert "s3cret" not in serving.stderr
        return found

    uid, seq = event_of("first.csv")
    done = run("migrate", "--from", directory, "--to", secret)
    assert (done.returncode, done.stdout) == (0, f"{shown}: 1 watches were moved there\n")
    assert run("status", "--state", directory).stdout == "no watches\n"
    same, second = event_of("second.csv", "--state", secret)
    assert same == uid
    assert second > seq
    assert run("renew", "--state", secret).stdout == f"{shown}: 1 watches have new ids\n"
    done = run("migrate", "--from", secret, "--to", directory)
    assert (done.returncode, done.stdout) == (0, f"{directory}: 1 watches were moved there\n")
    other, later = event_of("third.csv")
    assert other != uid
    assert later > seq + 1_000_000


def test_a_database_is_prepared(run: Run, tmp_path: Path) -> None:
    url = SHARED.url(str(tmp_path))
    shown = url.partition("?")[0].replace("postgres@", "")
    assert "there is no state in the database" in run("status", "--state", url).stderr
    outputs = [run("migrate", "--to", url).stdout for _ in range(2)]
    assert outputs == [
        f"{shown}: the tables have version 2 now\n",
        f"{shown}: the tables are there, with version 2\n",
    ]
    assert run("status", "--state", url).stdout == "no watches\n"


def test_what_cannot_be_moved(run: Run, tmp_path: Path) -> None:
    nowhere, url = tmp_path / "nowhere", SHARED.url(str(tmp_path))
    for arguments, text in (
        (["--from", nowhere, "--to", url], "there is no such state directory"),
        (["--to", tmp_path], "a directory needs no preparation"),
        (["--to", "postgresql://u:s3cret@[::1/x"], "cannot be understood"),
    ):
        done = run("migrate", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert text in done.stderr
        assert "s3cret" not in done.stderr
    assert not nowhere.exists()


def test_verbs_recognise_a_standby(start: Start, run: Run, tmp_path: Path) -> None:
    """It is alive, and says who works alone; a probe of its container succeeds."""
    url = SHARED.url(str(tmp_path))
    run("migrate", "--to", url)
    cluster, servers = SHARED.get(), f"{url.rpartition('=')[2]}.server"
    cluster.execute(
        f"INSERT INTO {servers} (id, name, node, version, lease_until, is_exclusive) "  # noqa: S608 - a schema of the test
        "VALUES (gen_random_uuid(), 'mover', '', '', 'infinity', true)"
    )
    ports = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    standby = start("serve", *ports, "--state", url)
    standby.wait_for(lambda program: "state.standby" in program.stderr)
    lines = [json.loads(line) for line in standby.stderr.splitlines()]
    (line,) = (line for line in lines if line["event"] == "state.standby")
    text = "standby: mover uses the state alone"
    assert line["reason"] == text
    assert run("status", line["http"]).stdout.startswith(f"{text}\n")
    environment = {"WATCHER_LISTEN": line["address"], "WATCHER_HTTP": line["http"]}
    done = run("healthcheck", **environment)
    assert (done.returncode, done.stdout) == (0, f"{line['address']} is a {text}\n")
    assert run("healthcheck", "--server", line["address"]).returncode == 1
    busy = run("renew", "--state", url)
    assert "another server uses this database (mover)" in busy.stderr
    cluster.execute(f"DELETE FROM {servers} WHERE name = 'mover'")  # noqa: S608 - a schema of the test
    standby.wait_for(lambda program: "server.listening" in program.stderr)
    done = run("healthcheck", **environment)
    assert (done.returncode, done.stdout) == (0, f"{line['address']} is serving\n")
    assert standby.stop() == 0
    assert run("healthcheck", **environment).returncode == 1
