"""What a server loads before it has a watch."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import sys
from watcher.clock import Clock
from watcher.server import Server
from watcher.settings import BackendChoice
from watcher.sources.factory import Sources, open_backend

sources = Sources(Clock(), open_backend(BackendChoice.LINUX))
assert not (sources.is_deaf or sources.descriptors)
sources.close()
names = {"botocore", "watchdog", "watcher.sources.directory.source", "watcher.sources.s3.source"}
sys.exit(" ".join(names & sys.modules.keys()) or None)
"""


def test_libraries_of_sources_are_loaded_with_the_first_watch() -> None:
    """Neither a server of buckets nor one of directories has what only the other uses."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, env=environment
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
