"""The program as its users run it: real processes, real directories, real servers."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.client import wait_until
from s3_servers import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3_servers import S3Server

DEADLINE_S = 30.0
# Signals that whoever runs the tests ignores (nohup, a shell without job control) would be ignored here too.
WATCHER = ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-m", "watcher"]


class Program:
    """A running watcher, whose output is gathered in the background.

    Args:
        arguments: Verb and flags.
        environment: All of its variables.
        directory: Where it runs.
    """

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], directory: Path) -> None:
        self.process = subprocess.Popen(
            [*WATCHER, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=directory
        )
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._ended: set[str] = set()
        self._news = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=(name,)) for name in self._lines]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            with self._news:
                self._lines[name].append(line.decode())
                self._news.notify_all()
        with self._news:
            self._ended.add(name)
            self._news.notify_all()

    @property
    def stdout(self) -> list[str]:
        """The lines so far."""
        return list(self._lines["stdout"])

    @property
    def stderr(self) -> str:
        """The text so far."""
        return "".join(self._lines["stderr"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far, without those of ``ready`` by which tests see that the watch runs."""
        return [event for event in map(json.loads, self.stdout) if event["path"] != "ready"]

    def wait_for(self, condition: Callable[[Program], object]) -> None:
        """Wait until the output is as it should be."""
        with self._news:
            self._news.wait_for(lambda: condition(self) or len(self._ended) == len(self._lines), DEADLINE_S)
            assert condition(self), (self.stdout, self.stderr)

    def ready(self) -> Program:
        """Wait for the first event, which the file ``ready`` gives where ``existing`` is ``report``."""
        self.wait_for(lambda program: program.stdout)
        return self

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self) -> int:
        """Wait for the end, and return the exit code."""
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code

    def close(self) -> None:
        """End it by force if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.finish()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which nothing of this machine shows."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHER_", "AWS_", "XDG_"))}
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    own = {"HOME": str(tmp_path), "TMPDIR": str(temporary), "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "80"}
    return kept | own | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "error"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with the file by which tests see that the watch runs."""
    path = tmp_path / "in"
    path.mkdir()
    (path / "ready").touch()
    return path


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Return what starts a program; it is ended after the test."""
    with ExitStack() as stack:

        def start_it(*arguments: object, **variables: str) -> Program:
            program = Program(tuple(map(str, arguments)), environment | variables, tmp_path)
            stack.callback(program.close)
            return program

        yield start_it


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs a program to its end."""

    def run_it(*arguments: object, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [*WATCHER, *map(str, arguments)]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            env=environment | variables,
            cwd=tmp_path,
            timeout=DEADLINE_S,
            check=False,
        )

    return run_it


@pytest.fixture
def server(start: Callable[..., Program], tmp_path: Path) -> tuple[Program, str, str]:
    """Run a server; return it with its address and its HTTP address."""
    port, http_port = free_ports(2)
    address, http = f"127.0.0.1:{port}", f"127.0.0.1:{http_port}"
    program = start("serve", "--listen", address, "--http", http, "--state", tmp_path / "state")
    program.wait_for(lambda program: "server.listening" in program.stderr)
    return program, address, http


@pytest.fixture
def config(tmp_path: Path, place: Path) -> Path:
    """Return a configuration that watches the place."""
    path = tmp_path / "orders.yaml"
    path.write_text(f"directory: {place}\nexisting: report\ninclude: [ready, '*.csv']\n")
    return path


# dev


