"""What concerns an S3 account rather than its objects, through boto3."""

from typing import Any

from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.s3_connection import S3Connection

_ATTEMPTS = 5


def connected(connection: S3Connection) -> Any:
    """A client of a server, with the credentials and the addresses that the store uses.

    dagster-aws' resource makes one too, but can't be told where in an address the bucket stands.
    """
    from boto3.session import Session
    from botocore.config import Config

    return Session().client(
        "s3",
        region_name=connection.region,
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=connection.access_key_id,
        aws_secret_access_key=connection.secret_access_key,
        config=Config(
            s3={"addressing_style": connection.addressing},
            retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
        ),
    )


def s3_client(store: ObjectStore) -> Any:
    """A client of the store's server."""
    if store.connection is None:
        raise TypeError(f"{store.uri} is not on S3")
    return connected(store.connection)


def bucket_exists(store: ObjectStore) -> bool:
    """Whether the store's bucket is there and may be seen with these credentials."""
    from botocore.exceptions import ClientError

    try:
        s3_client(store).head_bucket(Bucket=store.bucket)
    except ClientError:
        return False
    return True
