"""Directories as Linux allows it: inotify's every event, and mounts as the kernel's table has them.

``inotify`` owns the process's one inotify descriptor and the thread that reads it; that thread only
appends events to the inbox of each tree, under the inbox's lock. ``events`` turns them into hints
in the thread of the watch. ``backend`` is what ``port.Backend`` asks for; no other module of the
room imports these.
"""
