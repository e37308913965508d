"""Finds the credentials for a bucket, and renews them, apart from the client that uses them.

What hands out credentials (STS, IAM Identity Center, an agent of the pod or the machine, a program)
has addresses and failures of its own: the guards of ``connections`` are for the store alone, and a
refusal of STS must not read as one of the bucket.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from watcher.sources.s3.errors import translated_credentials

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

    from watcher.spec import BucketSpec


def find_credentials(session: Session, spec: BucketSpec) -> Credentials:
    """Return the credentials of the standard chain, or of the role assumed with them.

    They renew themselves while they are in use; where that fails, signing a request raises what
    this function raises.

    Args:
        session: Makes the clients of the services that hand out credentials, now and at each
            renewal, with its default settings.
        spec: Names the role and the region; the rest comes from the environment.

    Raises:
        WatcherError: By ``errors.translate_credentials``.
    """
    with translated_credentials(spec.place):
        return cast("Credentials", _Reporting(_find(session, spec), spec.place))


def make_session(spec: BucketSpec) -> Session:
    """Return a session of the SDK, in the region of the environment.

    Other tools take AWS_REGION before AWS_DEFAULT_REGION; botocore knows only the latter.
    """
    session = Session(profile=spec.profile)
    if region := os.environ.get("AWS_REGION"):
        session.set_config_variable("region", region)
    return session


def _find(session: Session, spec: BucketSpec) -> Credentials:
    if session.get_config_variable("region") is None:
        # STS has an address in each region, and roles are assumed at the one of the server.
        session.set_config_variable("region", spec.region)
    # Not by the session's own method: it would remember them, and sign with them as they are.
    chain = session.get_component("credential_provider")
    source: Credentials | None = chain.load_credentials()
    if source is None:
        raise NoCredentialsError
    if spec.role_arn is None:
        return source
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(session.create_client, region_name=spec.region),
        source_credentials=source,
        role_arn=spec.role_arn,
        extra_args={"RoleSessionName": "watcher"},
    )
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, method="assume-role")


class _Reporting:
    """Credentials that translate the failures of their renewal.

    The SDK renews them when it signs a request, where they would be failures of the store.
    """

    def __init__(self, source: Credentials, place: str) -> None:
        self._source = source
        self._place = place

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the credentials of this moment, renewed if they are about to expire."""
        with translated_credentials(self._place):
            return self._source.get_frozen_credentials()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the source
        return getattr(self._source, name)
