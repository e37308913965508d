"""Names the fixtures that all test directories share."""

pytest_plugins = ["s3_servers", "wiring"]
