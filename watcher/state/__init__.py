"""The state of watches: what each place held at its last scan, and the events not yet confirmed.

``port`` declares what the program may ask of an engine of state; each engine is a package of its
own (``sqlite``), which only the composition root and the command line import. A store belongs to
one watch: its index and its journal change in one transaction, so a crash loses neither a change
nor its event. The room stores rows and payloads; it never decides what is a change. The thread of
the watch writes; streams and HTTP calls read and acknowledge from other threads, and the engine
locks.
"""
