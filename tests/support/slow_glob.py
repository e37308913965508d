"""A matcher of globs that is obviously right, by the description of ``PathFilter``, and slow."""


def matches(pattern: str, path: bytes) -> bool:
    components = pattern.removeprefix("/").split("/")
    if "/" not in pattern.removesuffix("/"):
        components.insert(0, "**")
    if components[-1] == "":
        components[-1] = "**"
    return matches_components(components, path.decode("utf-8", "surrogateescape").split("/"))


def matches_components(pattern: list[str], names: list[str]) -> bool:
    if not pattern or not names:
        return not pattern and not names
    if pattern == ["**"]:
        return True
    if pattern[0] == "**":
        return matches_components(pattern[1:], names) or matches_components(pattern, names[1:])
    return matches_name(pattern[0], names[0]) and matches_components(pattern[1:], names[1:])


def matches_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return matches_name(pattern[1:], name) or (name != "" and matches_name(pattern, name[1:]))
    if not name:
        return False
    if pattern[0] == "?":
        return matches_name(pattern[1:], name[1:])
    if pattern[0] == "[":
        end = pattern.index("]", 3 if pattern[1] == "!" else 2)
        negated = pattern[1] == "!"
        return in_class(pattern[1 + negated : end], name[0]) is not negated and matches_name(
            pattern[end + 1 :], name[1:]
        )
    return pattern[0] == name[0] and matches_name(pattern[1:], name[1:])


def in_class(members: str, char: str) -> bool:
    if members[1:2] == "-" and len(members) > 2:
        return members[0] <= char <= members[2] or in_class(members[3:], char)
    return members != "" and (members[0] == char or in_class(members[1:], char))
