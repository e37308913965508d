"""Hands out credentials as AWS does: STS, IAM Identity Center, agents of a pod or a machine.

A ``KeyRing`` remembers what was handed out, and to whom, so that a store can check signatures.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

from support.s3.faults import XML_HEAD, Answer
from support.s3.signatures import Signature

LIFETIME = timedelta(hours=1)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Credentials: two words, a session token for temporary ones, and when they end."""

    id: str
    secret: str
    token: str = ""
    expires: datetime = NEVER


@dataclass
class KeyRing:
    """All credentials there are.

    Attributes:
        keys: By their id.
        lifetime: How long temporary ones last from now on.
    """

    keys: dict[str, AccessKey] = field(default_factory=dict)
    lifetime: timedelta = LIFETIME

    def issue(self, holder: str) -> AccessKey:
        """Make temporary credentials, whose id begins with their holder."""
        number = sum(each.startswith(holder) for each in self.keys) + 1
        name = f"{holder}{number}"
        key = AccessKey(
            name, f"secret of {name}", f"token of {name}", datetime.now(UTC) + self.lifetime
        )
        self.keys[name] = key
        return key

    def signer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, service: str = "s3"
    ) -> tuple[AccessKey, Signature] | None:
        """Return who signed a request, and how; None where the signature is not right."""
        signature = Signature.parse(headers.get("authorization", ""))
        key = self.keys.get(signature.access_key)
        if (
            key is None
            or signature.service != service
            or headers.get("x-amz-security-token", "") != key.token
            or not signature.matches(key.secret, method, target, headers, body)
        ):
            return None
        return key, signature


@dataclass
class Sts:
    """The Security Token Service of one region.

    Attributes:
        keys: Where credentials come from, and who may sign.
        region: Its region.
        trusted: What a role demands: parameters of the request, by the name of the role.
        asked: The parameters of each request.
        expiration: Writes when credentials expire.
    """

    keys: KeyRing
    region: str
    trusted: dict[str, dict[str, str]]
    asked: list[dict[str, str]] = field(default_factory=list)
    expiration: Callable[[datetime], str] = datetime.isoformat

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        asked = dict(parse_qsl(body.decode()))
        self.asked.append(asked)
        role, action = asked["RoleArn"].rpartition("/")[2], asked["Action"]
        if action == "AssumeRole":
            signer = self.keys.signer(method, target, headers, body, "sts")
            if signer is None or signer[1].region != self.region:
                return self._refuse("SignatureDoesNotMatch", "The signature is wrong.")
            if signer[0].expires < datetime.now(UTC):
                return self._refuse("ExpiredToken", "The security token has expired.")
            asked = asked | {"signer": signer[0].id}
        wanted = self.trusted[role]
        if {name: asked.get(name) for name in wanted} != wanted:
            return self._refuse("AccessDenied", f"Not authorized to perform: sts:{action}")
        key = self.keys.issue(role)
        return Answer(
            f'{XML_HEAD}<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><Credentials><AccessKeyId>{key.id}</AccessKeyId>"
            f"<SecretAccessKey>{key.secret}</SecretAccessKey>"
            f"<SessionToken>{key.token}</SessionToken>"
            f"<Expiration>{self.expiration(key.expires)}</Expiration>"
            f"</Credentials></{action}Result></{action}Response>".encode()
        )

    @staticmethod
    def _refuse(code: str, message: str) -> Answer:
        body = (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "<RequestId>1</RequestId></ErrorResponse>"
        )
        return Answer(body.encode(), HTTPStatus.FORBIDDEN)


@dataclass
class Agent:
    """What gives a process the role of its pod: EKS Pod Identity, or ECS.

    Attributes:
        keys: Where credentials come from.
        token_file: Has the token that a request must present.
        path: The path that is asked for.
    """

    keys: KeyRing
    token_file: Path
    path: str = "/v1/credentials"

    def answer(self, method: str, target: str, headers: Mapping[str, str], _: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        if (method, target) != ("GET", self.path):
            return Answer(status=HTTPStatus.NOT_FOUND)
        if headers.get("authorization") != self.token_file.read_text():
            return Answer(b"Service account token is not valid", HTTPStatus.BAD_REQUEST)
        return _json(_metadata(self.keys.issue("pod")))


@dataclass
class Machine:
    """The metadata service of a machine (IMDSv2), whose role is ``machine``."""

    keys: KeyRing

    def answer(self, method: str, target: str, headers: Mapping[str, str], _: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        roles = "/latest/meta-data/iam/security-credentials/"
        if (method, target) == ("PUT", "/latest/api/token"):
            return Answer(b"session")
        if headers.get("x-aws-ec2-metadata-token") != "session":
            return Answer(status=HTTPStatus.UNAUTHORIZED)
        if target == roles:
            return Answer(b"machine")
        if target == f"{roles}machine":
            return _json(_metadata(self.keys.issue("machine")) | {"Code": "Success"})
        return Answer(status=HTTPStatus.NOT_FOUND)


@dataclass
class Portal:
    """The portal of IAM Identity Center, and its service of tokens.

    Attributes:
        keys: Where credentials come from.
        tokens: Access tokens that are valid.
        assigned: Account and role that those who log in may use.
    """

    keys: KeyRing
    tokens: set[str]
    assigned: tuple[str, str]

    def answer(self, _: str, target: str, headers: Mapping[str, str], __: bytes) -> Answer:
        """Answer a request to the portal; see ``endpoint.Responder``."""
        if headers.get("x-amz-sso_bearer_token") not in self.tokens:
            return _refusal("UnauthorizedException", "Session token not found or invalid")
        query = parse_qs(urlsplit(target).query)
        if (query["account_id"], query["role_name"]) != tuple([each] for each in self.assigned):
            return _refusal("ForbiddenException", "No access", HTTPStatus.FORBIDDEN)
        key = self.keys.issue("sso")
        return _json(
            {
                "roleCredentials": {
                    "accessKeyId": key.id,
                    "secretAccessKey": key.secret,
                    "sessionToken": key.token,
                    "expiration": int(key.expires.timestamp() * 1000),
                }
            }
        )

    def renew(self, _: str, __: str, ___: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request for a new token; see ``endpoint.Responder``."""
        if json.loads(body)["refreshToken"] not in self.tokens:
            return _refusal(
                "InvalidGrantException", "Invalid refresh token", HTTPStatus.BAD_REQUEST
            )
        self.tokens.add("renewed")
        return _json({"accessToken": "renewed", "expiresIn": 3600, "tokenType": "Bearer"})


def _metadata(key: AccessKey) -> dict[str, str]:
    return {
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.token,
        "Expiration": key.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _json(content: object, status: int = HTTPStatus.OK, **headers: str) -> Answer:
    return Answer(
        json.dumps(content).encode(), status, {"Content-Type": "application/json"} | headers
    )


def _refusal(code: str, message: str, status: int = HTTPStatus.UNAUTHORIZED) -> Answer:
    return _json({"message": message}, status, **{"x-amzn-ErrorType": code})
