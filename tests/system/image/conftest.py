"""Names the fixtures of the tests that run the image: those of the end-to-end tests, with servers in containers."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.fixtures import client, connect, contract, name, root, servers
from system.image.container import OPEN_MODE, ContainedServer, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.server import ServerProcess

__all__ = ["client", "connect", "contract", "name", "root"]


@pytest.fixture(scope="session")
def image() -> Image:
    """Return the image that ``.ci/image-test`` has built and mounted."""
    described = json.loads(Path(os.environ["IMAGE_DESCRIPTION"]).read_text(encoding="utf-8"))
    return Image(Path(os.environ["IMAGE_ROOT"]), described["Docker"]["config"])


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Let the image's user see into the test's directory."""
    tmp_path.chmod(OPEN_MODE)
    return tmp_path


@pytest.fixture(scope="session")
def make_server(
    image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., ServerProcess]:
    """Return what takes the place of ``ServerProcess``."""
    directories = tmp_path_factory.getbasetemp()
    directories.chmod(OPEN_MODE)
    return partial(ContainedServer, image, directories)


@pytest.fixture(scope="module")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, make_server: Callable[..., ServerProcess]
) -> Iterator[Callable[..., ServerProcess]]:
    """Return what starts a server of its own in a container for a test or a module."""
    with servers(tmp_path_factory, make_server) as start:
        yield start


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, make_server: Callable[..., ServerProcess]
) -> Iterator[ServerProcess]:
    """Start the server that tests share in a container."""
    with servers(tmp_path_factory, make_server) as start:
        yield start()
