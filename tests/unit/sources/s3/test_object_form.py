"""Objects that are written alike are read as the parser of XML reads them, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.sources.s3.object_form import read_columns
from watcher.sources.s3.objects import ObjectReader

READER = ObjectReader("s3://landing/", b"", is_url=True)
TIME = "<LastModified>2026-01-02T03:04:05.678Z</LastModified>"
ETAG = "<ETag>&quot;d41d8cd98f-2&quot;</ETag>"
REST = f"{TIME}{ETAG}<Size>7</Size><StorageClass>STANDARD</StorageClass>"
OWNER = "<Owner><ID>75aa</ID><DisplayName>me</DisplayName></Owner>"
FORMS = [
    f"<Key>%s</Key>{REST}",
    f"<Key>%s</Key>{REST}{OWNER}",
    f"{OWNER}<Size>0012</Size>{TIME}<Key>%s</Key>",
    f'<Key>%s</Key><Size>7</Size>{TIME}<ETag>"abc"</ETag><Type>Normal</Type>',
    f"<Key>%s</Key><Size>7</Size>{TIME}<ETag></ETag><StorageClass></StorageClass>",
    f"<Key>%s</Key><Size>7</Size>{TIME}<ETag>&#34;abc&#34;</ETag><ChecksumType>x</ChecksumType>",
]


def objects(form: str, *keys: str) -> list[bytes]:
    return [f"<Contents>{form % key}".encode() for key in keys]


@pytest.mark.parametrize("form", FORMS)
def test_entries_are_those_of_the_parser(form: str) -> None:
    listed = objects(form, "in/a", "in/b%20c+d", "in/e")
    assert read_columns(listed) is not None
    assert READER.read(listed) == (READER._parse(listed), [])


@pytest.mark.parametrize(
    "odd",
    [
        f"<Contents><Key>b&amp;c</Key>{REST}",
        f"<Contents><Key>b&lt;</Key>{REST}",
        f"<Contents><Key>é</Key>{REST}",
        f"<Contents><Key>b\t</Key>{REST}",
        f"<Contents><Key>]]></Key>{REST}",
        f"<Contents><Key>b</Key>{REST.replace('7', '+7')}",
        f"<Contents><Key>b</Key>{REST.replace('7', '1' * 19)}",
        f"<Contents><Key>b</Key>{REST}{OWNER}",
        f"<Contents><Key>b</Key> {REST}",
        f"<Contents><Key>b</Key>{REST.replace('2&quot;', '2&quot;x')}",
        f"<Contents a='b'><Key>b</Key>{REST}",
        f"x<Contents><Key>b</Key>{REST}",
        f"<Contents><Key>b</Key>{REST}</Contents><Contents><Key>b</Key>{REST}",
        "<Contents>",
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_written_otherwise_is_left_to_the_parser(odd: str, at: int) -> None:
    listed = objects(FORMS[0], "a", "c")
    listed.insert(at, odd.encode())
    assert read_columns(listed) is None


@pytest.mark.parametrize(
    "form",
    [
        f"<Key>%s</Key><Size>7</Size>{TIME}<Size>8</Size>",
        f"<Key>%s</Key>{TIME}",
        f"<Owner><Key>%s</Key></Owner><Size>7</Size>{TIME}",
        f"<Key>%s</Key><Size>7</Size>{TIME}" + 20 * "<More></More>",
        f"<Key>%s<Size>7</Key></Size>{TIME}",
    ],
)
def test_a_form_without_one_of_each_field_is_left_to_the_parser(form: str) -> None:
    assert read_columns(objects(form, "a", "b")) is None


@given(
    st.lists(st.text(st.sampled_from("az/%20+&;<>\"'é\r\n\x01\x7f-C"), max_size=6), min_size=1),
    st.sampled_from(FORMS),
    st.data(),
)
def test_nothing_is_read_that_the_parser_reads_otherwise(
    keys: list[str], form: str, data: st.DataObject
) -> None:
    listed = objects(form, *keys)
    torn = data.draw(st.integers(0, len(listed[0])))
    listed[0] = listed[0][:torn] + data.draw(st.binary(max_size=2)) + listed[0][torn:]
    try:
        columns = read_columns(listed)
        entries = [] if columns is None else READER._make_entries(columns)
    except ValueError:
        return
    if columns is not None:
        assert entries == READER._parse(listed)
