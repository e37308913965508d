"""What any POSIX system has: paths that are resolved name by name, and no knowledge of mounts.

``files`` is what ``port.Files`` asks for, ``no_mounts`` what ``port.Mounts`` does. Nothing here
needs ``/proc``, openat2(2), O_PATH or the type of a file system.
"""
