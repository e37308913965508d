"""What only Linux has: openat2(2), ``/proc``, leases, ids of file systems, mounts that notify.

``files`` is what ``port.Files`` asks for, ``mount_monitor`` what ``port.Mounts`` does. No other
module of the room imports these.
"""
