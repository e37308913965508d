"""What may be watched: the operator's lists, for everyone or for one principal. Knows specs and settings; nothing of tokens or gRPC.

An entry of a list is ``VALUE`` or ``NAME=VALUE``. The second counts for the principal of that name only, beside the first. As soon as
there is one entry, what no entry names is denied.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from watcher.addresses import is_metadata_address, normal_endpoint
from watcher.errors import DeniedError, StateError
from watcher.filesystem.paths import real_path
from watcher.spec import DirectorySpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.settings import ServerSettings
    from watcher.spec import BucketSpec, Spec

_NAMED = re.compile(r"(?P<name>[^=/.:][^=:]*|)=(?P<value>.*)", re.DOTALL)
"""A principal's entry. Paths that begin with a slash or a dot, URLs and ARNs are none, whatever they hold."""

_ARN = "arn:"


class _Rule(NamedTuple):
    """An entry of a list: whom it is for, empty for everyone; what it allows; and how it was given, for an error."""

    principal: str
    value: str
    given: str


class AllowList:
    """The lists of one server.

    Args:
        settings: The lists as they were given. Links in the directories are resolved now, once.

    Raises:
        StateError: An entry cannot be understood.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._directories = _read("--allow-directory", settings.allow_directories, real_path)
        self._buckets = _read("--allow-bucket", settings.allow_buckets, str)
        self._endpoints = _read("--allow-endpoint", settings.allow_endpoints, normal_endpoint)
        self._roles = _read("--allow-role", settings.allow_roles, str)
        self._profiles = _read("--allow-profile", settings.allow_profiles, str)

    @property
    def is_empty(self) -> bool:
        """Whether there is no entry, so that anything may be watched."""
        return not self._all()

    def check_principals(self, names: Sequence[str]) -> None:
        """Make sure that each entry is for somebody who exists, since one for a name that is misspelt allows nothing to anyone.

        Args:
            names: The principals.

        Raises:
            StateError: An entry is for somebody else.
        """
        for rule in self._all():
            if rule.principal and rule.principal not in names:
                hint = "add the token, or correct the name; a directory with = in its path is written ./a=b"
                raise StateError(
                    f"the token file has no {rule.principal!r}", place=rule.given, hint=hint
                )

    def admit(self, spec: Spec, principal: str) -> Spec:
        """Return a spec that keeps to what a principal may watch.

        A directory is not looked at here: a volume that does not answer would hold up everyone. Its source judges what it has opened.

        Raises:
            DeniedError: An entry that is needed is on none of the lists.
        """
        where = spec.where
        if isinstance(where, DirectorySpec):
            return (
                spec
                if self.is_empty
                else replace(spec, where=self._admit_directory(where, principal))
            )
        self._admit_bucket(where, principal)
        return spec

    def _admit_directory(self, where: DirectorySpec, principal: str) -> DirectorySpec:
        within = _values(self._directories, principal)
        if not within:
            raise DeniedError(
                "this server does not allow the directory",
                place=where.place,
                hint="ask for it with --allow-directory",
            )
        return replace(where, within=within)

    def _admit_bucket(self, where: BucketSpec, principal: str) -> None:
        place, endpoint = where.place, where.endpoint_url
        is_listed = endpoint is not None and normal_endpoint(endpoint) in _values(
            self._endpoints, principal
        )
        if (
            endpoint is not None
            and not is_listed
            and (not self.is_empty or is_metadata_address(urlsplit(endpoint).hostname or ""))
        ):
            raise DeniedError(
                "this server does not allow the endpoint",
                place=place,
                hint="ask for it with --allow-endpoint",
            )
        if self.is_empty:
            return
        for asked, globs, what in (
            (where.bucket, _globs_for(where.bucket, _values(self._buckets, principal)), "bucket"),
            (where.role_arn, _values(self._roles, principal), "role"),
            (where.profile, _values(self._profiles, principal), "profile"),
        ):
            if asked is not None and not any(fnmatchcase(asked, glob) for glob in globs):
                raise DeniedError(
                    f"this server does not allow the {what}",
                    place=place,
                    hint=f"ask for it with --allow-{what}",
                )

    def _all(self) -> tuple[_Rule, ...]:
        return (*self._directories, *self._buckets, *self._endpoints, *self._roles, *self._profiles)


def _read(flag: str, entries: Sequence[str], normal: Callable[[str], str]) -> tuple[_Rule, ...]:
    """Return the rules of a list, their values as ``normal`` makes them."""
    rules = []
    for entry in entries:
        given = f"{flag} {entry}"
        named = _NAMED.fullmatch(entry)
        name, value = (named["name"].strip(), named["value"].strip()) if named else ("", entry)
        if not value or (named and not name):
            raise StateError(
                "an entry is a value, or name=value for the token of that name", place=given
            )
        try:
            rules.append(_Rule(name, normal(value), given))
        except ValueError as error:
            raise StateError(str(error), place=given) from error
    return tuple(rules)


def _globs_for(bucket: str, globs: Sequence[str]) -> Sequence[str]:
    """Return those globs that may speak of a bucket: of an ARN, which names region and account before the rest, only those of ARNs."""
    return [glob for glob in globs if glob.startswith(_ARN)] if bucket.startswith(_ARN) else globs


def _values(rules: Sequence[_Rule], principal: str) -> tuple[str, ...]:
    return tuple(rule.value for rule in rules if rule.principal in {"", principal})
