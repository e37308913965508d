"""Include and exclude, and temporary names: which paths count, which directories are read.

``glob`` gives each glob a meaning as components and as a regular expression that does not
backtrack; ``expressions`` searches with RE2 for what users write as expressions, and
``expression_errors`` says what is wrong with one; ``caseless`` says which names are equal without
case; ``path_filter`` compiles the patterns of one watch and answers for paths; ``temporary``
recognises names that are used only for a while. All are pure and free of locks: a filter never
changes, so any thread may use it. They do not bound how many patterns there are; the configuration
does.
"""
