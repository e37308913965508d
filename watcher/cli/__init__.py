"""The command line: one module a verb, each a thin shell around the server or a client of it.

``app`` knows the verbs by name and imports the module of the one that is run, so that the others
and their libraries cost nothing; ``dev``, ``serve`` and ``check`` import the server's libraries
after their flags are accepted. Flags become the values of ``settings`` or a configuration; what is
allowed, valid or reachable is decided by the server and the configuration room. Events go to
standard output, everything else to standard error. A failure is one line and exit code 1. Each
verb runs one event loop in the main thread; only the server that ``dev`` and ``serve`` start has
threads.
"""
