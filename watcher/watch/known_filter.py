"""The filter that an index is about, as a text in the state file.

It says all that decides which paths have rows, so that a later run can tell what an earlier one did
not read, and which rows it must not take over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watcher.filters.expressions import is_expression, literal_glob
from watcher.filters.markers import MarkerPattern
from watcher.filters.path_filter import PathFilter
from watcher.spec import DirectorySpec, Filter, Temporary
from watcher.versioned import is_version, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from watcher.spec import Spec


def describe_filter(spec: Spec) -> str:
    """Return what decides about paths in a spec, as JSON: equal texts admit the same paths.

    What a spec does not use is left out, so that its text is that of an earlier version.
    """
    patterns = [*spec.filter.include, *spec.filter.exclude]
    facts = {"include": spec.filter.include, "exclude": spec.filter.exclude, "recursive": True}
    if any(map(is_expression, patterns)):
        facts["expressions"] = True
    if patterns and not spec.filter.match_case:
        facts["match_case"] = False
    if isinstance(spec.where, DirectorySpec):
        recursive, temporary = spec.where.recursive, spec.where.temporary
        facts |= {"recursive": recursive, "dots": True, "temporary": temporary}
    elif spec.where.versions:
        facts["versions"] = True
    if spec.conditions.marker is not None:
        facts["marker"] = spec.conditions.marker
    return msgspec.json.encode(facts).decode()


def _admits(text: str) -> Callable[[bytes], bool]:
    """Return the function that ``describe_filter`` describes: whether a path is one of an entry.

    With ``versions`` the paths are those of versions, whose keys decide. Without ``dots`` the text
    is of a version that did not read names beginning with ``..``, without ``temporary`` of one that
    did not leave out temporary names, and without ``expressions`` every pattern is a glob.
    """
    values = msgspec.json.decode(text)
    include, exclude = (
        tuple(values[name] if "expressions" in values else map(literal_glob, values[name]))
        for name in ("include", "exclude")
    )
    admits = PathFilter(
        Filter(include, exclude, match_case=values.get("match_case", True)),
        skips_temporary=values.get("temporary") == Temporary.SKIP,
    ).admits
    is_recursive, has_dots = values["recursive"], "dots" in values
    is_marker = MarkerPattern(values["marker"]).is_marker if "marker" in values else None

    def admits_path(path: bytes) -> bool:
        return (
            (is_recursive or b"/" not in path)
            and (has_dots or not (path.startswith(b"..") or b"/.." in path))
            and admits(path)
            and not (is_marker is not None and is_marker(path))
        )

    return (lambda path: admits_path(key_of(path))) if "versions" in values else admits_path


def leaves_out(text: str) -> Callable[[bytes], bool]:
    """Return the function that returns whether a filter does not admit a path."""
    admits = _admits(text)
    return lambda path: not admits(path)


def keeps(filters: Collection[str], text: str) -> Callable[[bytes], bool]:
    """Return the function that returns whether a row stays when the filter of an index changes.

    Args:
        filters: Those of the index, as ``describe_filter`` has them; empty if none is known.
        text: The filter from now on.
    """
    is_of_versions, admits = has_versions(text), _admits(text)
    if any(has_versions(each) is not is_of_versions for each in filters):
        return lambda _path: False
    return lambda path: (bool(filters) or is_version(path) is is_of_versions) and admits(path)


def has_versions(text: str) -> bool:
    """Return whether the rows that a filter is about are versions."""
    return "versions" in msgspec.json.decode(text)
