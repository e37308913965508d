"""Directories and buckets that random operations change, and a store that restarts.

Imports no watcher.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Protocol, Self

from botocore.exceptions import BotoCoreError, ClientError

from support.files import Files, read_files
from support.ports import free_ports
from support.s3.real_servers import SEAWEEDFS_PORTS, S3Server, run_seaweedfs

DIRECTORIES = 6
NAMES = 12
"""Names in a directory; so few that files are overwritten, and created again once deleted."""

MOST_BYTES = 3000

ATTEMPTS = 3
"""Attempts at a request; a store that has just started, or is slow, may fail to answer."""

WEIGHTS = {"write": 8, "append": 4, "rename": 4, "delete": 3, "move directory": 1}


class Place(Protocol):
    """A place that one thread at a time changes at random."""

    def operate(self, chance: Random) -> str:
        """Do one operation, and return its kind."""

    def contents(self) -> Files:
        """Return sizes by path."""

    def put(self, path: str) -> None:
        """Write one byte."""

    def close(self) -> None:
        """Close connections; the content stays."""


class Directory:
    """A tree of files, whose directories are moved as well."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count()
        for number in range(DIRECTORIES):
            (root / f"d{number}").mkdir(parents=True)

    def operate(self, chance: Random) -> str:
        (kind,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        found = sorted(self._root.rglob("*"))
        directories = [path for path in found if path.is_dir()]
        target = chance.choice(directories) / f"{chance.randrange(NAMES)}"
        if kind == "move directory":
            moved = chance.choice(directories)
            parent = chance.choice(
                [self._root, *(path for path in directories if not path.is_relative_to(moved))]
            )
            moved.rename(parent / f"m{next(self._numbers)}")
            return kind
        file = chance.choice([path for path in found if path.is_file()] or [target])
        data = b"x" * chance.randrange(1, MOST_BYTES)
        if kind == "append":
            with file.open("ab") as appended:
                appended.write(data)
        elif kind == "write" or not file.exists():
            target.write_bytes(data)
        elif kind == "rename":
            file.rename(target)
        else:
            file.unlink()
        return kind

    def contents(self) -> Files:
        return read_files(self._root)

    def put(self, path: str) -> None:
        (self._root / path).write_bytes(b"1")

    def close(self) -> None:
        pass


class Bucket:
    """A new bucket; its operations raise ClientError and BotoCoreError while a store restarts."""

    def __init__(self, store: S3Server) -> None:
        self.name = store.make_bucket()
        self._client = replace(store, attempts=ATTEMPTS).client()

    def operate(self, chance: Random) -> str:
        (kind,) = chance.choices(["write", "delete"], [2, 1])
        key = f"d{chance.randrange(DIRECTORIES)}/{chance.randrange(NAMES)}"
        data = b"x" * chance.randrange(1, MOST_BYTES)
        if kind == "write":
            self._client.put_object(Bucket=self.name, Key=key, Body=data)
        else:
            self._client.delete_object(Bucket=self.name, Key=key)
        return kind

    def contents(self) -> Files:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def put(self, path: str) -> None:
        self._client.put_object(Bucket=self.name, Key=path, Body=b"1")

    def close(self) -> None:
        self._client.close()


class RestartingStore:
    """SeaweedFS that keeps its ports and its data; use it as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.restarts = 0
        self._directory = directory
        self._ports = free_ports(len(SEAWEEDFS_PORTS))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        running = run_seaweedfs(self._directory, self._ports)
        self.server, self._process = self._stack.enter_context(running)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Kill it, and start it again."""
        self._process.kill()
        self.__exit__()
        self.__enter__()
        self.restarts += 1


@contextmanager
def operating(places: Sequence[Place], chance: Random, pause_s: float) -> Iterator[Counter[str]]:
    """Change one of the places after each pause while the block runs; count operations by kind.

    The kind is ``failed`` where a store did not answer.
    """
    operations: Counter[str] = Counter()
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(pause_s):
            try:
                operations[chance.choice(places).operate(chance)] += 1
            except (BotoCoreError, ClientError):
                operations["failed"] += 1

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield operations
        finally:
            is_over.set()
        running.result()
