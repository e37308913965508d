"""What operators learn: log lines, traces, the status of watches, readiness, the newest changes.

The room holds values and formats; it never decides what a watch does. The thread of a watch writes
its status without a lock, since readers need no consistent snapshot; recent changes have a lock;
readiness belongs to the event loop and probes the disk in a thread.
"""
