"""The HTTP port: probes, metrics, the status page, acknowledgements and hints.

The room reads watches, streams and readiness; the only commands that it passes on are
acknowledgements, hints and the release of held deletions. It renders from reports and never reads a
source or a state file. Nearly everything runs on the event loop: only large messages are read, and
subscriptions confirmed, in threads. Every path that shows places or changes state asks the security
policy for the principal first and answers about that principal's watches only; probes and metrics
carry no place and need no token. The port has its own bounds (connections, headers, body size,
time), because it must answer probes under abuse.
"""

# Before aiohttp, for which it would be imported without TLS here.
import http.client  # noqa: F401 - see above

from watcher.imports import hidden

# This port has no TLS. With it, aiohttp's client, which nothing here uses, reads the certificates
# of the system twice as it is imported: 60 ms.
with hidden("ssl"):
    import aiohttp  # noqa: F401 - see above
