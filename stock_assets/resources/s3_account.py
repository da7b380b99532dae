"""What concerns an S3 account rather than its objects, through dagster-aws."""

from typing import TYPE_CHECKING

from stock_assets.resources.object_store import ObjectStore, S3Connection

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def s3_resource(store: ObjectStore) -> "S3Resource":
    """dagster-aws' resource for the same server and credentials that the store uses."""
    if store.connection is None:
        raise TypeError(f"{store.uri} is not on S3")
    return connected(store.connection)


def connected(connection: S3Connection) -> "S3Resource":
    """dagster-aws' resource for a server."""
    from dagster_aws.s3 import S3Resource

    return S3Resource(
        region_name=connection.region,
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=connection.access_key_id,
        aws_secret_access_key=connection.secret_access_key,
    )


def bucket_exists(store: ObjectStore) -> bool:
    """Whether the store's bucket is there and may be seen with these credentials."""
    from botocore.exceptions import ClientError

    bucket = store.uri.removeprefix("s3://").partition("/")[0]
    try:
        s3_resource(store).get_client().head_bucket(Bucket=bucket)
    except ClientError:
        return False
    return True
