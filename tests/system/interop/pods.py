"""Runs a program as in a container: its root has the program, its files and its secrets alone.

Argo Events has fixed paths, ``/argo-events/secrets`` among them, and keeps the state of its leader
election in ``/tmp``. ``.ci/interop`` gives the tests a network of their own, since the ports of its
metrics are fixed as well.
"""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from support.client import DEADLINE_S, Event

PROGRAMS = "ARGO_PROGRAMS"
"""Variable with the directory of the programs that ``.ci/interop`` builds."""

SECRETS = "/argo-events/secrets"
"""Directory of a pod's secrets: ``<name>/<key>``."""

SECRET_NAME, SECRET_KEY = "watcher-token", "token"
TOKEN, TOKENS = "s3cret", "orders:s3cret"
"""A token, and the line of the server's token file."""


class Pod:
    """One running program.

    Args:
        name: Name of the program.
        arguments: Its arguments; those that are existing files are mounted at the same path.
        directory: Gets the log.
        environment: All of its variables.
        secrets: A directory of secrets, each a directory of keys; None for none.

    Attributes:
        lines: The lines of its standard output.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        secrets: Path | None = None,
    ) -> None:
        self.lines: list[bytes] = []
        self._news = threading.Condition()
        self._log_file = directory / f"{name}.log"
        command = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv"]
        command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - its own
        command += ["--ro-bind", str(program(name)), f"/bin/{name}"]
        for argument in filter(os.path.exists, arguments):
            command += ["--ro-bind", argument, argument]
        if secrets is not None:
            command += ["--ro-bind", str(secrets), SECRETS]
        for variable, value in (environment or {}).items():
            command += ["--setenv", variable, value]
        with self._log_file.open("ab") as log:
            command += ["--", f"/bin/{name}", *arguments]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def log(self) -> str:
        """Its standard error."""
        return self._log_file.read_text()

    def wait_for(self, is_met: Callable[[list[bytes]], bool], what: str) -> None:
        """Wait until the lines satisfy a predicate."""
        with self._news:
            is_there = self._news.wait_for(
                lambda: is_met(self.lines) or self.process.poll() is not None, DEADLINE_S
            )
        seen = f"{len(self.lines)} lines, last {self.lines[-3:]}; log: {self.log[-3000:]}"
        assert is_there, f"waited {DEADLINE_S} s until {what}; {seen}"
        assert is_met(self.lines), f"it ended ({self.process.poll()}) before {what}; {seen}"

    def wait_text(self, text: str) -> None:
        """Wait for a line with this text."""
        wanted = text.encode()
        self.wait_for(lambda lines: any(wanted in line for line in reversed(lines)), repr(text))

    def kill(self) -> None:
        """Kill it, and wait until nothing more can come."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()


class Listener(Pod):
    """The client of one generic event source, and what it dispatches, without the event bus.

    Args:
        event_source: The EventSource.
        event: Key below ``spec.generic``.
        directory: Gets the log and the object.
        secrets: See ``Pod``.
    """

    def __init__(
        self, event_source: Event, event: str, directory: Path, secrets: Path | None = None
    ) -> None:
        super().__init__(
            "argo",
            "listen",
            write_object(directory, event_source),
            event,
            directory=directory,
            secrets=secrets,
        )

    def bodies(self) -> list[Any]:
        """Return the dispatched bodies, in order."""
        return [json.loads(line)["body"] for line in list(self.lines)]

    def wait_count(self, count: int) -> list[Any]:
        """Wait for a number of bodies, and return all."""
        self.wait_for(lambda lines: len(lines) >= count, f"{count} bodies")
        return self.bodies()

    def wait_path(self, path: str, kind: str = "created") -> list[Any]:
        """Wait for a flat event of a type at a path, and return all bodies."""

        def is_it(line: bytes) -> bool:
            body = json.loads(line)["body"]
            return (body["type"], body["path"]) == (kind, path)

        self.wait_for(lambda lines: any(is_it(line) for line in reversed(lines)), f"{kind} {path}")
        return self.bodies()


def write_object(directory: Path, value: Event) -> str:
    """Write an object as JSON, under the name of its kind, and return the path."""
    path = directory / f"{value.get('kind', 'Bus').lower()}.json"
    path.write_text(json.dumps(value))
    return str(path)


def event_source(name: str, **events: Event) -> Event:
    """Return an EventSource.

    Args:
        name: Its name.
        events: The keys below ``spec.generic``, with ``url``, ``config`` (text, or a mapping) and
            other fields.
    """

    def complete(event: Event) -> Event:
        config = event["config"]
        text = config if isinstance(config, str) else json.dumps(config)
        return {"insecure": True, "jsonBody": True} | event | {"config": text}

    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "EventSource",
        "metadata": {"name": name, "namespace": "argo-events"},
        "spec": {"generic": {key: complete(event) for key, event in events.items()}},
    }


def auth() -> Event:
    """Return the fields of an event source that name the secret."""
    return {"authSecret": {"name": SECRET_NAME, "key": SECRET_KEY}}


def secret(directory: Path, token: str) -> Path:
    """Write the secret as a kubelet mounts it, and return the directory of all secrets."""
    mounted = directory / "secrets" / SECRET_NAME
    mounted.mkdir(parents=True)
    (mounted / SECRET_KEY).write_text(token)
    return mounted.parent


def program(name: str) -> Path:
    """Return the path of a file beside the programs."""
    assert PROGRAMS in os.environ, "run these tests with make interop"
    return Path(os.environ[PROGRAMS], name)
