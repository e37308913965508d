"""How a simulated store deviates from Amazon S3 in all its answers to LIST."""

from dataclasses import dataclass

from support.s3.faults import Answer


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a store makes of ListObjects and ListObjectsV2.

    Attributes:
        refusal: Answer to ListObjectsV2; None where the store knows it.
        has_only_version_1: ListObjectsV2 is answered as ListObjects, its parameters ignored.
        has_tokens: A truncated page of version 2 has a token.
        has_markers: A truncated page of version 1 has a NextMarker also without a delimiter.
        without: Names of fields that are left out.
        is_encoded: Keys are URL-encoded; None where that was asked for.
        names_encoding: A page says that keys are URL-encoded; None where that was asked for.
        true: What is written for a page that is not the last one.
        root: Start of the root element, without its closing bracket.
    """

    refusal: Answer | None = None
    has_only_version_1: bool = False
    has_tokens: bool = True
    has_markers: bool = False
    without: frozenset[str] = frozenset()
    is_encoded: bool | None = None
    names_encoding: bool | None = None
    true: str = "true"
    root: str = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
