"""Describes for people how each part of a tree is watched, and why. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.sources.directory.parts import PartMode
from watcher.spec import Mode
from watcher.status_values import PartStatus

if TYPE_CHECKING:
    from watcher.filesystem.mounts import Mount
    from watcher.sources.directory.parts import Part, Parts

UNREAD = "unread"
"""Mode of a part that is not read, beside those of a configuration."""


def describe_parts(
    parts: Parts, root: Mount | None, *, mode: Mode, unnotified: str
) -> tuple[PartStatus, ...]:
    """Return the parts of a tree, the root first.

    Args:
        parts: The parts.
        root: The mount that holds the root; None if unknown.
        mode: The mode of the configuration.
        unnotified: Why there are no notifications at all; empty if there are.
    """
    return tuple(
        _describe(part, root, mode, unnotified) if part.point not in parts.new else _new(part)
        for part in parts
    )


def _new(part: Part) -> PartStatus:
    type_ = part.mounted.mount.type if part.mounted else ""
    return PartStatus(os.fsdecode(part.point), type_, UNREAD, "it has just been mounted")


def _describe(part: Part, root: Mount | None, mode: Mode, unnotified: str) -> PartStatus:
    mount = part.mounted.mount if part.mounted else None if part.point else root
    prefix, type_ = os.fsdecode(part.point), mount.type if mount else ""
    if part.mode is PartMode.UNREAD:
        reason = part.reason or "the mount that it lies in is not read"
        return PartStatus(prefix, type_, UNREAD, reason)
    if part.mode is PartMode.NOTIFIED and not unnotified:
        return PartStatus(prefix, type_, Mode.NOTIFY.value)
    if part.reason or part.mode is PartMode.NOTIFIED:
        reason = part.reason or unnotified
    elif part.is_file:
        reason = "a mounted file is looked at every poll_interval"
    elif mode is Mode.POLL:
        reason = "set by the configuration"
    else:
        reason = f"{type_} is not known to notify of every change"
    return PartStatus(prefix, type_, Mode.POLL.value, reason)
