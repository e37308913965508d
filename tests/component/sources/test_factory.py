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
from watcher.web import metrics, status_page

sources = Sources(Clock(), open_backend(BackendChoice.LINUX))
assert not (sources.is_deaf or sources.descriptors)
sources.close()
names = {
    "botocore",
    "watchdog",
    "watcher.config.schema",
    "watcher.sources.directory.source",
    "watcher.sources.s3.source",
    "watcher.watch.watch",
    "yaml",
}
sys.exit(" ".join(names & sys.modules.keys()) or None)
"""


def test_what_watches_need_is_loaded_with_the_first_one() -> None:
    """Idle servers have none of it, and no server of buckets has what only directories need."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, env=environment
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
