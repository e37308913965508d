"""Fixtures that all test directories share, and the profile of hypothesis."""

from hypothesis import settings

from support.examples import IS_SEARCH
from support.logs import install_capture

pytest_plugins = [
    "support.fixtures",
    "support.neighbours",
    "support.s3.real_servers",
    "support.s3.ceph",
    "support.postgres",
    "support.samples",
    "support.trees",
    "support.wiring",
]

# The same examples each time, however slow the machine is; `make deep` searches for others.
settings.register_profile("watcher", deadline=None, derandomize=not IS_SEARCH)
settings.load_profile("watcher")

# Before any logger is made: each keeps the processors that it was made with.
install_capture()
