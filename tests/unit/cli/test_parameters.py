"""Values of flags and arguments: converted, and refused, as typer does it by itself."""

from typing import Any

import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from watcher.cli.app import VERBS, load

TEXTS = ("", "text", "two words", "a\nb", "\udcff", "/nowhere/file", "/", "10s", "127.0.0.1:1")
NUMBERS = ("0", "1", "007", "-1", " 7", "1_000", "1.0", "0x1", "\N{ARABIC-INDIC DIGIT THREE}")
CHOICES = ("json", "JSON", "notify", "Notify", "flat", "report", "true")
PARAMETERS = [(verb, param.name) for verb in VERBS for param in load(verb).params]


def outcome(param: Any, kind: type, ctx: typer.Context, value: object) -> object:  # noqa: ANN401 - typer's
    """Return what a class makes of a value, or its complaint."""
    try:
        made = kind.process_value(param, ctx, value)  # type: ignore[attr-defined] # one of typer's
    except typer.BadParameter as error:
        return str(error)
    return made, type(made)


@pytest.mark.parametrize(("verb", "name"), PARAMETERS)
def test_conversion_is_that_of_typer(verb: str, name: str) -> None:
    """For the default, and for right and wrong values."""
    command = load(verb)
    assert isinstance(command, TyperCommand)
    ctx: Any = command.make_context(verb, [], resilient_parsing=True)
    (param,) = [each for each in command.get_params(ctx) if each.name == name]
    original = TyperArgument if isinstance(param, TyperArgument) else TyperOption
    assert type(param) is not original
    is_many = param.multiple or param.nargs == -1
    values = [*TEXTS, *NUMBERS, *CHOICES]
    given: list[object] = [[], values[:2], values] if is_many else list(values)
    for value in [param.get_default(ctx), *given]:
        assert outcome(param, type(param), ctx, value) == outcome(param, original, ctx, value)
