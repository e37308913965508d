"""Reads a directory tree, and uses the kernel's notifications as hints where to look.

``tree`` and ``walk`` read below a ``root``, which is held by a descriptor while it is read.
``inotify`` owns the process's one inotify descriptor and the thread that reads it; that thread only
appends events to the inbox of each tree, under the inbox's lock. Everything else runs in the thread
of the watch: ``events`` turns the events into hints, ``hints`` decides when each is due
(``settle``: when a path rests; ``renames``: which halves belong together), ``inspector`` inspects
what is due and ``source`` scans. ``completeness`` decides whether a file may be reported, and
``attribute_cache`` how far apart two looks at a polled file must be. ``parts`` says how each mount
below the root is watched, by the mount table that ``mount_follower`` follows and ``part_finder``
reads; what was read while the table changed is not used. ``contents`` has files read for their
digests, in the threads of ``digests``. Too many events or hints are dropped in favour of a scan of
the whole tree.
"""
