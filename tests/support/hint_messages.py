"""Messages about objects, as services and stores send them."""

import json
from base64 import b64encode
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def s3_record(bucket: str, key: str, event: str = "ObjectCreated:Put") -> Json:
    """Return a record of Amazon S3; the key is as the store writes it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-01-31T12:00:00.000Z",
        "eventName": event,
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "landing",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def s3_message(bucket: str, *keys: str) -> Json:
    """Return a message of Amazon S3 to SNS, SQS or Lambda."""
    return {"Records": [s3_record(bucket, key) for key in keys]}


def sns(message: Json, kind: str = "Notification") -> Json:
    """Return a message within SNS."""
    return {
        "Type": kind,
        "MessageId": "dc1e94d9-56c5-5e96-808d-cc7f68faa162",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:landing",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message),
        "Timestamp": "2026-01-31T12:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "FMG5tlZhJNHLHUXvZgtZzlk24FzVa7oX0T4P03neeXw8ZEXZx6z35j2FOTuNYShn2h0bKi=",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    }


def sns_handshake(url: str, kind: str = "SubscriptionConfirmation") -> Json:
    """Return what SNS sends to an endpoint that is subscribed, or no longer."""
    return sns({}, kind) | {
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": url,
        "Token": "2336412f37",
    }


def eventbridge(bucket: str, key: str) -> Json:
    """Return an event of EventBridge."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-01-31T12:00:00Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 5, "etag": "b1946ac9", "sequencer": "617f08299329d189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "reason": "PutObject",
        },
    }


def s3_test_event() -> Json:
    """Return what S3 sends when notifications are set up."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-31T12:00:00.000Z",
        "Bucket": "landing",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
    }


def minio(bucket: str, key: str, written_key: str) -> Json:
    """Return what MinIO sends to a webhook: the key, and records with the key as it is written."""
    record = s3_record(bucket, written_key) | {"eventSource": "minio:s3"}
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"{bucket}/{key}", "Records": [record]}


def backblaze(bucket: str, *keys: str, event: str = "b2:ObjectCreated:Upload") -> Json:
    """Return an event notification of Backblaze B2."""
    return {
        "events": [
            {
                "accountId": "e85c6a500333",
                "bucketId": "aea8c5bc362ae55070130333",
                "bucketName": bucket,
                "eventId": "ff100ca36a34d0b96ea8d53fb9c2ac0c",
                "eventTimestamp": 1684793309123,
                "eventType": event,
                "eventVersion": 1,
                "matchedRuleName": "mySampleRule1",
                "objectName": key,
                "objectSize": 10495842,
                "objectVersionId": "4_zaea8c5bc362ae55070130333",
            }
            for key in keys
        ]
    }


def tigris(bucket: str, key: str) -> Json:
    """Return what Tigris sends to a webhook."""
    return {
        "events": [
            {
                "eventVersion": "1",
                "eventSource": "tigris",
                "eventName": "OBJECT_CREATED_PUT",
                "eventTime": "2026-01-31T12:00:00Z",
                "bucket": bucket,
                "object": {"key": key, "size": 5, "eTag": "b1946ac9"},
            }
        ]
    }


def cloudflare_r2(bucket: str, key: str) -> Json:
    """Return what Cloudflare R2 sends to a queue of Cloudflare."""
    return {
        "account": "3f4b7e3dcab231cbfdaa90a6a28bd548",
        "action": "PutObject",
        "bucket": bucket,
        "object": {"key": key, "size": 5, "eTag": "b1946ac9"},
        "eventTime": "2026-01-31T12:00:00.000Z",
    }


def cloud_storage(bucket: str, key: str) -> Json:
    """Return an object as the JSON API of Google Cloud Storage represents it."""
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{key}/1700000000000000",
        "name": key,
        "bucket": bucket,
        "generation": "1700000000000000",
        "contentType": "text/plain",
        "size": "5",
    }


def pubsub(bucket: str, key: str, *, has_attributes: bool) -> Json:
    """Return what Pub/Sub pushes for a notification of Cloud Storage."""
    attributes = {
        "bucketId": bucket,
        "objectId": key,
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
    }
    content = json.dumps(cloud_storage(bucket, key)).encode()
    return {
        "message": {
            "attributes": attributes if has_attributes else {},
            "data": b64encode(content).decode(),
            "messageId": "136969346945",
            "publishTime": "2026-01-31T12:00:00.000Z",
        },
        "subscription": "projects/example/subscriptions/landing",
    }


def event_grid(container: str, key: str) -> Json:
    """Return an event of Azure Blob Storage in the schema of Event Grid."""
    return {
        "topic": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/a",
        "subject": f"/blobServices/default/containers/{container}/blobs/{key}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": "831e1650-001e-001b-66ab-eeb76e069631",
        "data": {"api": "PutBlockList", "blobType": "BlockBlob", "url": "https://a.example/c/k"},
        "dataVersion": "",
        "metadataVersion": "1",
        "eventTime": "2026-01-31T12:00:00.0000000Z",
    }


def event_grid_validation(code: str) -> Json:
    """Return what Event Grid asks of a new endpoint; one of a list."""
    return {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/0",
        "subject": "",
        "data": {"validationCode": code, "validationUrl": "https://rp.example/validate?id=1"},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-01-31T12:00:00.0000000Z",
        "metadataVersion": "1",
        "dataVersion": "2",
    }


def cloudevent(data: object, **others: object) -> Json:
    """Return a CloudEvent in structured mode."""
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "urn:example",
        "type": "example.object",
        "datacontenttype": "application/json",
        "data": data,
        **others,
    }


def seaweedfs(path: str, **message_data: object) -> Json:
    """Return what a filer of SeaweedFS sends to a webhook."""
    return {"key": path, "event_type": "create", "message_data": message_data}
