"""``watcher healthcheck``: the probe of a container."""

from __future__ import annotations

import typer

from watcher.cli.client import Endpoint, probe
from watcher.cli.defaults import default_http_server, default_server
from watcher.cli.flags import Server, Tls, TlsCa  # noqa: TC001 - typer reads annotations

EXAMPLES = ("watcher healthcheck", "watcher healthcheck --server 127.0.0.1:8080")


def healthcheck(*, server: Server = None, tls: Tls = False, tls_ca: TlsCa = None) -> None:
    """Exit with 0 if a server is serving or stands by, else with 1.

    The server has two seconds to answer. Without --server its address is that of WATCHER_LISTEN,
    which the server reads too; one that does not listen there is asked at WATCHER_HTTP whether it
    stands by.
    """
    standby = "" if server else default_http_server()
    endpoint = Endpoint(server or default_server(), tls=tls, tls_ca=tls_ca)
    raise typer.Exit(probe(endpoint, standby))