def test_dev_prints_json_lines(start: Callable[..., Program], place: Path) -> None:
    """In a pipe each change of a real file is one line of JSON, at once, and nothing else is printed."""
    program = start("dev", "in", "--existing", "report").ready()
    (place / "a.txt").write_text("hello")
    program.wait_for(lambda program: len(program.events) == 1)
    with (place / "a.txt").open("a") as file:
        file.write(" world")
    program.wait_for(lambda program: len(program.events) == 2)
    (place / "a.txt").rename(place / "b.txt")
    program.wait_for(lambda program: len(program.events) == 3)
    (place / "b.txt").unlink()
    program.wait_for(lambda program: len(program.events) == 4)
    told = [(event["type"], event["path"], event["old_path"], event["size"]) for event in program.events]
    assert told == [
        ("created", "a.txt", None, 5),
        ("modified", "a.txt", None, 11),
        ("moved", "b.txt", "a.txt", 11),
        ("deleted", "b.txt", None, 11),
    ]
    assert program.stop() == 0
    assert program.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_dev_ends_by_signal(start: Callable[..., Program], place: Path, tmp_path: Path, number: int) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end it with 0, without a word, and the temporary state is removed."""
    program = start("dev", place, "--existing", "report").ready()
    assert list((tmp_path / "tmp").iterdir())
    assert program.stop(number) == 0
    assert program.stderr == ""
    assert not list((tmp_path / "tmp").iterdir())


def test_dev_ends_with_its_reader(environment: dict[str, str], place: Path, tmp_path: Path) -> None:
    """When the reader of the pipe goes, as head does, it ends quietly, though no further event comes."""
    command = f"{sys.executable} -m watcher dev {place} --existing report | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=DEADLINE_S, check=False
    )
    assert json.loads(done.stdout)["path"] == "ready"
    assert done.stderr == ""


def test_dev_ends_though_nobody_reads(environment: dict[str, str], place: Path, tmp_path: Path) -> None:
    """Ctrl-C is heard while the pipe is full."""
    for number in range(1000):
        (place / f"{number:0200}").touch()
    process = subprocess.Popen(
        [*WATCHER, "dev", str(place), "--existing", "report"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
    )
    with process:
        try:
            assert process.stdout is not None
            _wait_until_full(process.stdout.fileno())
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def _wait_until_full(fd: int) -> None:
    """Wait until a pipe holds all that it can: nobody can write a page any more."""
    with Path(f"/proc/self/fd/{fd}").open("wb", buffering=0) as writer:
        poll = select.poll()
        poll.register(writer, select.POLLOUT)
        wait_until(lambda: not poll.poll(0), "the pipe is full")


def test_dev_filters(start: Callable[..., Program], place: Path) -> None:
    """Filters, types and formats given as flags or in the environment reach the watch; there commas separate."""
    flags = ("--include", "*.csv", "--include", "ready", "--events", "created,deleted", "--format", "cloudevents")
    program = start("dev", place, *flags, WATCHER_EXISTING="report", WATCHER_EXCLUDE="x y*, z*")
    program.wait_for(lambda program: program.stdout)
    for name in ("x y.csv", "z.csv", "a.txt", "a.csv"):
        (place / name).write_text("x")
    program.wait_for(lambda program: len(program.stdout) == 2)
    event = json.loads(program.stdout[1])
    assert (event["type"], event["data"]["path"]) == ("io.watcher.file.created", "a.csv")


def test_dev_watches_its_own_temporary_directory(start: Callable[..., Program], tmp_path: Path) -> None:
    """A place that holds the temporary state can be watched, and the state is not reported."""
    place = tmp_path / "tmp"
    (place / "ready").touch()
    program = start("dev", place, "--existing", "report").ready()
    (place / "a").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.stop() == 0
    assert [event["path"] for event in program.events] == ["a"]


def test_dev_keeps_state(start: Callable[..., Program], place: Path, tmp_path: Path) -> None:
    """With --state what changed while it was down is reported at the next start."""
    flags = ("dev", place, "--state", tmp_path / "kept", "--existing", "report")
    assert start(*flags).ready().stop() == 0
    (place / "meanwhile").write_text("x")
    program = start(*flags)
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "meanwhile"


def test_dev_takes_a_configuration(start: Callable[..., Program], config: Path, place: Path) -> None:
    """A file takes the place of PLACE and flags."""
    program = start("dev", "--config", config).ready()
    (place / "a.csv").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"


def test_dev_runs_commands(start: Callable[..., Program], place: Path, tmp_path: Path) -> None:
    """The command runs once for each change, in order, with JSON and variables; failures are told and do not stop the watch."""
    log = tmp_path / "log"
    command = f'(echo "$WATCHER_TYPE $WATCHER_PATH $WATCHER_OLD_PATH"; cat) >> {log}; echo output; test "$WATCHER_PATH" != bad || exit 3'
    program = start("dev", place, "--existing", "report", "--exec", command).ready()
    (place / "bad").write_text("x")
    program.wait_for(lambda program: "failed with exit code 3 (created bad)" in program.stderr)
    (place / "bad").rename(place / "good")
    program.wait_for(lambda program: program.stderr.count("output") == 3)
    assert program.stop() == 0
    lines = log.read_text().splitlines()
    assert lines[::2] == ["created ready ", "created bad ", "moved good bad"]
    assert [line + "\n" for line in lines[1::2]] == program.stdout


def test_dev_stops_its_command(start: Callable[..., Program], place: Path, tmp_path: Path) -> None:
    """A command that runs at the end is stopped, with all that it has started."""
    pids = tmp_path / "pids"
    program = start("dev", place, "--existing", "report", "--exec", f"sleep 600 & echo $! > {pids}; wait")
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the command runs")
    assert program.stop() == 0
    wait_until(lambda: not _runs(int(pids.read_text())), "what it started has ended")


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_dev_on_a_terminal(environment: dict[str, str], place: Path, tmp_path: Path) -> None:
    """On a terminal it says what it watches, prints readable lines without control characters of names, and Ctrl-C ends it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvpe(WATCHER[0], [*WATCHER, "dev", str(place)], environment)  # noqa: S606 - the program under test
    try:
        assert "(notify, 1 entry); stop with Ctrl-C" in _read_until(terminal, "Ctrl-C")
        (place / "a\x1b[31m.txt").write_text("x" * 1312)
        assert re.search(r"\d\d:\d\d:\d\d  created +1\.3 kB  a\\x1b\[31m\.txt", _read_until(terminal, ".txt"))
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)


