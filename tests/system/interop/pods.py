"""Runs a program as in a container: its root has the program, its files and its secrets alone.

Argo Events has fixed paths, ``/argo-events/secrets`` among them, and keeps the state of its leader
election in ``/tmp``. ``.ci/interop`` gives the tests a network of their own, since the ports of its
metrics are fixed as well.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.client import Event
from support.program import Program

PROGRAMS = "ARGO_PROGRAMS"
"""Variable with the directory of the programs that ``.ci/interop`` builds."""

SECRETS = "/argo-events/secrets"
"""Directory of a pod's secrets: ``<name>/<key>``."""

SECRET_NAME, SECRET_KEY = "watcher-token", "token"
TOKEN, TOKENS = "s3cret", "orders:s3cret"
"""A token, and the line of the server's token file."""


class Pod(Program):
    """One running program.

    Arguments that are existing files are mounted at the same path. ``secrets`` is a directory of
    secrets, each a directory of keys. A launcher is a command that executes the command after it,
    as in another network.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        secrets: Path | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        command = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv"]
        command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - its own
        command += ["--ro-bind", str(program(name)), f"/bin/{name}"]
        for argument in filter(os.path.exists, arguments):
            command += ["--ro-bind", argument, argument]
        if secrets is not None:
            command += ["--ro-bind", str(secrets), SECRETS]
        for variable, value in (environment or {}).items():
            command += ["--setenv", variable, value]
        command += ["--", f"/bin/{name}", *arguments]
        super().__init__(command, dict(os.environ), Path("/"), launcher)


class Listener(Pod):
    """The client of one generic event source, and what it dispatches, without the event bus."""

    def __init__(
        self,
        event_source: Event,
        event: str,
        directory: Path,
        secrets: Path | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        described = write_object(directory, event_source)
        super().__init__("argo", "listen", described, event, secrets=secrets, launcher=launcher)

    def bodies(self) -> list[Any]:
        """Return the dispatched bodies, in order."""
        return [json.loads(line)["body"] for line in list(self.stdout)]

    def wait_count(self, count: int) -> list[Any]:
        """Wait for a number of bodies, and return all."""
        self.wait_for(lambda _: len(self.stdout) >= count)
        return self.bodies()

    def wait_path(self, path: str, kind: str = "created") -> list[Any]:
        """Wait for a flat event of a type at a path, and return all bodies."""
        self.wait_for(
            lambda _: (kind, path) in [(body["type"], body["path"]) for body in self.bodies()]
        )
        return self.bodies()


def write_object(directory: Path, value: Event) -> str:
    """Write an object as JSON, under the name of its kind, and return the path."""
    path = directory / f"{value.get('kind', 'Bus').lower()}.json"
    path.write_text(json.dumps(value))
    return str(path)


def event_source(name: str, **events: Event) -> Event:
    """Return an EventSource of these events, whose ``config`` is text or a mapping."""

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
