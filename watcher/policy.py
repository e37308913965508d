"""Who may watch what: tokens, and the lists of directories, buckets and endpoints that the operator allows.

Knows specs and settings; nothing of gRPC.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, UnauthenticatedError
from watcher.spec import DirectorySpec
from watcher.tokens import TokenFile

if TYPE_CHECKING:
    from watcher.settings import ServerSettings
    from watcher.spec import Spec

NOBODY = ""
"""The principal of clients where no tokens are asked for."""


class Policy:
    """The rules of one server.

    Args:
        settings: The lists and the token file.

    Attributes:
        tokens: The token file; None where no tokens are asked for.

    Raises:
        StateError: The token file cannot be read or understood.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.tokens = TokenFile(settings.token_file) if settings.token_file else None

    @property
    def is_open(self) -> bool:
        """Whether any place may be watched."""
        settings = self._settings
        return not (settings.allow_directories or settings.allow_buckets or settings.allow_endpoints)

    def principal(self, authorization: str | None) -> str:
        """Return the name that belongs to a client's ``authorization`` metadata.

        Raises:
            UnauthenticatedError: Tokens are asked for and this is none of them.
        """
        if self.tokens is None:
            return NOBODY
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("no token", hint="send metadata authorization: Bearer <token> (authSecret in an EventSource)")
        owner = self.tokens.owner(token.strip())
        if owner is None:
            raise UnauthenticatedError("unknown token", hint="check authSecret against the server's token file")
        return owner

    def check(self, spec: Spec) -> None:
        """Make sure that a spec's place may be watched.

        Raises:
            DeniedError: It is on none of the lists.
        """
        if self.is_open:
            return
        settings, where = self._settings, spec.where
        if isinstance(where, DirectorySpec):
            real = os.path.realpath(where.path)
            if not any(is_inside(real, os.path.realpath(allowed)) for allowed in settings.allow_directories):
                raise DeniedError("this server does not allow the directory", place=where.place, hint="ask for it with --allow-directory")
            return
        if not any(fnmatchcase(where.bucket, allowed) for allowed in settings.allow_buckets):
            raise DeniedError("this server does not allow the bucket", place=where.place, hint="ask for it with --allow-bucket")
        allowed_endpoints = [allowed.rstrip("/") for allowed in settings.allow_endpoints]
        if where.endpoint_url is not None and where.endpoint_url not in allowed_endpoints:
            raise DeniedError("this server does not allow the endpoint", place=where.place, hint="ask for it with --allow-endpoint")


def is_inside(path: str, directory: str) -> bool:
    """Tell whether an absolute path is a directory or lies below it; nothing is resolved."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
