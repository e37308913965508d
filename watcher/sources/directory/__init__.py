"""Reads a directory tree, and uses the kernel's notifications as hints where to look.

``tree`` and ``walk`` read below a ``root``, which is held by a descriptor while it is read. What
depends on the kernel is behind ``port``: how files are opened, what is mounted, and what is
notified; ``linux`` implements it, with a thread that fills the inbox of each tree. Everything else
runs in the thread of the watch: ``hints`` decides when each hint is due (``settle``: when a path
rests; ``renames``: which halves belong together), ``inspector`` inspects what is due, ``scan``
reads the tree, and ``source`` puts them together. ``completeness`` decides whether a file may be
reported, and ``attribute_cache`` how far apart two looks at a polled file must be. ``parts`` says
how each mount below the root is watched, as ``mount_follower`` follows and ``part_finder`` finds
them; what was read while the mounts changed is not used. ``contents`` has files read for their
digests, in the threads of ``digests``. Too many events or hints are dropped in favour of a scan of
the whole tree.
"""
