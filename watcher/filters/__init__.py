"""Include and exclude globs: which paths count, and which directories need not be read.

``glob`` gives each pattern a meaning as components and as a regular expression that does not
backtrack; ``path_filter`` compiles the patterns of one watch and answers for paths. Both are pure
and free of locks: a filter never changes, so any thread may use it. They do not bound how many
patterns there are; the configuration does.
"""
