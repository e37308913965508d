"""The JSON of the status page, whatever names it holds."""

import json

import pytest

from watcher.watch.report import WatchReport
from watcher.web.json_documents import encode_document


@pytest.mark.parametrize("name", ["orders", "\N{SNOWMAN}", "lone \ud800 surrogate"])
def test_a_document_of_any_names(name: str) -> None:
    """Names may hold what UTF-8 cannot encode; JSON can escape it."""
    document = {"watches": [WatchReport(name, "file:///data/in", "", "watching")]}
    [watch] = json.loads(encode_document(document))["watches"]
    assert (watch["name"], watch["place"]) == (name, "file:///data/in")
