"""Acknowledgements, token files and requests of any bytes are read, or refused with an error."""

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from watcher._proto import generic_pb2, watcher_pb2
from watcher.config.schema import parse_spec
from watcher.errors import ConfigError, StateError, UnauthenticatedError
from watcher.security.policy import Policy
from watcher.settings import ServerSettings
from watcher.web.acknowledge import parse_ids
from watcher.web.endpoint import MAX_BODY_BYTES

DEPTH = 100_000
ids = st.lists(st.text(max_size=8) | st.just("6f1d0c9b8a7e6d5c-42"), max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | ids,
    lambda inner: st.lists(inner, max_size=3),
)
bodies = st.dictionaries(st.sampled_from(["id", "ids", "x"]), json_values).map(
    lambda body: json.dumps(body).encode()
)
requests = st.builds(
    generic_pb2.EventSource,
    name=st.text(max_size=8),
    config=st.just(b"directory: /data") | st.binary(max_size=20),
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Return some bytes with a slice replaced."""
    body = draw(whole)
    start = draw(st.integers(0, len(body)))
    return body[:start] + draw(st.binary(max_size=6)) + body[start + draw(st.integers(0, 4)) :]


@given(st.binary(max_size=60) | bodies | damaged(bodies))
@example(b'{"x": ' + b"[" * DEPTH)
@example(b'{"x": ' + b'{"a": ' * DEPTH + b"1" + b"}" * DEPTH + b"}")
@example(b'{"id": "\xff"}')
@example(b'{"id": "\\ud800"}')
@example(b'{"id": 1e999}')
@example(b'{"ids": [' + b'"",' * (MAX_BODY_BYTES // 3) + b'""]}')
def test_any_acknowledgement_is_read_or_refused(body: bytes) -> None:
    """A body gives at least one id, each of them text, or an error that says what is expected."""
    try:
        found = parse_ids(body)
    except ConfigError as error:
        line = str(error)
        assert "acknowledgement" in line
    else:
        assert found
        assert all(isinstance(each, str) for each in found)


PIECES = [b"alice", b":", b"secret", b"\n", b"\r", b" ", b"#", b"\0", b"\xff", b"\xc3\xa9", b"\x85"]
token_lines = st.lists(st.sampled_from(PIECES), max_size=12)


@given(st.binary(max_size=40) | token_lines.map(b"".join))
def test_any_token_file_is_read_or_stops_the_server(data: bytes) -> None:
    """A token file gives owners or stops the server; a client without its tokens is refused."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "tokens"
        path.write_bytes(data)
        try:
            policy = Policy(ServerSettings(token_file=path))
        except StateError:
            return
    for shown in (None, "", "Bearer ", "Bearer x", "Bearer :", "Basic secret"):
        with contextlib.suppress(UnauthenticatedError):
            assert policy.principal(shown)
            assert shown in {"Bearer x", "Bearer :"}
            assert shown.removeprefix("Bearer ").encode() in data


@settings(max_examples=examples(200))
@given(st.binary(max_size=60) | damaged(requests.map(generic_pb2.EventSource.SerializeToString)))
def test_any_request_is_read_or_refused(data: bytes) -> None:
    """Bytes are no message, or one whose configuration is read or refused."""
    for kind in (watcher_pb2.AcknowledgeRequest, watcher_pb2.ReplayRequest):
        with contextlib.suppress(DecodeError):
            kind.FromString(data)
    with contextlib.suppress(DecodeError, ConfigError):
        parse_spec(generic_pb2.EventSource.FromString(data).config)
