"""The verbs, and the language of their help."""

import re

import pytest
from typer.testing import CliRunner

from support.flags import Flag, all_flags
from watcher.cli.app import VERBS, app, load

FLAGS = list(all_flags())
VAGUE = re.compile(
    r"\b(likewise|so (many|much|long)|see (above|below|there)|as above|of ours|who(ever|se)?|"
    r"its key|told?)\b"
)
"""Words that need the line before, or a subject that the reader has to guess."""


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_begins_with_its_line_in_the_list(verb: str) -> None:
    text = load(verb).help
    assert text is not None
    assert text.splitlines()[0] == VERBS[verb]
    assert not VAGUE.search(text)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help(verb: str) -> None:
    """Fits 80 columns and cuts no line; a verb has an example, the program the exit codes."""
    asked, wide = [*filter(None, [verb]), "--help"], {"COLUMNS": "200"}
    done = CliRunner(env=wide).invoke(app, asked, prog_name="watcher")
    assert done.exit_code == 0
    examples = done.stdout.partition("Examples:")[2]
    assert f"  watcher {verb}" in examples if verb else "Exit codes:" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert not re.search(r"\.\.\.$", done.stdout.partition("\n")[2], re.MULTILINE)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: f"{flag.verb} {flag.names}")
def test_help_of_a_flag_can_be_read_alone(flag: Flag) -> None:
    """A capital letter, a full stop, no vague words, and the unit of a number."""
    assert re.fullmatch(r"[A-Z].+[^.]\.", flag.help)
    assert not VAGUE.search(flag.help)
    assert not flag.default.isdecimal() or re.search(r"number of|in bytes|events", flag.help)


def test_every_flag_is_read() -> None:
    assert {flag.verb for flag in FLAGS} == set(VERBS)
    assert len(FLAGS) == len(set(FLAGS))
    (idle,) = [flag for flag in FLAGS if flag.names == "--idle-timeout"]
    assert idle[:3] == ("serve", "--idle-timeout", "TIME")
    assert idle[4:] == ("10m", "WATCHER_IDLE_TIMEOUT")
    names = {flag.names for flag in FLAGS}
    assert names > {"PLACE", "-v, --verbose", "--reconnect / --no-reconnect", "--json"}


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: f"{flag.verb} {flag.names}")
def test_variable_is_named_after_the_flag(flag: Flag) -> None:
    name = re.findall(r"--([a-z-]+)", flag.names.partition(" / ")[0])
    assert flag.variable in {"", *(f"WATCHER_{part.replace('-', '_').upper()}" for part in name)}
