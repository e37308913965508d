"""``watcher healthcheck``: for probes of containers."""

from __future__ import annotations

import typer

from watcher.cli.defaults import default_server
from watcher.cli.flags import Server, Tls, TlsCa  # noqa: TC001 - typer reads annotations


def healthcheck(*, server: Server = None, tls: Tls = False, tls_ca: TlsCa = None) -> None:
    """Exit with 0 if a server serves, else with 1.

    It has two seconds to answer. Without --server the address is that of WATCHER_LISTEN, as the server itself reads it.
    """
    from watcher.cli.client import Endpoint  # noqa: PLC0415 - grpc, for which --help need not wait
    from watcher.cli.probe import probe  # noqa: PLC0415 - likewise

    raise typer.Exit(probe(Endpoint(server or default_server(), tls=tls, tls_ca=tls_ca)))
