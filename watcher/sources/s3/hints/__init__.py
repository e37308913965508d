"""Hints about a bucket: keys to look at, from a queue, a webhook or a stream of the store.

A hint is never truth. It says where to look, and the state of the bucket decides: so lost, doubled,
reordered, delayed and forged hints do no harm. A *feed* brings hints into the inbox of a source,
which inspects their keys by HEAD; a hint is done once the comparison of its keys is committed, and
only then does its message leave the queue. Listings find what hints have missed.

``records`` and ``shapes`` read messages in the shapes of all vendors (pure), ``inbox`` keeps the
keys that wait, ``feed`` is the protocol of the feeds, and ``factory`` makes that of a bucket:
``queue``, ``stream`` (``stream_thread`` reads it, ``listening`` sends its request) or ``webhook``.
Feeds run in threads of their own and never touch the source, the index or the state.
``confirmation`` confirms subscriptions of SNS, which the HTTP port asks for.
"""
