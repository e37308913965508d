"""The command line. Decides only how fast it starts: nothing is imported here before it is needed; ``app.py`` has the verbs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the verb that the arguments name, and exit with its code: 0 success, 1 failure, 2 wrong usage, 130 interrupted early."""
    # gRPC writes to standard error by itself, what our own one line says better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    if (
        sys.argv[1:] == ["healthcheck"]
        and not {"WATCHER_TLS", "WATCHER_TLS_CA"} & os.environ.keys()
    ):
        # Probes run every few seconds for ever: the usual one does not wait half a second for the parser of flags.
        from watcher.cli.client import Endpoint  # noqa: PLC0415 - see above
        from watcher.cli.defaults import default_server  # noqa: PLC0415 - see above
        from watcher.cli.probe import probe  # noqa: PLC0415 - see above

        sys.exit(probe(Endpoint(default_server())))

    from watcher.cli.app import run  # noqa: PLC0415 - see above

    run()
