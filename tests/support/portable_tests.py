"""Which tests run on both backends, and which cannot, as ``make portable LIST=1`` prints it.

``make test`` and the other targets have the backend for Linux where nothing else is said here.
``make portable`` runs what this prints without an option, on the portable machine.
"""

import sys
from collections.abc import Iterable, Mapping

RUN = ("tests/scenarios", "tests/e2e", "tests/system/portable")
"""Directories of tests whose processes then run as on another system.

``tests/system/portable`` has the random histories of ``tests/property`` for the portable backend.
"""

_SCENARIO = "tests/scenarios/test_scenarios.py::test_scenario"

PART = (
    "tests/scenarios",
    "tests/e2e/cli/test_dev.py::test_dev_prints_json_lines",
    "tests/e2e/cli/test_dev.py::test_dev_filters",
    "tests/e2e/test_start.py",
)
"""What ``make portable PART=1`` runs, beside what ``make test`` and ``make e2e`` have of both."""

LEFT_OUT_OF_PART = ("checkout", "path-", "storm-", "tree-", "unpacked-", "written-")
"""Beginnings of the names of scenarios that take more time than all others."""

_COMPONENT = "tests/component/sources/directory"

BOTH_AT_ONCE = {
    f"{_COMPONENT}/test_entries.py": "with each kind of files",
    f"{_COMPONENT}/test_exact_names.py": "with each kind of files",
    f"{_COMPONENT}/test_projected_volumes.py": "with each kind of files",
    f"{_COMPONENT}/test_root.py": "with each kind of files",
    f"{_COMPONENT}/test_tree.py": "with each kind of files",
}
"""Tests of ``make test`` that run on both, and how."""

PORTABLE_ALONE = {
    "tests/component/filesystem/portable": "paths that are followed name by name",
    f"{_COMPONENT}/portable": "hints of watchdog's observers, and names without case",
    "tests/e2e/cli/test_portable.py": "each verb on the portable machine, with both observers",
    "tests/unit/sources/directory/portable": "exchanges among what an observer reports",
}
"""Tests of ``make test`` and ``make e2e`` for the portable backend, and what they have."""

_DASHBOARD = "tests/e2e/test_monitoring.py::test_dashboard_and_alerts_name_existing_metrics"

_RESTORED = "tests/e2e/test_restored.py::test_a_restored_backup"

LINUX_ALONE = {
    f"{_SCENARIO}[chmod-notify]": "a change of mode is told from one of content by a notification",
    f"{_DASHBOARD}[watcher-dashboard.json]": "metrics of the process (process_…), read from /proc",
    f"{_RESTORED}[stopped-directory]": "when a file was made, which a Mac keeps, but which is not "
    "asked for on Linux without statx(2)",
    f"{_RESTORED}[killed-directory]": "the same",
    "tests/component/filesystem/linux": "openat2, the mount table, leases and ids of volumes",
    "tests/component/filesystem/test_statx.py": "statx(2), which no other system has",
    f"{_COMPONENT}/linux": "the descriptor of inotify and its watches",
    f"{_COMPONENT}/test_completeness.py": "closes that the kernel notifies, leases, and types of "
    "file systems; the looks that decide elsewhere are its polled cases",
    f"{_COMPONENT}/test_contents.py": "waits for the kernel's own events; what it reads is opened "
    "as in test_tree.py, which runs on both",
    f"{_COMPONENT}/test_parts.py": "mounts below a directory",
    f"{_COMPONENT}/test_source.py": "waits for the kernel's own events; portable/test_notifications"
    ".py has hints of each observer",
    f"{_COMPONENT}/test_unanswered.py": "a file server that is away, behind files of Linux",
    "tests/component/watch/test_volumes.py": "mounts below a directory, and ids of volumes",
    "tests/property/test_directory_property.py": "waits for the kernel's own events, and loses "
    "them; tests/system/portable has its histories with those of observers",
    "tests/system/volumes": "mounts, made as root",
}
"""Tests of what the portable backend has not, or has otherwise, and what that is."""

WATCH_NOTHING = {
    "tests/component/filesystem/test_paths.py": "the same on any system",
    f"{_COMPONENT}/test_file_batches.py": "what is made of the files that a walk has found",
    "tests/property/test_*": "all others: rules over values, buckets and places in memory",
}
"""Tests beside these that watch no directory, so that the backend makes no difference."""


def _print_table(title: str, table: Mapping[str, str] | Iterable[str]) -> None:
    print(f"\n{title}:")
    for name in table:
        print(f"  {name}" + (f": {table[name]}" if isinstance(table, Mapping) else ""))


def main() -> None:
    """Print arguments of pytest, for all or with ``--part``; with ``--list`` the tables."""
    if "--list" not in sys.argv:
        is_part = "--part" in sys.argv
        left_out = [name for name in (*LINUX_ALONE, *PORTABLE_ALONE) if name.startswith(RUN)]
        if is_part:
            left_out += [f"{_SCENARIO}[{name}" for name in LEFT_OUT_OF_PART]
        print(*(PART if is_part else RUN), *(f"--deselect={name}" for name in left_out))
        return
    print('make portable ARGS="--collect-only -q" names each test that runs on both.')
    _print_table("On both backends, each in a run of its own", RUN)
    _print_table("On both backends at once, in make test", BOTH_AT_ONCE)
    _print_table("On the portable backend alone, in make test and make e2e", PORTABLE_ALONE)
    _print_table("On the backend for Linux alone", LINUX_ALONE)
    _print_table("On none, since they watch no directory", WATCH_NOTHING)


if __name__ == "__main__":
    main()
