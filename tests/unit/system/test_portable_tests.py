"""The tables of what runs on both backends name each test of them once, and none that is gone."""

from fnmatch import fnmatch

import pytest

from support.portable_machine import MODULES, NoLinux
from support.portable_tests import (
    BOTH_AT_ONCE,
    LINUX_ALONE,
    PART,
    PORTABLE_ALONE,
    RUN,
    WATCH_NOTHING,
)
from support.project import PROJECT

CONCERNED = (
    "tests/component/filesystem",
    "tests/component/sources/directory",
    "tests/e2e",
    "tests/property",
    "tests/scenarios",
)
TABLES = (RUN, BOTH_AT_ONCE, PORTABLE_ALONE, LINUX_ALONE)


def test_every_name_exists() -> None:
    for table in (*TABLES, PART):
        for name in table:
            file, _, test = name.partition("::")
            assert (PROJECT / file).exists(), name
            if test:
                assert file.startswith(RUN), name
                assert f"def {test.partition('[')[0]}(" in (PROJECT / file).read_text(), name
    for name in PART:
        assert name.startswith(RUN), name


@pytest.mark.parametrize("directory", CONCERNED)
def test_every_test_is_in_a_table(directory: str) -> None:
    """A new file of tests is put into one of them."""
    for path in (PROJECT / directory).rglob("test_*.py"):
        name = str(path.relative_to(PROJECT))
        is_named = any(name.startswith(tuple(table)) for table in TABLES)
        assert is_named or any(fnmatch(name, pattern) for pattern in WATCH_NOTHING), name


@pytest.mark.parametrize("name", MODULES)
def test_the_portable_machine_has_no_module_for_linux(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="is for Linux"):
        NoLinux(has_inotify=True).find_spec(f"{name}.files", None)
