"""Recognises addresses of public stores that are nearly right, where no store could be meant."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_STORES = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "r2.cloudflarestorage.com",
    "storage.googleapis.com",
    "backblazeb2.com",
    "wasabisys.com",
    "digitaloceanspaces.com",
    "linodeobjects.com",
    "scw.cloud",
    "aliyuncs.com",
    "myqcloud.com",
)
"""Domains of stores whose endpoints have neither a path nor a bucket in them."""

_PRIVATE_LINK = ".vpce."
"""Part of the hosts of AWS PrivateLink, which begin with ``bucket.`` whatever the bucket."""

_WEBSITE = re.compile(r"(?:.*\.)?s3-website[.-][a-z0-9-]+\.amazonaws\.com(?:\.cn)?")
"""Hosts of the websites that AWS makes of buckets."""


def problem_of_endpoint(endpoint_url: str, bucket: str) -> str:
    """Return what is wrong with the endpoint of a bucket, to follow the name of the key.

    Args:
        endpoint_url: URL of the store.
        bucket: Name of the bucket.

    Returns:
        Empty if nothing is known to be wrong.
    """
    url = urlsplit(endpoint_url)
    host = url.hostname or ""
    if _WEBSITE.fullmatch(host):
        return "is a website, which lists no keys: leave it out, and set the region"
    right = url.netloc.removeprefix(f"{bucket}.")
    if (
        not is_public_store(endpoint_url)
        or _PRIVATE_LINK in host
        or (right == url.netloc and not url.path)
    ):
        return ""
    return f'must have neither the bucket nor a path in it, write "{url.scheme}://{right}"'


def is_public_store(endpoint_url: str) -> bool:
    """Return whether an endpoint belongs to a public store that is known."""
    host = urlsplit(endpoint_url).hostname or ""
    return any(host == store or host.endswith(f".{store}") for store in _STORES)
