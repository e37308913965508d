"""Who may watch what: tokens say who it is, ``rules.py`` what is allowed.

Knows specs and settings; nothing of gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import UnauthenticatedError
from watcher.security.allow_list import AllowList
from watcher.security.tokens import TokenFile

if TYPE_CHECKING:
    from watcher.settings import ServerSettings
    from watcher.spec import Spec

ANONYMOUS = ""
"""The principal of clients where no tokens are asked for."""


class Policy:
    """The rules of one server.

    Args:
        settings: The lists and the token file.

    Attributes:
        tokens: The token file; None where no tokens are asked for.

    Raises:
        StateError: The token file or a list cannot be read or understood.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.tokens = TokenFile(settings.token_file) if settings.token_file else None
        self._rules = AllowList(settings)
        self._rules.check_principals([name for name, _ in self.tokens.value] if self.tokens else [])

    @property
    def is_open(self) -> bool:
        """Whether any place may be watched."""
        return self._rules.is_empty

    def principal(self, authorization: str | None) -> str:
        """Return the name that belongs to a client's ``authorization`` metadata.

        Raises:
            UnauthenticatedError: Tokens are asked for and this is none of them.
        """
        if self.tokens is None:
            return ANONYMOUS
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError(
                "no token",
                hint="send metadata authorization: Bearer <token> (authSecret in an EventSource)",
            )
        owner = self.tokens.owner(token.strip())
        if owner is None:
            raise UnauthenticatedError(
                "unknown token", hint="check authSecret against the server's token file"
            )
        return owner

    def check(self, spec: Spec, principal: str = ANONYMOUS) -> Spec:
        """Return a spec that keeps to what a principal may watch; see ``AllowList.admit``.

        Raises:
            DeniedError: It may not be watched.
        """
        return self._rules.admit(spec, principal)
