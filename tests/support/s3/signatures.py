"""Checks signatures of version 4 as a service of AWS does, from the request that came in.

As in "Signature Version 4 for API requests" of the IAM User Guide: the path and the headers are
those that were received, so a header that a proxy changes on the way makes the signature wrong.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Self
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True)
class Signature:
    """What the header Authorization says."""

    access_key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    value: str

    @classmethod
    def parse(cls, authorization: str) -> Self:
        """Read the header; raises ValueError for another algorithm or form."""
        algorithm, _, rest = authorization.partition(" ")
        if algorithm != "AWS4-HMAC-SHA256":
            raise ValueError(f"not signed by version 4: {authorization!r}")
        fields = dict(field.strip().split("=", 1) for field in rest.split(","))
        access_key, day, region, service, end = fields["Credential"].split("/")
        if end != "aws4_request":
            raise ValueError(f"not a scope: {authorization!r}")
        headers = tuple(fields["SignedHeaders"].split(";"))
        return cls(access_key, day, region, service, headers, fields["Signature"])

    def matches(
        self, secret: str, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Return whether the request was signed with a secret as it came in."""
        path, _, query = target.partition("?")
        parameters = sorted(
            tuple(quote(unquote(part), safe="-_.~") for part in (name, value))
            for name, _, value in (each.partition("=") for each in query.split("&") if each)
        )
        payload = headers.get("x-amz-content-sha256") or sha256(body).hexdigest()
        request = "\n".join(
            (
                method,
                path,
                "&".join("=".join(pair) for pair in parameters),
                *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in self.headers),
                "",
                ";".join(self.headers),
                payload,
            )
        )
        scope = f"{self.day}/{self.region}/{self.service}/aws4_request"
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256",
                headers["x-amz-date"],
                scope,
                sha256(request.encode()).hexdigest(),
            )
        )
        key = f"AWS4{secret}".encode()
        for part in (self.day, self.region, self.service, "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.compare_digest(key.hex(), self.value)
