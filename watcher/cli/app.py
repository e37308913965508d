"""The application: its verbs, the import of the verb that is run, its version and exit codes."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from watcher import __version__
from watcher.cli.messages import complain
from watcher.errors import WatcherError

if TYPE_CHECKING:
    from collections.abc import Callable

VERBS = {
    "dev": "Watch a directory or a bucket and print its changes.",
    "serve": "Run the server.",
    "check": "Validate a configuration and try it without a server.",
    "tail": "Connect to a server as Argo Events does and print its events.",
    "replay": "Have delivered events sent again, with the same ids.",
    "status": "Show the watches of a running server or of its state.",
    "release": "Release held deletions, or a mount that is gone for good.",
    "renew": "Give new ids to the events of restored state.",
    "migrate": "Prepare a database for state, or move state between places.",
    "healthcheck": "Exit with 0 if a server is serving or stands by, else with 1.",
}
"""The verbs and the first lines of their help; each is a function in the module of its name."""

_EPILOG = """\b
Exit codes: 0 success, or stopped by Ctrl-C; 1 failure, reported in one line;
2 wrong usage; 130 interrupted before the work began.

\b
Flags can be set in the environment: --token-file is WATCHER_TOKEN_FILE.
Values of a repeatable flag are separated by commas there."""

_SETTINGS: dict[str, Any] = {
    "add_completion": False,
    # Plain text starts four times faster than boxes and colours.
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}


class _Option(TyperOption):
    """An option that reads plain values itself: typer loads pydantic for them (8 MiB, 70 ms).

    Other values, and those that are wrong, are left to typer.
    """

    def process_value(self, ctx: Any, value: Any) -> Any:  # noqa: ANN401 - typer's own types are private
        """Return a value as the type of its parameter."""
        plain = self._read(value)
        if plain is None and (value is not None or self.required):
            return super().process_value(ctx, value)
        return self.callback(ctx, self, plain) if self.callback else plain

    def _read(self, value: Any) -> Any:  # noqa: ANN401 - any type of a parameter
        """Return a value as the type of its parameter; None if it is not plain."""
        kind, info = self.type_descriptor, self.type_descriptor.parameter_info
        if value is None:
            return [] if self.multiple else None
        if info.parser is not None:
            return info.parser(value)
        if kind.annotation == list[str]:
            return [*value]
        if kind.annotation is str:
            return value
        if kind.annotation is int and str(value).isdecimal() and int(value) >= (info.min or 0):
            return int(value)
        return next((choice for choice in kind.choices or () if choice == value), None)


def _lazy(params: Any) -> Any:  # noqa: ANN401 - typer's own types are private
    """Return parameters with the options as ``_Option``; typer takes no class for them."""
    for param in params:
        if type(param) is TyperOption:
            param.__class__ = _Option
    return params


class _Verb(TyperCommand):
    """One verb."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own types are private
        """Return the arguments and options, with ``--help``."""
        return _lazy(super().get_params(ctx))


class _Verbs(TyperGroup):
    """The verbs as placeholders with a name and a help line; the module is imported to run one."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own types are private
        """Return the options, with ``--help``."""
        return _lazy(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer's own types are private
        """Return the name, the command and its arguments; a wrong name ends with suggestions."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


def load(name: str) -> TyperCommand:
    """Import the module of a verb and return its command."""
    module = import_module(f"watcher.cli.{name}")
    verb: Callable[..., None] = getattr(module, name)
    alone = typer.Typer(**_SETTINGS)
    examples = "\n".join(f"  {example}" for example in module.EXAMPLES)
    alone.command(name, cls=_Verb, epilog=f"\b\nExamples:\n{examples}")(verb)
    command = typer.main.get_command(alone)
    assert isinstance(command, TyperCommand)  # noqa: S101 - an application of one verb is that verb
    return command


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    **_SETTINGS,
)
for _name, _help in VERBS.items():
    app.command(_name, help=_help)(lambda: None)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the signature of a callback
    if wanted:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


@app.callback(epilog=_EPILOG)
def top(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Turn a directory or an S3 bucket into a stream of JSON events."""
    del version


def run() -> None:
    """Run the verb that the arguments name; report a failure in one line and exit with 1."""
    try:
        app(prog_name="watcher")
    except WatcherError as error:
        complain(str(error))
        sys.exit(1)
