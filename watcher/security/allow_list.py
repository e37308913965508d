"""Decides which places a principal may watch, by the operator's lists.

An entry of a list is ``VALUE``, which allows the value to everyone, or ``NAME=VALUE``, which allows
it to the principal of that name. One entry in any list closes all lists: what no entry names is
denied.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from watcher.addresses import is_metadata_address, normal_endpoint
from watcher.errors import DeniedError, StateError
from watcher.filesystem.real_paths import RealPaths
from watcher.spec import AuthorizedSpec, DirectorySpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.queue_address import QueueAddress
    from watcher.settings import ServerSettings
    from watcher.spec import BucketSpec, Spec

_NAMED = re.compile(r"(?P<name>[^=/.:][^=:]*|)=(?P<value>.*)", re.DOTALL)
"""An entry for one principal, which no URL, ARN or path that begins with / or . can be."""

_ARN = "arn:"

RESOLVE_WAIT_S = 15.0
"""Seconds to wait at the start for the volume of an allowed directory, which may not answer: long
enough for the server to warn of it first (``DIRECTORIES_WARN_S``)."""


class _Rule(NamedTuple):
    """An entry of a list.

    Attributes:
        principal: The principal that it is for; empty for everyone.
        value: What it allows, in normal form.
        given: Flag and entry as the operator wrote them, for errors.
    """

    principal: str
    value: str
    given: str


class AllowList:
    """The allow lists of one server.

    Args:
        settings: The lists as they were given; links in the directories are resolved once, here. Of
            one whose volume does not answer they are resolved when it does, and until then it
            allows what is below it without links.

    Raises:
        StateError: An entry cannot be understood.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._directories = _read("--allow-directory", settings.allow_directories, str)
        self._real_paths = RealPaths((rule.value for rule in self._directories), RESOLVE_WAIT_S)
        self._buckets = _read("--allow-bucket", settings.allow_buckets, str)
        self._endpoints = _read("--allow-endpoint", settings.allow_endpoints, normal_endpoint)
        self._roles = _read("--allow-role", settings.allow_roles, str)
        self._profiles = _read("--allow-profile", settings.allow_profiles, str)
        self._queues = _read("--allow-queue", settings.allow_queues, str)

    @property
    def is_empty(self) -> bool:
        """Whether no list has an entry, so that any place may be watched."""
        return not any(self._rules())

    def check_principals(self, names: Sequence[str]) -> None:
        """Check that the principal of every entry exists: a misspelt name allows nothing.

        Args:
            names: All principals.

        Raises:
            StateError: An entry is for another name.
        """
        for rule in self._rules():
            if rule.principal and rule.principal not in names:
                message = f"the token file has no {rule.principal!r}"
                hint = "add its token or correct the name; a directory with = in its path is ./a=b"
                raise StateError(message, place=rule.given, hint=hint)

    def authorize(self, spec: Spec, principal: str) -> AuthorizedSpec:
        """Return a spec with the directories that a principal may read.

        No directory is opened here: one on a volume that does not answer would block every client.
        Its source compares what it has opened with ``within``.

        Raises:
            DeniedError: A bucket, endpoint, role, profile or queue is on no list of the principal,
                or no directory at all is.
        """
        if isinstance(spec.where, DirectorySpec):
            return AuthorizedSpec(spec, self._within(spec.where, principal))
        self._check_bucket(spec.where, principal)
        return AuthorizedSpec(spec, within=None)

    def _within(self, where: DirectorySpec, principal: str) -> tuple[str, ...] | None:
        """Return the directories that a principal may read; None for any."""
        if self.is_empty:
            return None
        within = _values(self._directories, principal)
        if not within:
            raise _denied("directory", where.place)
        return tuple(self._real_paths[path] for path in within)

    def _check_bucket(self, where: BucketSpec, principal: str) -> None:
        if where.endpoint_url is not None:
            self._check_endpoint(where.endpoint_url, where.place, principal)
        if where.queue is not None:
            self._check_queue(where.queue, where.place, principal)
        if self.is_empty:
            return
        buckets = _globs_for(where, _values(self._buckets, principal))
        for asked, globs, kind in (
            (where.bucket, buckets, "bucket"),
            (where.role_arn, _values(self._roles, principal), "role"),
            (where.profile, _values(self._profiles, principal), "profile"),
        ):
            if asked is not None and not any(fnmatchcase(asked, glob) for glob in globs):
                raise _denied(kind, where.place)

    def _check_endpoint(self, url: str, place: str, principal: str) -> None:
        """Check an endpoint; without lists any is allowed but link-local and metadata addresses."""
        if normal_endpoint(url) in _values(self._endpoints, principal):
            return
        if not self.is_empty or is_metadata_address(urlsplit(url).hostname or ""):
            raise _denied("endpoint", place)

    def _check_queue(self, queue: QueueAddress, place: str, principal: str) -> None:
        """Check a queue; without lists any is allowed but at link-local and metadata addresses.

        Such an address must be listed as it is, without a star.
        """
        globs, is_metadata = _values(self._queues, principal), is_metadata_address(queue.host)
        if is_metadata:
            globs = tuple(glob for glob in globs if glob.startswith(f"{queue.endpoint}/"))
        is_open = self.is_empty and not is_metadata
        if not is_open and not any(_matches_url(str(queue), glob) for glob in globs):
            raise _denied("queue", place)

    def _rules(self) -> Iterator[_Rule]:
        yield from self._directories
        yield from self._buckets
        yield from self._endpoints
        yield from self._roles
        yield from self._profiles
        yield from self._queues


def _read(flag: str, entries: Sequence[str], normal: Callable[[str], str]) -> tuple[_Rule, ...]:
    """Return the rules of a list, with their values in normal form.

    Raises:
        StateError: An entry cannot be understood.
    """
    rules = []
    for entry in entries:
        given = f"{flag} {entry}"
        named = _NAMED.fullmatch(entry)
        name, value = (named["name"].strip(), named["value"].strip()) if named else ("", entry)
        if not value or (named and not name):
            raise StateError(
                "an entry is VALUE, or NAME=VALUE for the token of that name", place=given
            )
        try:
            rules.append(_Rule(name, normal(value), given))
        except ValueError as error:
            raise StateError(str(error), place=given) from error
    return tuple(rules)


def _globs_for(where: BucketSpec, globs: Sequence[str]) -> Sequence[str]:
    """Return the globs for a bucket.

    For an ARN, which has region and account, those of ARNs; for a tenant's bucket those with a
    colon, and the one for any bucket.
    """
    if where.bucket.startswith(_ARN):
        return [glob for glob in globs if glob.startswith(_ARN)]
    return [glob for glob in globs if ":" in glob or glob == "*"] if where.has_tenant else globs


def _matches_url(url: str, glob: str) -> bool:
    """Return whether a glob is a URL, or matches it part by part, or is the one for any URL.

    No star reaches over a slash: one in the host would else allow a foreign host by its path.
    """
    parts, globs = url.split("/"), glob.split("/")
    return glob in {"*", url} or (len(parts) == len(globs) and all(map(fnmatchcase, parts, globs)))


def _values(rules: Sequence[_Rule], principal: str) -> tuple[str, ...]:
    return tuple(rule.value for rule in rules if rule.principal in {"", principal})


def _denied(kind: str, place: str) -> DeniedError:
    hint = f"ask for it with --allow-{kind}"
    return DeniedError(f"this server does not allow the {kind}", place=place, hint=hint)
