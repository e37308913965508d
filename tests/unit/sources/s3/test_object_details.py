"""What the responses to HEAD and GetObjectTagging say of an object."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.model import ObjectDetails
from watcher.sources.s3.object_details import (
    DETAILS_MAX_BYTES,
    UnreadableDetailsError,
    read_head_details,
    read_tags,
)
from watcher.spec import Detail

BOTH = frozenset({Detail.CONTENT_TYPE, Detail.METADATA})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, ObjectDetails(metadata={})),
        (
            {"ContentType": "text/csv", "VersionId": "null", "Metadata": {"A-b": "1"}},
            ObjectDetails("null", "text/csv", {"a-b": "1"}),
        ),
        ({"ContentType": "", "VersionId": ""}, ObjectDetails(metadata={})),
        ({"ContentType": "x" * 1025, "VersionId": "x" * 1025}, ObjectDetails(metadata={})),
    ],
)
def test_a_response_to_head(answer: dict[str, Any], expected: ObjectDetails) -> None:
    assert read_head_details(answer, BOTH) == expected


def test_only_what_was_asked_for_is_there() -> None:
    answer = {"ContentType": "text/csv", "VersionId": "v1", "Metadata": {"a": "b"}}
    found = read_head_details(answer, {Detail.CONTENT_TYPE})
    assert found == ObjectDetails("v1", "text/csv", None)
    found = read_head_details(answer, {Detail.METADATA})
    assert found == ObjectDetails("v1", None, {"a": "b"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("=?UTF-8?B?w7xiZXI=?=", "\u00fcber"),
        ("=?utf-8?Q?=C3=BCber?=", "\u00fcber"),
        ("=?UTF-8?Q?=C3=BC?= =?UTF-8?Q?ber?=", "\u00fcber"),
        ("\u00fcber".encode().decode("latin-1"), "\u00fcber"),
        ("\u00fcber", "\u00fcber"),
        ("a =?UTF-8?Q?=C3=BC?=", "a =?UTF-8?Q?=C3=BC?="),
        ("=?no-such?Q?a?=", "=?no-such?Q?a?="),
        ("=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="),
        ("=?", "=?"),
        ("", ""),
    ],
)
def test_text_that_is_no_ascii(text: str, expected: str) -> None:
    """Amazon S3 writes encoded words, other stores UTF-8, which the SDK reads as Latin-1."""
    found = read_head_details({"Metadata": {"name": text}}, BOTH)
    assert found.metadata == {"name": expected}


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_any_header_becomes_text_that_can_be_written(name: str, value: str) -> None:
    for text in (value, f"=?{name}?Q?{value}?=", f"=?utf-8?B?{value}?="):
        found = read_head_details({"Metadata": {name: text}, "ContentType": text}, BOTH)
        assert found.metadata is not None
        for each in (*found.metadata, *found.metadata.values(), found.content_type or ""):
            each.encode()


def test_bytes_that_are_no_characters() -> None:
    found = read_head_details({"Metadata": {"a": "=?unknown-8bit?Q?=FF?="}}, BOTH)
    assert found.metadata is not None
    found.metadata["a"].encode()


def test_tags() -> None:
    answer = {"TagSet": [{"Key": "\u00fc", "Value": "1"}, {"Key": "b", "Value": ""}]}
    assert read_tags(answer) == {"\u00fc": "1", "b": ""}
    assert read_tags({"TagSet": []}) == {}
    with pytest.raises(UnreadableDetailsError, match="a response without a set of tags"):
        read_tags({})


def test_what_is_larger_than_any_store_allows() -> None:
    size = DETAILS_MAX_BYTES - 1
    assert read_head_details({"Metadata": {"a": "b" * size}}, BOTH).metadata
    with pytest.raises(UnreadableDetailsError, match="metadata of 16385 bytes, more than 16384"):
        read_head_details({"Metadata": {"a": "b" * (size + 1)}}, BOTH)
    read_head_details({"Metadata": {"a": "b" * (size + 1)}}, {Detail.CONTENT_TYPE})
    with pytest.raises(UnreadableDetailsError, match="tags of 16385 bytes"):
        read_tags({"TagSet": [{"Key": "a", "Value": "b" * (size + 1)}]})