def _read_until(terminal: int, text: str) -> str:
    """Return what a terminal shows up to a text, without colours."""
    shown = ""
    deadline_s = time.monotonic() + DEADLINE_S
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], deadline_s - time.monotonic())
        assert ready, shown
        shown += os.read(terminal, 65536).decode()
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def test_dev_watches_a_bucket(start: Callable[..., Program], moto_server: S3Server) -> None:
    """A bucket of a real server is watched by its URI, with its store as a flag."""
    bucket = moto_server.make_bucket()
    moto_server.put_many(bucket, ["in/ready"])
    flags = ("--endpoint-url", moto_server.endpoint_url, "--poll-interval", "1s", "--existing", "report")
    program = start("dev", f"s3://{bucket}/in/", *flags, **moto_server.environment()).ready()
    moto_server.put_many(bucket, ["in/a.csv", "out/b.csv"])
    program.wait_for(lambda program: len(program.stdout) == 2)
    assert program.events[1]["uri"] == f"s3://{bucket}/in/a.csv"


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["dev", "no"], 1, "no: there is no such directory"),
        (["dev", "orders.yaml"], 1, "this is not a directory"),
        (["dev", "s3://X"], 1, "must name a bucket"),
        (["dev", "in", "--include", "["], 1, "is not closed"),
        (["dev", "in", "--poll-interval", "1ms"], 1, "directory.poll_interval: must be from 100ms to 24h"),
        (["dev", "in", "--poll-interval", "5"], 2, "'--poll-interval'"),
        (["dev", "in", "--region", "eu-west-1"], 2, "'--region'"),
        (["dev", "s3://landing", "--mode", "poll"], 2, "'--mode'"),
        (["dev", "in", "--config", "orders.yaml"], 2, "'--config'"),
        (["dev", "--config", "orders.yaml", "--settle", "1s"], 2, "--settle"),
        (["dev", "--config", "no.yaml"], 1, "no.yaml: the configuration cannot be read"),
        (["dev"], 2, "say what to watch"),
        (["dev", "in", "--state", "orders.yaml"], 1, "orders.yaml"),
        (["serve", "--listen", "8080"], 2, "'--listen'"),
        (["serve", "--idle-timeout", "600"], 2, "'--idle-timeout'"),
        (["serve", "--journal-cap", "0"], 2, "'--journal-cap'"),
        (["serve", "--log-format", "xml"], 2, "'--log-format'"),
        (["serve", "--http", "", "--listen", "0.0.0.0:1"], 1, "must not listen beyond this machine"),
        (["serve", "--http", "", "--token-file", "no", "--listen", "127.0.0.1:0"], 1, "token file"),
        (["serve", "--http", "", "--state", "orders.yaml", "--listen", "127.0.0.1:0"], 1, "orders.yaml"),
        (["check", "no.yaml"], 1, "no.yaml"),
        (["check", "in"], 1, "Is a directory"),
        (["tail", "no.yaml"], 1, "no.yaml"),
        (["tail", "orders.yaml", "--server", "x"], 2, "'--server'"),
        (["tail", "orders.yaml", "--tls-ca", "no"], 1, "no: cannot be read"),
        (["status", "--state", "no"], 1, "no: the state directory cannot be read"),
        (["status", "--server-http", "x"], 1, "x: "),
        (["status", "--server-http", "http://x", "--state", "in"], 2, "'--state'"),
        (["nonsense"], 2, "nonsense"),
    ],
)
@pytest.mark.usefixtures("config")
def test_wrong_input(run: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], code: int, text: str) -> None:
    """Each mistake is told in one line that names it, with 1, or 2 for wrong usage, and never with a traceback."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) == 1 or code == 2
    assert "Traceback" not in done.stderr


def test_dev_tells_a_missing_bucket_once(run: Callable[..., subprocess.CompletedProcess[str]], moto_server: S3Server) -> None:
    """What the server refuses is told in one line."""
    done = run("dev", "s3://no-such-bucket", "--endpoint-url", moto_server.endpoint_url, **moto_server.environment())
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("watcher: s3://no-such-bucket")


# serve, tail, status, healthcheck


def test_tail_follows_a_server(start: Callable[..., Program], server: tuple[Program, str, str], config: Path, place: Path) -> None:
    """Tail prints the payloads of a running server, and names its event source after the file."""
    serving, address, _ = server
    program = start("tail", config, "--server", address).ready()
    (place / "a.csv").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"
    assert '"watch": "orders"' in serving.stderr
    assert program.stop() == 0
    assert serving.stop(signal.SIGTERM) == 0


def test_tail_connects_again(start: Callable[..., Program], config: Path, place: Path, tmp_path: Path) -> None:
    """Tail outlives its server: it says so, connects again, and gets what changed meanwhile."""
    (port,) = free_ports(1)
    flags = ("serve", "--listen", f"127.0.0.1:{port}", "--http", "", "--state", tmp_path / "state")
    first = start(*flags)
    program = start("tail", config, "--server", f"127.0.0.1:{port}").ready()
    assert first.stop() == 0
    program.wait_for(lambda program: "connecting again" in program.stderr)
    (place / "a.csv").write_text("x")
    start(*flags)
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"


def test_tail_gives_up_at_once_if_told_to(run: Callable[..., subprocess.CompletedProcess[str]], config: Path) -> None:
    """With --no-reconnect a server that is not there is an error."""
    (port,) = free_ports(1)
    done = run("tail", config, "--server", f"127.0.0.1:{port}", "--no-reconnect")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_tail_is_refused(run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str], tmp_path: Path) -> None:
    """What would be refused again is told in the server's words, and not tried again."""
    wrong = tmp_path / "wrong.yaml"
    for text, message in (("directoy: /x\n", 'did you mean "directory"?'), (f"directory: {tmp_path}/no\n", "there")):
        wrong.write_text(text)
        done = run("tail", wrong, "--server", server[1])
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert message in done.stderr


