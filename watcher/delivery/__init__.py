"""Turns committed changes into payloads and brings them to streams.

The outbox numbers the changes of one watch, has them rendered, and commits payloads and index in
one transaction. The publisher of a watch, owned or followed, gives every stream a subscription to
the journal and decides when an event is confirmed: by time and signs of life, or by
acknowledgement. How fast and how far a stream may write bounds what its subscription reads, so a
stream that must wait blocks nobody. A stream keeps its position when it moves from one publisher of
its watch to another. The room never speaks gRPC and never reads a place. The outbox belongs to the
watch's thread; publisher, positions and caches are used from any thread, each with a lock of its
own. The publisher's lock is taken before the others; a replay and a confirmation exclude each other
by a lock that is taken before that. The lock of the unacknowledged payloads is taken before that of
the state file alone.
"""
