"""Reads a directory tree, and uses the kernel's notifications as hints where to look.

``tree`` and ``walk`` read below a ``root``, which is held by a descriptor while it is read.
``inotify`` owns the process's one inotify descriptor and the thread that reads it; that thread only
appends events to the inbox of each tree, under the inbox's lock. Everything else runs in the thread
of the watch: ``events`` turns the events into hints, ``hints`` decides when each is due
(``settle``: when a path rests, and what is complete; ``renames``: which halves belong together),
and ``source`` inspects or scans. ``attribute_cache`` says how far apart two looks at a polled file
must be. ``parts`` says how each mount below the root is watched, by the mount table that
``part_finder`` follows; what was read while the table changed is not used. Too many events or hints
are dropped in favour of a scan of the whole tree.
"""
