"""Fixtures of the tests that run the image: those of the end-to-end tests, in containers."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from support.fixtures import FORGETFUL, StartServer, servers
from support.server import ServerProcess
from system.image.container import OPEN_MODE, ContainedServer, Image


@pytest.fixture(scope="session")
def image() -> Image:
    """Return the image that ``.ci/image-test`` has built and mounted."""
    described = json.loads(Path(os.environ["IMAGE_DESCRIPTION"]).read_text(encoding="utf-8"))
    return Image(Path(os.environ["IMAGE_ROOT"]), described["Docker"]["config"])


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Let the image's user read the test's directory."""
    tmp_path.chmod(OPEN_MODE)
    return tmp_path


@pytest.fixture(scope="session")
def make_server(image: Image, tmp_path_factory: pytest.TempPathFactory) -> StartServer:
    """Return what ``servers`` uses in place of ``ServerProcess``."""
    directories = tmp_path_factory.getbasetemp()
    directories.chmod(OPEN_MODE)
    return partial(ContainedServer, image, directories)


@pytest.fixture(scope="module")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, make_server: StartServer
) -> Iterator[StartServer]:
    with servers(tmp_path_factory, make_server) as start:
        yield start


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, make_server: StartServer
) -> Iterator[ServerProcess]:
    with servers(tmp_path_factory, make_server) as start:
        yield start(*FORGETFUL)
