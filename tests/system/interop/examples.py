"""Runs the manifests of ``examples/``: an EventSource and its Sensor, on a bus."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from support.client import Event
from support.project import PROJECT
from system.interop.bus import Bus, EventSourceService, Sensor
from system.interop.kubernetes import KubernetesApi

Run = Callable[..., Any]
"""Enters a context until the end of the test."""

NOTHING: Mapping[str, str] = MappingProxyType({})
SERVER = "watcher.argo-events.svc:8080"
"""Address of the server's gRPC port in the manifests."""


class Example:
    """An EventSource and its Sensor, run on a bus.

    Attributes:
        api: The Kubernetes API that the Sensor uses.
    """

    def __init__(
        self, name: str, bus: Bus, run: Run, directory: Path, api: KubernetesApi | None = None
    ) -> None:
        self.api: KubernetesApi = run(api or KubernetesApi())
        self._name = name
        self._bus = bus
        self._run = run
        self._directory = directory

    def sense(self, consumers: int, replaced: Mapping[str, str] = NOTHING) -> Sensor:
        """Start the Sensor and wait for its subscriptions; ``replaced`` are texts in its file."""
        described = self._read("sensor.yaml", replaced)
        sensor: Sensor = self._run(Sensor(described, self._bus, self.api.url, self._directory))
        self._bus.wait_consumers(consumers)
        return sensor

    def source(
        self, replaced: Mapping[str, str], secrets: Path | None = None
    ) -> EventSourceService:
        """Start the EventSource."""
        described = self._read("eventsource.yaml", replaced)
        service: EventSourceService = self._run(EventSourceService(described, self._bus, secrets))
        return service

    def _read(self, file: str, replaced: Mapping[str, str]) -> Event:
        """Return an object of the example, in which each replaced text must occur."""
        text = (PROJECT / "examples" / self._name / file).read_text()
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        value: Event = yaml.safe_load(text)
        # `kubectl apply --namespace argo-events`
        value["metadata"]["namespace"] = "argo-events"
        return value
