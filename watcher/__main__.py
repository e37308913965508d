"""The entry point of ``watcher`` and ``python -m watcher``."""

import os
import sys


def main() -> None:
    """Run the command line; exit with 130 if it is interrupted before a verb handles signals."""
    # gRPC would log to standard error what the verbs report in one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from watcher.cli.app import run  # noqa: PLC0415 - Ctrl-C while it loads gives 130 as well

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