def test_tail_shows_its_token(
    start: Callable[..., Program], run: Callable[..., subprocess.CompletedProcess[str]], config: Path, tmp_path: Path
) -> None:
    """A server with tokens lets in who has one, and turns away who has not; a unix socket is an address."""
    (tmp_path / "tokens").write_text("me:secret\n")
    address = f"unix:{tmp_path}/socket"
    serving = start("serve", "--listen", address, "--http", "", "--token-file", tmp_path / "tokens", WATCHER_STATE=str(tmp_path / "state"))
    serving.wait_for(lambda program: "server.listening" in program.stderr)
    assert run("tail", config, "--server", address).returncode == 1
    assert start("tail", config, "--server", address, WATCHER_TOKEN="secret").ready().stop() == 0  # noqa: S106 - not a secret
    assert run("healthcheck", "--server", address).returncode == 0


def test_status(
    start: Callable[..., Program],
    run: Callable[..., subprocess.CompletedProcess[str]],
    server: tuple[Program, str, str],
    config: Path,
    tmp_path: Path,
) -> None:
    """Status tells of the same watch by HTTP, and by its files beside the running server and after it, which it does not change."""
    serving, address, http = server
    state = tmp_path / "state"
    assert run("status", "--state", state).stdout == "no watches\n"
    tailing = start("tail", config, "--server", address).ready()
    (live,) = json.loads(run("status", "--server-http", f"http://{http}", "--json").stdout)["watches"]
    assert (live["name"], live["state"], live["mode"], live["entries"], live["streams"]) == ("orders", "watching", "notify", 1, 1)
    (beside,) = json.loads(run("status", "--state", state, "--json").stdout)["watches"]
    assert (beside["name"], beside["place"], beside["state"], beside["entries"]) == ("orders", live["place"], "offline", 1)
    assert tailing.stop() == serving.stop() == 0
    before = {path: path.stat().st_mtime_ns for path in state.iterdir()}
    table = run("status", WATCHER_HTTP=http, WATCHER_STATE=str(state))
    assert before == {path: path.stat().st_mtime_ns for path in state.iterdir()}
    assert table.stdout.split()[:3] == ["NAME", "PLACE", "STATE"]
    assert re.search(rf"^orders +{re.escape(live['place'])} +offline +- +1 ", table.stdout, re.MULTILINE)
    assert f"no server answers at http://{http}" in table.stderr


