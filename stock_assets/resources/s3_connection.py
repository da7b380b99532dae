"""How an S3 server is reached, in the words of each library that asks one.

obstore stores objects, polars reads a user's own files, boto3 looks after buckets and keeps what
steps print, and MLflow's boto3 keeps models. All are told the same here: which server, by whose
credentials, and with which encryption.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from stock_assets.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential

# boto3 renews what a role lends ten minutes before its end at the latest.
_ASKED_AGAIN_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class S3Connection:
    """How to reach an S3 server. Empty fields: as AWS's usual chain finds them.

    Args:
        region: Of the bucket.
        endpoint_url: A server other than AWS.
        access_key_id: With its secret key, instead of AWS's usual chain of credentials.
        secret_access_key: Never shown.
        addressing: Whether the bucket stands in an address's path or before the server's name.
        encryption: What each PUT asks the server to encrypt with: AES256, or aws:kms.
        kms_key_id: Of aws:kms; the account's own key for S3 without it.
    """

    region: str
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    addressing: Literal["path", "virtual"] = "path"
    encryption: str | None = None
    kms_key_id: str | None = None

    def environment(self) -> dict[str, str]:
        """The variables by which boto3 inside MLflow is told the same."""
        encrypting = self.put_arguments()
        pairs = {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint_url,
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": self.addressing,
            "MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(encrypting) if encrypting else None,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": self.region,
        }
        return {name: value for name, value in pairs.items() if value}

    def options(self, bucket: str) -> dict[str, str]:
        """What polars needs to read from a bucket.

        With the name `aws_allow_http` it would take its own chain of credentials for boto3's.
        """
        return self._address(bucket) | ({"allow_http": "true"} if self.endpoint_url else {})

    def store_options(self, bucket: str) -> dict[str, str]:
        """The same for obstore, with what each of its PUTs and copies says of encryption.

        A key of the bucket is made of that of KMS, which would else be asked for each object, at a
        price and with a limit.
        """
        pairs = {
            "aws_server_side_encryption": self.encryption,
            "aws_sse_kms_key_id": self.kms_key_id,
            "aws_sse_bucket_key_enabled": "true" if self.encryption == "aws:kms" else None,
        }
        return self._address(bucket) | {name: value for name, value in pairs.items() if value}

    def _address(self, bucket: str) -> dict[str, str]:
        endpoint = self.endpoint_url
        if endpoint and self.addressing == "virtual":  # both want the whole name of the host
            endpoint = endpoint.replace("://", f"://{bucket}.", 1)
        pairs = {
            "aws_endpoint": endpoint,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "aws_region": self.region,
            "aws_virtual_hosted_style_request": "true" if self.addressing == "virtual" else None,
        }
        return {name: value for name, value in pairs.items() if value}

    def put_arguments(self) -> dict[str, str]:
        """What boto3's uploads say of encryption.

        They can't ask for the bucket's key. So KMS is asked for each model and each step's output,
        unless the bucket has its key switched on, and there are few of them.
        """
        pairs = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key_id}
        return {name: value for name, value in pairs.items() if value}

    def credentials(self) -> "Callable[[], S3Credential] | None":
        """Where obstore asks for credentials; None where a key is given.

        Its own chain knows variables and machines' roles, but no profile of AWS's files and no
        single sign-on, which boto3, polars and MLflow do.
        """
        return None if self.access_key_id else _Chain()


class _Chain:
    """AWS's usual chain as boto3 walks it, when first asked and whenever a loan nears its end."""

    def __init__(self) -> None:
        self._found: Callable[[], S3Credential] | None = None

    def __call__(self) -> "S3Credential":
        if self._found is None:
            from boto3.session import Session
            from obstore.auth.boto3 import Boto3CredentialProvider

            self._found = Boto3CredentialProvider(Session(), ttl=_ASKED_AGAIN_AFTER)
        return self._found()


def configured_connection(settings: Settings) -> S3Connection:
    """The S3 server of the settings, which need not be the store's (own files may lie there)."""
    secret = settings.s3_secret_access_key
    return S3Connection(
        settings.s3_region,
        settings.s3_endpoint_url,
        settings.s3_access_key_id,
        secret.get_secret_value() if secret else None,
        settings.s3_addressing,
        settings.s3_encryption,
        settings.s3_kms_key_id,
    )
