"""The tables of tests that run on both backends name tests that exist."""

from support.portable_tests import DESELECTED, LINUX_ONLY, RUN
from support.project import PROJECT


def test_every_name_exists() -> None:
    for name in (*RUN, *LINUX_ONLY):
        assert (PROJECT / name).exists(), name
    for name in DESELECTED:
        file, _, test = name.partition("::")
        assert file.startswith(RUN), name
        assert f"def {test.partition('[')[0]}(" in (PROJECT / file).read_text(), name
