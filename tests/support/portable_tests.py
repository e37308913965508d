"""Which tests run on both backends, and which cannot: ``make portable`` runs what this prints.

``make test`` has on both: what opens files (``each_kind_of_files``), the hints of each observer,
and the verbs in processes without what only Linux has (``tests/e2e/cli/test_portable.py``).
"""

RUN = (
    "tests/scenarios",
    "tests/e2e/cli",
    "tests/e2e/test_exactness.py",
    "tests/e2e/test_groups.py",
    "tests/e2e/test_places.py",
    "tests/e2e/test_restart.py",
    "tests/e2e/test_start.py",
    "tests/e2e/test_streams.py",
    "tests/system/portable",
)
"""Directories and files of tests whose servers then run as on another system."""

LINUX_ONLY = {
    "tests/component/filesystem/linux": "openat2, the mount table, leases and ids of volumes",
    "tests/component/sources/directory/linux": "the descriptor of inotify and its watches",
    "tests/component/sources/directory/test_completeness.py": "closes that the kernel notifies, "
    "leases, and types of file systems; the looks that decide elsewhere are its polled cases",
    "tests/component/sources/directory/test_contents.py": "waits for the kernel's own events; what "
    "it reads is opened as in test_tree.py, which runs on both",
    "tests/component/sources/directory/test_parts.py": "mounts below a directory",
    "tests/component/sources/directory/test_source.py": "waits for the kernel's own events; "
    "portable/test_notifications.py has hints of each observer",
    "tests/component/watch/test_volumes.py": "mounts below a directory, and ids of volumes",
    "tests/system/volumes": "mounts, made as root",
}
"""Tests of what the portable backend has not, or has otherwise, and what that is."""

_SCENARIO = "tests/scenarios/test_scenarios.py::test_scenario"

_DEV = "tests/e2e/cli/test_dev.py::test_dev"

DESELECTED = {
    f"{_SCENARIO}[chmod-notify]": "a change of mode is told from one of content by a notification",
    f"{_SCENARIO}[exchange-directories-notified-notify]": "inotify notifies both renames in order",
    f"{_DEV}_prints_json_lines": "an empty file counts at the start; elsewhere it rests for 5 s",
    f"{_DEV}_ends_by_signal": "the same",
    f"{_DEV}_ends_with_its_reader": "the same",
}
"""Tests of ``RUN`` that prove something of Linux, and what that is."""

if __name__ == "__main__":
    print(*RUN, *(f"--deselect={name}" for name in DESELECTED))
