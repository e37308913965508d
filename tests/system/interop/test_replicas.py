"""The client of Argo Events with two servers on one database, of which the owner is killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.client import Event
from support.config import config
from support.events import replay
from support.files import fill, read_files
from support.postgres import SHARED
from support.replicas import Balancer, Replicas
from system.interop.pods import Listener, event_source

FILES = 50
KILLS = 2


def test_the_owner_is_killed(
    run: Callable[..., Any], root: Path, name: str, tmp_path: Path
) -> None:
    """Behind a balancer that knows which server is ready, as a Service does, nothing is lost.

    An event comes twice at most with the same id, and then it is the same.
    """
    replicas: Replicas = run(Replicas(tmp_path, 2, SHARED.url(str(tmp_path))))
    owner = replicas.start()
    balancer: Balancer = run(Balancer(replicas))
    event = {"url": balancer.address, "config": config(root, existing="report")}
    client: Listener = run(Listener(event_source("files", **{name: event}), name, tmp_path))
    for number in range(KILLS):
        names = [f"{number}-{file}" for file in range(FILES)]
        fill(root, *names[: FILES // 2])
        client.wait_path(names[0])
        owner.kill()
        fill(root, *names[FILES // 2 :])
        (root / names[1]).unlink()
        (successor,) = replicas.others(owner)
        client.wait_path(names[-1])
        assert replicas.wait_owner() is successor
        owner.start()
        owner.wait_standing_by()
        owner = successor
    (root / "last").write_text("1")
    by_id: dict[str, Event] = {}
    for body in client.wait_path("last"):
        assert by_id.setdefault(body["id"], body) == body
    assert [body["seq"] for body in by_id.values()] == list(range(1, len(by_id) + 1))
    assert replay(by_id.values()) == read_files(root)
