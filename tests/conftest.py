"""Names the fixtures that all test directories share, and says how hypothesis is run."""

from hypothesis import settings

from support.examples import IS_SEARCH

pytest_plugins = ["support.s3.real_servers", "support.wiring"]

# The same examples each time, however slow the machine is: who looks for others (make deep) has the time to look at what they find.
settings.register_profile("watcher", deadline=None, derandomize=not IS_SEARCH)
settings.load_profile("watcher")
