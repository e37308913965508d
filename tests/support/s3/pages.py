"""Decides what the simulated store answers to LIST: question and keys in, XML out."""

import base64
import json
import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from support.s3.dialects import Dialect
from support.s3.faults import XML_HEAD, Fault
from support.s3.keys import SORT_KEYS, Keyspace, Order, View, encode

MAX_KEYS = 1000
OTHER_NAME = "other"
"""Bucket, and first component of the prefix, of a page of another bucket or prefix."""


class StartAfter(StrEnum):
    """How a store treats StartAfter."""

    RIGHT = "right"
    """Lists what comes later in its order."""
    WRONG = "wrong"
    """Begins with the first key that is greater in the other order."""
    IGNORED = "ignored"
    REJECTED = "rejected"
    """Answers 400, as S3 Express may."""


class RefusedError(Exception):
    """The question cannot be answered; the message says why."""


class Position(NamedTuple):
    """Where a page begins, which is what a token encodes.

    ``last`` and ``rolled`` are the last key and common prefix of the page before.
    """

    seed: int
    last: str = ""
    rolled: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """The parameters of one LIST; ``start_after`` is the marker of version 1."""

    prefix: str = ""
    delimiter: str = ""
    start_after: str = ""
    token: str = ""
    max_keys: int = MAX_KEYS
    is_url: bool = False
    version: int = 2

    @classmethod
    def parse(cls, query: str) -> Self:
        """Read the query of a request."""
        asked = dict(parse_qsl(query, keep_blank_values=True))
        version = 2 if asked.get("list-type") == "2" else 1
        return cls(
            prefix=asked.get("prefix", ""),
            delimiter=asked.get("delimiter", ""),
            start_after=asked.get("start-after" if version > 1 else "marker", ""),
            token=asked.get("continuation-token", "") if version > 1 else "",
            max_keys=min(int(asked.get("max-keys", MAX_KEYS)), MAX_KEYS),
            is_url=asked.get("encoding-type") == "url",
            version=version,
        )


@dataclass(slots=True)
class Page:
    """One page of a listing: the XML of its objects, and where the next begins, if there is one."""

    first: Position
    rows: str = ""
    count: int = 0
    rolled: list[str] = field(default_factory=list)
    next: Position | None = None


def list_page(keyspace: Keyspace, question: Question, start_after: StartAfter) -> Page:
    """Return the page that a question asks for."""
    if question.token:
        first = _read_token(question.token)
    elif question.start_after and start_after is StartAfter.REJECTED:
        raise RefusedError("StartAfter is not supported for this bucket")
    else:
        first = Position(secrets.randbits(32))
    view = keyspace.view(first.seed)
    low, high = view.span(question.prefix)
    index = max(low, _find_start(view, first))
    if question.start_after and not question.token and start_after is not StartAfter.IGNORED:
        index = max(
            index, _pass_start_after(view, question.start_after, keyspace.order, start_after)
        )
    return _fill(Page(first), view, question, index, high)


def _find_start(view: View, position: Position) -> int:
    if position.rolled and view.is_sorted:
        return view.span(position.rolled)[1]
    return view.after(position.last) if position.last else 0


def _pass_start_after(view: View, key: str, order: Order, start_after: StartAfter) -> int:
    if start_after is StartAfter.RIGHT:
        return view.after(key)
    sort_key = SORT_KEYS[Order.TREE if order is Order.AWS else Order.AWS]
    return next(
        (index for index in range(len(view)) if sort_key(view[index]) > sort_key(key)), len(view)
    )


def _fill(page: Page, view: View, question: Question, index: int, high: int) -> Page:
    """Take keys from the view until the page is full."""
    prefix, delimiter, is_url = question.prefix, question.delimiter, question.is_url
    if not delimiter and (view.is_sorted or not prefix):
        end = min(index + question.max_keys, high)
        page.rows, page.count, rolled = (
            view.rows(index, end, is_url=is_url),
            max(0, end - index),
            "",
        )
    else:
        end, rolled, rows = index, "", []
        # In a random order an earlier page may have had the common prefix.
        listed: set[str] = (
            set()
            if view.is_sorted
            else {_roll_up(view[earlier], prefix, delimiter) for earlier in range(index)}
        )
        while end < high and page.count + len(page.rolled) < question.max_keys:
            key = view[end]
            rolled = _roll_up(key, prefix, delimiter)
            if rolled and rolled not in listed:
                listed.add(rolled)
                page.rolled.append(rolled)
            elif not rolled and key.startswith(prefix):
                rows.append(view.rows(end, end + 1, is_url=is_url))
                page.count += 1
            end = view.span(rolled)[1] if rolled and view.is_sorted else end + 1
        page.rows = "".join(rows)
    if end < high:
        page.next = Position(page.first.seed, view[end - 1], rolled)
    return page


