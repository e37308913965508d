"""Runs the Workflows that a Sensor creates, one container after the other, with BusyBox.

It does what Argo Workflows does for the examples: the template of the entry point, then that of the
exit handler with its retries. Parameters are those of the Workflow. Nothing is mounted.
"""

import re
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

from support.client import DEADLINE_S, Event, wait_until
from system.interop.kubernetes import KubernetesApi

IMAGE = "busybox:"
"""Beginning of the image of all containers that are run."""

FIRST_PAUSE_S = 0.25
"""Seconds after the first try of a container, in place of the manifest's 5; they grow as there."""


class WorkflowRunner(KubernetesApi):
    """Creates Workflows and runs each in a thread, which ends only when the test allows it.

    A Workflow is active from its creation until its exit handler has succeeded; while the handler
    runs it does not count, since a server that has got the acknowledgement may send the next event
    before the answer arrives here.

    Args:
        hosts: Addresses in the manifests' containers, and those that they have in the test.

    Attributes:
        peak: The greatest number of Workflows that were active at once.
        failures: The number of containers of exit handlers that have failed.
        finished: Names of the Workflows that have ended, in order.
    """

    def __init__(self, hosts: Mapping[str, str]) -> None:
        super().__init__()
        self.peak = 0
        self.failures = 0
        self.finished: list[str] = []
        self._hosts = hosts
        self._active: set[str] = set()
        self._state = threading.Lock()
        self._allowed = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.allow(len(self._threads))
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def allow(self, count: int) -> None:
        """Let a number of Workflows end."""
        self._allowed.release(count)

    def wait_finished(self, count: int) -> None:
        """Wait until a number of Workflows has ended."""
        wait_until(lambda: len(self.finished) >= count, f"{count} Workflows end: {self.finished}")

    def wait_failures(self, count: int) -> None:
        """Wait until a number of containers of exit handlers has failed."""
        wait_until(lambda: self.failures >= count, f"{count} exit handlers fail")

    def created(self, resource: Event) -> None:
        name = resource["metadata"]["name"]
        self._set_active(name, is_active=True)
        thread = threading.Thread(target=self._run, args=(name, resource["spec"]))
        self._threads.append(thread)
        thread.start()

    def _set_active(self, name: str, *, is_active: bool) -> None:
        with self._state:
            (self._active.add if is_active else self._active.discard)(name)
            self.peak = max(self.peak, len(self._active))

    def _run(self, name: str, spec: Event) -> None:
        templates = {template["name"]: template for template in spec["templates"]}
        parameters = {
            f"{{{{workflow.parameters.{one['name']}}}}}": one["value"]
            for one in spec["arguments"]["parameters"]
        }
        self._allowed.acquire()
        self._execute(templates[spec["entrypoint"]], parameters)
        handler = templates[spec["onExit"]]
        strategy, pause_s = handler["retryStrategy"], FIRST_PAUSE_S
        for _ in range(1 + int(strategy["limit"])):
            self._set_active(name, is_active=False)
            if self._execute(handler, parameters):
                with self._state:
                    self.finished.append(name)
                return
            self._set_active(name, is_active=True)
            with self._state:
                self.failures += 1
            time.sleep(pause_s)
            pause_s *= float(strategy["backoff"]["factor"])

    def _execute(self, template: Event, parameters: Mapping[str, str]) -> bool:
        """Run the container of a template; return whether it has succeeded."""
        container = template["container"]
        assert container["image"].startswith(IMAGE)
        command = [
            _replace(text, {**self._hosts, **parameters})
            for text in [*container["command"], *container.get("args", [])]
        ]
        done = subprocess.run(["busybox", *command], check=False, capture_output=True)
        return done.returncode == 0


def _replace(text: str, values: Mapping[str, Any]) -> str:
    """Return a text in which all values are replaced, none of which may stay a variable."""
    for old, new in values.items():
        text = text.replace(old, new)
    assert not re.search(r"\{\{", text), text
    return text
