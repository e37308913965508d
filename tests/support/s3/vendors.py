"""Puts the manners of known stores before the simulated one: addresses, regions, signatures, tags.

Each vendor accepts what its store does, and refuses the rest with the store's own words. The facts
are from manuals, from answers quoted in public issues, and from rclone's list of quirks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from support.s3.cloud import Cloud
from support.s3.faults import Answer, error
from support.s3.identity import KeyRing
from support.s3.keys import ObjectTable, Order
from support.s3.pages import StartAfter
from support.s3.simulated import Store

Policy: TypeAlias = Callable[[str, str, str], bool]
"""Whether an action of S3 is allowed, on a bucket, for a key or the prefix of a listing."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """How a store is addressed.

    Attributes:
        host: Host of its endpoint.
        by_path: Whether the bucket may come first in the path.
        by_host: Whether it may come first in the name of the host.
        regions: Regions that a signature may be for; empty for any.
        wrong_style: What it answers where the bucket is not in its place.
        wrong_region: What it answers to a signature for another region, given that.
        tags: XML that it adds to each object of a listing.
        altered: Headers that its proxies change before the signature is checked.
    """

    host: str
    by_path: bool = True
    by_host: bool = False
    regions: frozenset[str] = frozenset()
    wrong_style: Answer = field(default_factory=lambda: error(HTTPStatus.NOT_FOUND, "NoSuchBucket"))
    wrong_region: Callable[[str], Answer] = lambda _: error(400, "AuthorizationHeaderMalformed")
    tags: str = ""
    altered: Mapping[str, str] = field(default_factory=dict)


def _r2_region(region: str) -> Answer:
    named = "wnam, enam, weur, eeur, apac, oc, auto"
    text = f"The region name '{region}' is not valid. Must be one of: {named}"
    return error(HTTPStatus.BAD_REQUEST, "InvalidRegionName", text)


def _expecting(expected: str) -> Callable[[str], Answer]:
    """Name the right region in the error, as Amazon and Garage do."""

    def answer(region: str) -> Answer:
        text = f"the region '{region}' is wrong; expecting '{expected}'"
        refusal = error(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", text)
        named = f"</Message><Region>{expected}</Region>".encode()
        return replace(refusal, body=refusal.body.replace(b"</Message>", named))

    return answer


AMAZON: Final = Vendor(
    "s3.eu-west-1.amazonaws.com",
    by_host=True,
    regions=frozenset({"eu-west-1"}),
    wrong_region=_expecting("eu-west-1"),
)
GOOGLE: Final = Vendor(
    "storage.googleapis.com",
    by_host=True,
    tags="<Generation>1760000000000000</Generation><MetaGeneration>1</MetaGeneration>",
    altered={"accept-encoding": "identity,gzip(gfe)"},
)
CLOUDFLARE: Final = Vendor(
    "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
    by_host=True,
    regions=frozenset({"auto", "us-east-1", "wnam", "enam", "weur", "eeur", "apac", "oc"}),
    wrong_region=_r2_region,
)
ALIBABA: Final = Vendor(
    "s3.oss-cn-hangzhou.aliyuncs.com",
    by_path=False,
    by_host=True,
    wrong_style=error(
        HTTPStatus.FORBIDDEN,
        "SecondLevelDomainForbidden",
        "Please use virtual hosted style to access.",
    ),
    tags="<Type>Normal</Type><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>",
)
TENCENT: Final = Vendor(
    "cos.ap-guangzhou.myqcloud.com",
    by_path=False,
    by_host=True,
    wrong_style=error(
        HTTPStatus.FORBIDDEN,
        "PathStyleDomainForbidden",
        "The bucket must be addressed using COS virtual-styled domain.",
    ),
)
CEPH: Final = Vendor(
    "rgw.example.com",
    tags="<Owner><ID>reader</ID><DisplayName>reader</DisplayName></Owner><Type>Normal</Type>",
)
GARAGE: Final = Vendor(
    "garage.example.com", regions=frozenset({"garage"}), wrong_region=_expecting("garage")
)
MINIO: Final = Vendor(
    "minio.minio.svc", tags="<Owner><ID>1</ID><DisplayName>minio</DisplayName></Owner>"
)


class Shop:
    """A store of a vendor with one bucket, in a cloud.

    Attributes:
        store: What is in the bucket.
        signers: Who signed the requests that were served, in order.
        policy: Further conditions.
        is_public: Whether requests need no signature.
    """

    def __init__(self, cloud: Cloud, vendor: Vendor, bucket: str, keys: KeyRing) -> None:
        self.store = Store(ObjectTable(Order.AWS), StartAfter.RIGHT)
        self.store.bucket = bucket
        self.signers: list[str] = []
        self.policy: Policy = lambda *_: True
        self.is_public = False
        self._vendor = vendor
        self._keys = keys
        cloud.hosts[vendor.host] = self.answer
        if vendor.by_host:
            cloud.hosts[f"{bucket}.{vendor.host}"] = self.answer

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        vendor, path = self._vendor, target
        host = urlsplit(f"//{headers['host']}").hostname or ""
        if host != vendor.host:
            path = f"/{host.removesuffix(f'.{vendor.host}')}{target}"
        elif not vendor.by_path:
            return vendor.wrong_style
        received = {**headers, **vendor.altered}
        if (refusal := self._check_signer(method, target, received, body)) is not None:
            return refusal
        if not self.policy(*_action(method, path)):
            return error(HTTPStatus.FORBIDDEN, "AccessDenied", "Access Denied")
        answer = self.store.answer(method, path, received, body)
        tagged = answer.body.replace(b"</Contents>", f"{vendor.tags}</Contents>".encode())
        return replace(answer, body=tagged)

    def _check_signer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | None:
        """Note who signed a request; return what the store answers if it does not accept it."""
        if "authorization" not in headers:
            if self.is_public:
                return None
            return error(HTTPStatus.FORBIDDEN, "AccessDenied", "Anonymous access is not allowed")
        if (signer := self._keys.signer(method, target, headers, body)) is None:
            return error(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", "The signature is wrong")
        key, signature = signer
        if self._vendor.regions and signature.region not in self._vendor.regions:
            return self._vendor.wrong_region(signature.region)
        if key.expires < datetime.now(UTC):
            return error(HTTPStatus.BAD_REQUEST, "ExpiredToken", "The token has expired")
        self.signers.append(key.id)
        return None


def _action(method: str, path: str) -> tuple[str, str, str]:
    """Return the action of a request, its bucket, and the key or the prefix of a listing."""
    place, _, query = path.partition("?")
    bucket, _, key = unquote(place)[1:].partition("/")
    if method == "GET" and not key:
        return "s3:ListBucket", bucket, "".join(parse_qs(query).get("prefix", ()))
    return "s3:GetObject", bucket, key
