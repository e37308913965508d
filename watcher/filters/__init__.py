"""Include and exclude, temporary names, dated prefixes: which paths count, which are read.

``glob`` gives each glob a meaning as components and as a regular expression that does not
backtrack; ``expressions`` searches with RE2 for what users write as expressions, and
``expression_errors`` says what is wrong with one; ``caseless`` says which names are equal without
case; ``path_filter`` compiles the patterns of one watch and answers for paths; ``temporary``
recognises names that are used only for a while. ``dated_prefix`` reads prefixes of buckets that
have dates, and ``key_window`` says which keys belong to a place while time goes on. All are free of
locks: a filter never changes, and a window only with its clock, so any thread may use it. They do
not bound how many patterns there are; the configuration does.
"""
