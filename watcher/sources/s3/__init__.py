"""Reads buckets: full listings, and single keys by HEAD.

Needs LIST with the configured prefix, and HEAD; all other requests only make listings faster.
Decides how a bucket is listed (page by page, in parallel key ranges, by common prefixes), whether
an answer can be believed, and whether a key that a listing lacks is gone. Never decides what is a
change, never takes a failure for a deletion, and never relies on last-modified, nor on the order of
a listing until the store has shown it. Calls go down only: ``source`` > ``scan`` > ``deletions`` >
``api`` > ``client``, and for hints (``hints/``) ``source`` > ``hint_intake`` > ``hinted_keys`` >
``inspector`` > ``api``; what is known of a store between listings is in ``strategy``, how a listing
is split in ``key_ranges``, what an answer says in ``pages`` and ``objects`` (how keys are written
in ``key_encoding``, how a listing goes on in ``continuation``, what cannot be read in
``odd_objects``), which objects are passed on together in ``batches``, what a failure means in
``errors`` and for one bucket in ``diagnosis``, which authorities are trusted in ``trust``. Where
all versions are read, the modules ``version_…`` stand in place of those of the same names. A source
runs in the thread of its watch. Worker threads only send requests through ``api``, which locks the
count of requests and the renewal of the client; ``throttle`` and ``list_version`` have locks of
their own, because responses arrive in all of these threads.
"""
