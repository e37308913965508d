"""Decides who a client is and whether that principal may watch a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import UnauthenticatedError
from watcher.security.allow_list import AllowList
from watcher.security.tokens import TokenFile

if TYPE_CHECKING:
    from watcher.settings import ServerSettings
    from watcher.spec import AuthorizedSpec, Spec

ANONYMOUS = ""
"""The principal of every client of a server without a token file."""


class Policy:
    """The tokens and allow lists of one server.

    Args:
        settings: The lists and the token file.

    Attributes:
        tokens: The token file; None if the server asks for no token.

    Raises:
        StateError: The token file or an entry of a list cannot be read or understood.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.tokens = TokenFile(settings.token_file) if settings.token_file else None
        self._allow_list = AllowList(settings)
        names = [name for name, _ in self.tokens.value] if self.tokens else []
        self._allow_list.check_principals(names)

    @property
    def is_open(self) -> bool:
        """Whether any place may be watched."""
        return self._allow_list.is_empty

    def principal(self, authorization: str | None) -> str:
        """Return the principal of a client's ``authorization`` metadata.

        Raises:
            UnauthenticatedError: The server asks for a token, and this is none of its tokens.
        """
        if self.tokens is None:
            return ANONYMOUS
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            hint = "send authorization: Bearer <token>, in gRPC as metadata (authSecret)"
            raise UnauthenticatedError("no token", hint=hint)
        owner = self.tokens.owner(token.strip())
        if owner is None:
            hint = "check authSecret against the server's token file"
            raise UnauthenticatedError("unknown token", hint=hint)
        return owner

    def authorize(self, spec: Spec, principal: str = ANONYMOUS) -> AuthorizedSpec:
        """Return a spec with the directories that a principal may read (``AllowList.authorize``).

        Raises:
            DeniedError: The principal may not watch the place.
        """
        return self._allow_list.authorize(spec, principal)