def test_status_of_the_server_of_this_environment(
    run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]
) -> None:
    """Without flags the server that the environment speaks of is asked, and status says so."""
    done = run("status", WATCHER_HTTP=server[2])
    assert (done.returncode, done.stdout) == (0, "no watches\n")
    assert f"from the server at http://{server[2]}" in done.stderr


def test_status_asks_a_stranger(run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]) -> None:
    """An address where something else answers is told as such."""
    done = run("status", "--server-http", f"http://{server[1]}")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_healthcheck(run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]) -> None:
    """Healthcheck is 0 while the server serves, by flag and in the server's own environment, and 1 when it has stopped."""
    serving, address, _ = server
    port = address.rpartition(":")[2]
    done = run("healthcheck", "--server", address)
    assert (done.returncode, done.stdout) == (0, f"{address} serves\n")
    assert run("healthcheck", WATCHER_LISTEN=f"0.0.0.0:{port}").returncode == 0
    assert serving.stop() == 0
    done = run("healthcheck", "--server", address)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert run("healthcheck", WATCHER_LISTEN=address).returncode == 1


def test_serve_reads_the_environment(start: Callable[..., Program], tmp_path: Path) -> None:
    """Flags come from the environment, lists by commas, and an empty WATCHER_HTTP turns HTTP off; the state has its default."""
    variables = {"WATCHER_LISTEN": "127.0.0.1:0", "WATCHER_HTTP": "", "WATCHER_ALLOW_DIRECTORY": f"{tmp_path}/a b,/c"}
    program = start("serve", **variables)
    program.wait_for(lambda program: "server.listening" in program.stderr)
    assert '"http": null' in program.stderr
    assert "server.open" not in program.stderr
    assert (tmp_path / ".local/state/watcher/lock").exists()
    assert program.stop() == 0


