"""docs/cli.md names the verbs and flags of the command line, with their defaults."""

import re

from support.flags import all_flags
from support.project import PROJECT
from watcher.cli.app import VERBS

MANUAL = (PROJECT / "docs/cli.md").read_text(encoding="utf-8")
VERB = re.compile(r"^\| `watcher (\w+)[^|]*` \|", re.MULTILINE)
FLAG = re.compile(r"^\| ((?:`-[\w-]+`(?:, )?)+) \| (?:`(.+)`)? ?\| .+ \|$", re.MULTILINE)


def test_every_verb() -> None:
    assert VERB.findall(MANUAL) == list(VERBS)


def test_every_flag_of_serve() -> None:
    documented = {
        name: default
        for names, default in FLAG.findall(MANUAL)
        for name in re.findall(r"`(.+?)`", names)
    }
    assert documented == {
        flag.names.partition(",")[0]: flag.default for flag in all_flags() if flag.verb == "serve"
    }


def test_flags_elsewhere_exist() -> None:
    known = {name for flag in all_flags() for name in re.findall(r"--[a-z-]+", flag.names)}
    assert set(re.findall(r"`(--[a-z-]+)", MANUAL)) <= known
