"""Serves the gRPC port: events to clients, acknowledgements and replays, health.

The listener owns port, TLS and channel options; the interceptor bounds every call before it is
read; ``calls.py`` has the one table from errors to statuses. A stream writes what its subscription
to a watch reads, and never touches a place or an index. The room runs in one asyncio loop without
locks: what may wait for a disk runs in a thread, and threads of watches reach a stream through
``loop_callback`` alone.
"""
