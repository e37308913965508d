"""An event bus as Argo Events uses it, NATS with JetStream and TLS, and its readers and writers."""

import base64
import fcntl
import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from support.certificates import Authority
from support.client import DEADLINE_S, Event, wait_until
from system.interop.pods import Pod, program, write_object

STREAM = "default"
"""Name of Argo Events' JetStream stream."""

CONSUMERS = "jsz?accounts=true&streams=true&consumers=true&config=true"
"""What the monitoring port of a bus is asked for its subscriptions."""


class Bus:
    """A NATS server on free ports of 127.0.0.1; use it as a context manager."""

    def __init__(self, directory: Path) -> None:
        pair = Authority(directory, "bus-authority").issue("bus")
        server = Path(sysconfig.get_path("scripts"), "nats-server")
        options = ["--addr=127.0.0.1", "--port=-1", "--http_port=-1", "--jetstream", "--tls"]
        options += [f"--ports_file_dir={directory}", f"--store_dir={directory / 'store'}"]
        options += [f"--tlscert={pair.certificate}", f"--tlskey={pair.key}"]
        with (directory / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(
                [server, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ports_file = directory / f"nats-server_{self._process.pid}.ports"
        # The file is there before its content.
        wait_until(
            lambda: ports_file.exists() and ports_file.read_text().rstrip().endswith("}"),
            "the event bus listens",
        )
        ports = json.loads(ports_file.read_text())
        self.url = str(ports["nats"][0])
        self._monitoring = str(ports["monitoring"][0])
        self.config: Event = {
            "jetstream": {"url": self.url, "streamConfig": "replicas: 1\nduplicates: 300s\n"}
        }

    def wait_consumers(self, count: int) -> None:
        """Wait for a number of subscriptions of Sensors; they get what is published later."""
        wait_until(lambda: len(self._consumers()) >= count, f"the bus has {count} consumers")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _consumers(self) -> list[Event]:
        with urlopen(f"{self._monitoring}/{CONSUMERS}", timeout=DEADLINE_S) as answer:
            return durable_consumers(json.load(answer))


def durable_consumers(answer: Event) -> list[Event]:
    """Return the subscriptions of Sensors in the answer of a bus; others have no durable name."""
    streams = [
        stream
        for account in answer.get("account_details") or []
        for stream in account.get("stream_detail") or []
        if stream["name"] == STREAM
    ]
    return [
        consumer
        for stream in streams
        for consumer in stream.get("consumer_detail") or []
        if consumer["config"].get("durable_name")
    ]


class BusReader(Pod):
    """Reads a bus from its first message on."""

    def __init__(self, bus: Bus) -> None:
        super().__init__("argo", "bus", bus.url)

    def envelopes(self) -> list[tuple[str, Event]]:
        """Return subjects and CloudEvents in the order of the bus."""
        return [
            (message["subject"], message["event"]) for message in map(json.loads, list(self.stdout))
        ]

    def bodies(self, subject: str) -> list[Any]:
        """Return the bodies that were published on one subject."""
        return [
            json.loads(base64.b64decode(event["data_base64"]))["body"]
            for one, event in self.envelopes()
            if one == subject
        ]

    def wait_count(self, count: int, subject: str) -> list[Any]:
        """Wait for a number of bodies on a subject, and return all."""
        self.wait_for(lambda _: len(self.bodies(subject)) >= count)
        return self.bodies(subject)


class EventSourceService(Pod):
    """The pod of an EventSource. One runs at a time, since its metrics have a fixed port."""

    def __init__(self, event_source: Event, bus: Bus, secrets: Path | None = None) -> None:
        environment = {
            "EVENTSOURCE_OBJECT": _encoded(event_source),
            "EVENTBUS_CONFIG": _encoded(bus.config),
            "EVENTBUS_SUBJECT": "eventbus-argo-events",
            "POD_NAME": event_source["metadata"]["name"],
        }
        self._turn = program("turn").open("ab")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        command = ("argo-events", "eventsource-service")
        super().__init__(*command, environment=environment, secrets=secrets)

    def close(self) -> None:
        """Kill it, and let another run."""
        super().close()
        self._turn.close()


class Sensor(Pod):
    """The pod of a Sensor, without its metrics; ``directory`` gets its objects."""

    def __init__(self, sensor: Event, bus: Bus, api: str, directory: Path) -> None:
        objects = write_object(directory, sensor), write_object(directory, bus.config)
        super().__init__("argo", "sensor", *objects, api)


def _encoded(value: Event) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()
