"""deploy/aws: the files for IAM and S3 are what these take, and allow no more than is asked."""

import json

import botocore.session
import pytest
from botocore.validate import ParamValidator

from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.s3_actions import actions_of, allows, policy

AWS = CHECKOUT / "deploy" / "aws"


def test_the_policy_allows_one_prefix_of_one_bucket():
    statements = policy(AWS / "policy.json", your_bucket="mine")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert allows(statements, (action, "mine/stock_assets/sample/features/x"))
        assert not allows(statements, (action, "mine/other/x"))
        assert not allows(statements, (action, "mine"))
        assert not allows(statements, (action, "another/stock_assets/x"))
    assert allows(statements, ("s3:ListBucket", "mine"))
    assert not allows(statements, ("s3:ListBucket", "mine-too"))
    granted = [action for statement in statements for action in statement.actions]
    assert [action for action in granted if "*" in action] == []
    assert len(granted) == len(set(granted))


def test_the_policy_of_the_key_lets_objects_be_written_and_read():
    (statement,) = policy(AWS / "policy-kms.json")
    assert set(statement.actions) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert statement.resource.startswith("arn:aws:kms:")
    assert "*" not in statement.resource


def test_the_rules_of_the_lifecycle_are_what_s3_takes():
    rules = json.loads((AWS / "lifecycle.json").read_text(encoding="utf-8"))
    model = botocore.session.get_session().get_service_model("s3")
    shape = model.operation_model("PutBucketLifecycleConfiguration").input_shape
    given = {"Bucket": "mine", "LifecycleConfiguration": rules}
    report = ParamValidator().validate(given, shape)
    assert not report.has_errors(), report.generate_report()
    # What expires by its age alone is what steps printed: objects and models never do.
    by_age = [rule for rule in rules["Rules"] if "Days" in rule.get("Expiration", {})]
    assert [rule["Filter"]["Prefix"] for rule in by_age] == ["stock_assets/compute_logs/"]
    assert [rule for rule in rules["Rules"] if rule["Status"] != "Enabled"] == []


@pytest.mark.parametrize(
    ("method", "target", "copied", "body", "asked"),
    [
        ("GET", "/b?list-type=2&prefix=p%2F", None, b"", [("s3:ListBucket", "b")]),
        ("HEAD", "/b", None, b"", [("s3:ListBucket", "b")]),
        ("GET", "/b/p/k%3D1", None, b"", [("s3:GetObject", "b/p/k=1")]),
        ("HEAD", "/b/k", None, b"", [("s3:GetObject", "b/k")]),
        ("PUT", "/b/k", None, b"", [("s3:PutObject", "b/k")]),
        ("PUT", "/b/k", "b/o%3D", b"", [("s3:PutObject", "b/k"), ("s3:GetObject", "b/o=")]),
        ("POST", "/b/k?uploads", None, b"", [("s3:PutObject", "b/k")]),
        ("DELETE", "/b/k?uploadId=1", None, b"", [("s3:AbortMultipartUpload", "b/k")]),
        ("DELETE", "/b/k", None, b"", [("s3:DeleteObject", "b/k")]),
        ("POST", "/b?delete", None, b"<Key>k</Key>", [("s3:DeleteObject", "b/k")]),
    ],
)
def test_a_request_asks_for_the_actions_of_awss_manual(
    method: str, target: str, copied: str | None, body: bytes, asked: list[tuple[str, str]]
):
    assert actions_of(method, target, copied, body) == asked


@pytest.mark.parametrize("target", ["/b?acl", "/b?location", "/b?versions", "/b/k?tagging"])
def test_a_request_that_nobody_thought_of_is_told(target: str):
    with pytest.raises(ValueError, match="GET /b"):
        actions_of("GET", target, None, b"")
