"""Flags and arguments that are converted without pydantic, which typer takes 75 ms to load.

A value that is right is converted here; any other is left to typer, which has the messages.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from collections.abc import Callable


class _UnsettledError(Exception):
    """A value is not right, or only typer can tell."""


# Two classes without a common one: the class of a parameter can be replaced by a direct heir only.
class _Flag(TyperOption):
    def process_value(self, ctx: Any, value: Any) -> Any:  # noqa: ANN401 - typer's own types are private
        return _process(self, ctx, value, super().process_value)


class _Argument(TyperArgument):
    def process_value(self, ctx: Any, value: Any) -> Any:  # noqa: ANN401 - typer's own types are private
        return _process(self, ctx, value, super().process_value)


def quick(params: Any) -> Any:  # noqa: ANN401 - typer's own types are private
    """Return parameters with the classes of this module; typer takes no class for them."""
    for param in params:
        if type(param) is TyperOption:
            param.__class__ = _Flag
        elif type(param) is TyperArgument:
            param.__class__ = _Argument
    return params


def _process(param: Any, ctx: Any, value: Any, process: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401 - typer's own types are private
    """Return a value as the type of its parameter; ``process`` is typer's own way."""
    try:
        value = _convert(param, value)
    except _UnsettledError:
        return process(ctx, value)
    return param.callback(ctx, param, value) if param.callback else value


def _convert(param: Any, value: Any) -> Any:  # noqa: ANN401 - typer's own types are private
    """Return a value that was given, or a default, converted.

    Raises:
        _UnsettledError: It is missing, or may be wrong.
    """
    kind, info = param.type_descriptor.annotation, param.type_descriptor.parameter_info
    is_many = param.multiple or param.nargs == -1
    if value is None and not param.required:
        return () if is_many else None
    if kind == list[str] and value and not isinstance(value, str):
        return [_text(each) for each in value]
    if info.parser is not None:
        return info.parser(_text(value))
    if kind is str:
        return _text(value)
    if kind is int:
        return _number(value, info.min or 0)
    return _path(value, info) if kind is Path else _choice(value, param.type_descriptor)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise _UnsettledError
    return value


def _number(value: int | str, least: float) -> int:
    """Return a number as a default has it, or of decimal digits."""
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise _UnsettledError
    if int(value) < least:
        raise _UnsettledError
    return int(value)


def _path(value: Path | str, info: Any) -> Path:  # noqa: ANN401 - typer's own types are private
    """Return a path of which nothing is required but that it can be read, if it is there."""
    path = Path(_text(str(value)))
    if info.readable and path.exists() and not os.access(path, os.R_OK):
        raise _UnsettledError
    return path


def _choice(value: object, descriptor: Any) -> object:  # noqa: ANN401 - typer's own types are private
    """Return the choice that is written like this."""
    for choice in descriptor.choices or ():
        if choice == value:
            return choice
    raise _UnsettledError
