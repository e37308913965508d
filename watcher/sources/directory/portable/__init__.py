"""Directories on any system that watchdog knows: its public observers hint, scans decide.

An observer loses events without a word (FSEvents coalesces, queues overflow), says nothing of a
writer that has closed a file, and may report what was before. So nothing depends on it: the tree is
scanned at every ``poll_interval`` as if there were no notifications, and a file is complete when
two looks agree. A hint only makes the look come at once. ``backend`` is what ``port.Backend`` asks
for; no other module of the room imports these.
"""
