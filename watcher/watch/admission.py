"""Which paths a spec admits, as a function and as the text by which a state file remembers it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watcher.filters.path_filter import PathFilter
from watcher.spec import DirectorySpec, Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.spec import Spec


def admission_text(spec: Spec) -> str:
    """Return what decides about paths in a spec, as JSON: equal texts admit the same."""
    recursive = not isinstance(spec.where, DirectorySpec) or spec.where.recursive
    return msgspec.json.encode(
        {"include": spec.filter.include, "exclude": spec.filter.exclude, "recursive": recursive}
    ).decode()


def admission(text: str) -> Callable[[bytes], bool]:
    """Return whether a path is admitted, from what ``admission_text`` returned."""
    values = msgspec.json.decode(text)
    admits = PathFilter(Filter(tuple(values["include"]), tuple(values["exclude"]))).admits
    return admits if values["recursive"] else lambda path: b"/" not in path and admits(path)
