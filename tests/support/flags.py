"""The arguments and flags of every verb, as ``--help`` shows them."""

from collections.abc import Iterator
from typing import NamedTuple

from watcher.cli.app import VERBS, load


class Flag(NamedTuple):
    """An argument or a flag of a verb; what it does not have is empty.

    Its names are ``-v, --verbose``, ``--tls / --no-tls``, or ``PLACE`` of an argument. The help is
    without the default.
    """

    verb: str
    names: str
    metavar: str
    help: str
    default: str
    variable: str


def all_flags() -> Iterator[Flag]:
    """Yield all but ``--help``, in the order of the help."""
    for verb in VERBS:
        command = load(verb)
        context = command.make_context(verb, [], resilient_parsing=True)
        for param in command.params:
            record = param.get_help_record(context)
            assert record is not None, param.name
            shown, text = record
            sentence, _, extra = text.partition("  [")
            named = dict(part.partition(": ")[::2] for part in extra.rstrip("]").split("; "))
            names = shown.split(" ", 1)[0]
            if param.param_type_name == "option":
                names = " / ".join(
                    ", ".join(opts) for opts in (param.opts, param.secondary_opts) if opts
                )
            metavar = shown.removeprefix(names).strip().removeprefix("<str>")
            default = named.get("default", "")
            yield Flag(verb, names, metavar, sentence, default, str(param.envvar or ""))