# check, help, version


def test_check(run: Callable[..., subprocess.CompletedProcess[str]], config: Path, place: Path, tmp_path: Path) -> None:
    """Check tells what matches, what is left out and how changes would be noticed, and writes nothing."""
    (place / "a.csv").write_text("12345")
    (place / "b.txt").write_text("1")
    before = sorted(tmp_path.rglob("*"))
    done = run("check", config)
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "the configuration is valid",
        "matching   2 (5 B)",
        "left out   1 by include and exclude",
        "first      a.csv",
        "           ready",
    ):
        assert line in done.stdout.splitlines()
    assert re.search(r"^mode       (notify|poll) \(.+\)$", done.stdout, re.MULTILINE)
    assert sorted(tmp_path.rglob("*")) == before
    survey = json.loads(run("check", "--json", "-", stdin=config.read_text()).stdout)
    assert (survey["matching"], survey["left_out"], survey["size"], survey["first"], survey["cost"]) == (2, 1, 5, ["a.csv", "ready"], None)


def test_check_bucket(run: Callable[..., subprocess.CompletedProcess[str]], moto_server: S3Server) -> None:
    """Check tells what polling a bucket costs, and whose price that is."""
    bucket = moto_server.make_bucket()
    moto_server.put_many(bucket, ["a.csv", "b.txt"])
    text = f"s3: {{bucket: {bucket}, endpoint_url: '{moto_server.endpoint_url}', poll_interval: 1m}}\ninclude: ['*.csv']\n"
    done = run("check", "-", stdin=text, **moto_server.environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert "requests   1 for one listing, every 60 s: 43,200 in 30 days" in done.stdout
    assert "cost       $0.22 in 30 days for 43,200 LIST requests" in done.stdout
    assert "AWS in us-east-1; other stores differ" in done.stdout


def test_check_refuses(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """A configuration that is not valid is told in one line, and a place that is not there too, unless it is to stay offline."""
    done = run("check", "-", stdin="directory: /x\nincluded: []\n")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert 'line 2, included: unknown key, did you mean "include"?' in done.stderr
    missing = f"directory: {tmp_path}/no\n"
    done = run("check", "-", stdin=missing)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert run("check", "--offline", "-", stdin=missing).returncode == 0


@pytest.mark.parametrize("verb", ["", "dev", "serve", "check", "tail", "status", "healthcheck"])
def test_help(run: Callable[..., subprocess.CompletedProcess[str]], verb: str) -> None:
    """The help of each verb has an example and fits 80 columns; that of the program tells the exit codes."""
    done = run(*filter(None, [verb]), "--help")
    assert done.returncode == 0
    assert f"  watcher {verb}" in done.stdout.partition("Examples:")[2] if verb else "Exit codes:" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_version(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The version is that of the package."""
    assert re.fullmatch(r"watcher \d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["healthcheck"]])
def test_starts_without_the_server(environment: dict[str, str], tmp_path: Path, arguments: list[str]) -> None:
    """Help and the health check, which probes run all the time, load nothing of the server."""
    command = [sys.executable, "-X", "importtime", "-m", "watcher", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=DEADLINE_S, check=False)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "watcher.cli" in loaded
    assert not loaded & {"watcher.server", "aiohttp", "structlog", "yaml", "boto3", "botocore", "pydantic", "rich"}
