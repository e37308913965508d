"""Bounds that keep one client, or one principal, from using up what all share.

Quotas count what the watches of a principal occupy; a fair share bounds what many watches keep in
memory together; a fair queue orders CPU-heavy work; descriptors are divided between the two ports.
The room only counts and decides; its callers act on the answer. Quotas change on the event loop
alone and are read by the threads of watches; a fair share has a lock; a fair queue belongs to one
event loop.
"""
