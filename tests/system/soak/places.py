"""Places that random operations change: a directory, and a bucket. Imports no watcher."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Protocol

from support.replaying import read_files

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from support.replaying import Files
    from support.s3.real_servers import S3Server

DIRECTORIES = 6
NAMES = 12
"""So many names a directory may hold: few enough that files are overwritten, and come again after they were deleted."""

MOST_BYTES = 3000

ATTEMPTS = 3
"""A store that has just started, or is slow, may fail to answer once."""

WEIGHTS = {"write": 8, "append": 4, "rename": 4, "delete": 3, "move directory": 1}


class Place(Protocol):
    """What can be changed at random, by one thread at a time."""

    def operate(self, chance: Random) -> str:
        """Do one thing, and return what kind of thing it was."""

    def contents(self) -> Files:
        """Return the sizes of what is there by path."""

    def put(self, path: str) -> None:
        """Write one byte."""

    def close(self) -> None:
        """Let go of what it holds; what is there stays."""


class Directory:
    """A directory of files in directories, which also move, into each other too.

    Args:
        root: Where; it is made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count()
        for number in range(DIRECTORIES):
            (root / f"d{number}").mkdir(parents=True)

    def operate(self, chance: Random) -> str:
        """Do one thing to a file or a directory, as far as there is one."""
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
        """Return the sizes of the files by path."""
        return read_files(self._root)

    def put(self, path: str) -> None:
        """Write a file of one byte."""
        (self._root / path).write_bytes(b"1")

    def close(self) -> None:
        """Do nothing."""


class Bucket:
    """A bucket of objects.

    Args:
        store: Where; the bucket is made.
    """

    def __init__(self, store: S3Server) -> None:
        self.name = store.make_bucket()
        self._client = replace(store, attempts=ATTEMPTS).client()

    def operate(self, chance: Random) -> str:
        """Do one thing to an object, whether it is there or not.

        Raises:
            ClientError: The store refuses, as it may do while it starts.
            BotoCoreError: The store is not there; who knows what it has done.
        """
        (kind,) = chance.choices(["write", "delete"], [2, 1])
        key = f"d{chance.randrange(DIRECTORIES)}/{chance.randrange(NAMES)}"
        data = b"x" * chance.randrange(1, MOST_BYTES)
        if kind == "write":
            self._client.put_object(Bucket=self.name, Key=key, Body=data)
        else:
            self._client.delete_object(Bucket=self.name, Key=key)
        return kind

    def contents(self) -> Files:
        """Return the sizes of the objects by key.

        Raises:
            ClientError: The store refuses.
            BotoCoreError: The store is not there.
        """
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def put(self, path: str) -> None:
        """Write an object of one byte.

        Raises:
            ClientError: The store refuses.
            BotoCoreError: The store is not there.
        """
        self._client.put_object(Bucket=self.name, Key=path, Body=b"1")

    def close(self) -> None:
        """Disconnect."""
        self._client.close()
