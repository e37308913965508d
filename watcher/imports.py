"""Imports of libraries without others that they load for features that are not used here."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Make a module look as if it were not installed, to what is imported for the first time.

    Args:
        name: A module for which the imported libraries have a substitute.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    module = modules.get(name)
    # The import system raises ModuleNotFoundError for it.
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        if module is not None:
            modules[name] = module
