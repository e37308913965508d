"""What is reported about a configuration that is not valid."""

import pytest

from watcher.config.schema import parse_spec
from watcher.errors import ConfigError


def problems(config: str | bytes) -> str:
    """Return the problems of a configuration, without the words that every error begins with."""
    with pytest.raises(ConfigError) as caught:
        parse_spec(config.encode() if isinstance(config, str) else config)
    line = str(caught.value)
    assert line.isprintable()
    return line.removeprefix("configuration is not valid: ")