def _roll_up(key: str, prefix: str, delimiter: str) -> str:
    """Return the common prefix of a key; empty where the key is listed itself."""
    if not delimiter or not key.startswith(prefix):
        return ""
    end = key.find(delimiter, len(prefix))
    return "" if end < 0 else key[: end + len(delimiter)]


def render(
    page: Page,
    bucket: str,
    question: Question,
    fault: Fault | None,
    dialect: Dialect = Dialect(),  # noqa: B008 - frozen
) -> str:
    """Return the XML of a page in a dialect, as wrong as the fault says."""
    if fault is Fault.EMPTY:
        page = Page(page.first)
    if fault is Fault.OTHER_PREFIX:
        question = replace(question, prefix=f"{OTHER_NAME}/{question.prefix}")
        page.rows = page.rows.replace("<Key>", f"<Key>{OTHER_NAME}/")

    def coded(text: str) -> str:
        return encode(text, is_url=question.is_url)

    is_named = question.is_url if dialect.names_encoding is None else dialect.names_encoding
    fields: dict[str, str] = {
        "Name": OTHER_NAME if fault is Fault.OTHER_BUCKET else bucket,
        "Prefix": coded(question.prefix),
        "MaxKeys": str(question.max_keys),
        "Delimiter": coded(question.delimiter),
        "EncodingType": "url" if is_named else "",
    }
    fields |= (
        _fields_2(page, question, fault, dialect)
        if question.version > 1
        else _fields_1(page, question, dialect)
    )
    return "".join(
        (
            f"{XML_HEAD}{dialect.root}>",
            *(
                f"<{name}>{text}</{name}>"
                for name, text in fields.items()
                if (text or name in {"Prefix", "Marker"}) and name not in dialect.without
            ),
            page.rows,
            *(
                f"<CommonPrefixes><Prefix>{coded(rolled)}</Prefix></CommonPrefixes>"
                for rolled in page.rolled
            ),
            f"</{dialect.root[1:].partition(' ')[0]}>",
        )
    )


def _fields_2(
    page: Page, question: Question, fault: Fault | None, dialect: Dialect
) -> dict[str, str]:
    after = page.next
    if fault is Fault.ENDLESS and after is None:
        after = Position(page.first.seed)
    token = _write_token(after) if after else ""
    if fault is Fault.REPEATED_TOKEN:
        token = question.token or _write_token(page.first)
    is_truncated = bool(token) or fault is Fault.NO_TOKEN
    has_token = dialect.has_tokens and fault is not Fault.NO_TOKEN
    return {
        "StartAfter": encode(question.start_after, is_url=question.is_url),
        "ContinuationToken": escape(question.token),
        "NextContinuationToken": token * has_token,
        "KeyCount": str(page.count + len(page.rolled)),
        "IsTruncated": dialect.true if is_truncated else "false",
    }


def _fields_1(page: Page, question: Question, dialect: Dialect) -> dict[str, str]:
    marker = (page.next.rolled or page.next.last) if page.next else ""
    has_marker = dialect.has_markers or bool(question.delimiter)
    return {
        "Marker": encode(question.start_after, is_url=question.is_url),
        "NextMarker": encode(marker, is_url=question.is_url) * has_marker,
        "IsTruncated": dialect.true if page.next else "false",
    }


def _write_token(position: Position) -> str:
    # The salt makes each token new, and unreadable: clients must not compare or parse tokens.
    text = json.dumps(position).encode()
    salt = secrets.token_bytes(8)
    return base64.b64encode(
        salt + bytes(byte ^ salt[index % 8] for index, byte in enumerate(text))
    ).decode()


def _read_token(token: str) -> Position:
    try:
        data = base64.b64decode(token, validate=True)
        return Position(
            *json.loads(bytes(byte ^ data[index % 8] for index, byte in enumerate(data[8:])))
        )
    except (ValueError, TypeError) as error:
        raise RefusedError("The continuation token provided is incorrect") from error
