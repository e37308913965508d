"""Which tests run on both backends, and which cannot: ``make portable`` runs what this prints.

A test that needs a mechanism of Linux proves that mechanism; the promise behind it is proved on the
portable backend by the tests that do run.
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
    "tests/property/test_directory_property.py",
)
"""Directories and files of tests, with all servers and sources on the portable backend."""

CANNOT: dict[str, str] = {}
"""Why tests, by the ends of their names, are not run: what they prove is not there."""

if __name__ == "__main__":
    print(*RUN, *(f"--deselect={name}" for name in CANNOT))
