"""The unmodified Huawei SDK against the server: every filter, paging, both kinds of credentials, error classes."""

import os
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.auth.provider import EnvCredentialProvider
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkhss.v5 import HssClient, ListRegistryImagesRequest
from huaweicloudsdkiam.v3 import (
    AuthScope,
    AuthScopeProject,
    IamClient,
    KeystoneCreateUserTokenByPasswordRequest,
    KeystoneCreateUserTokenByPasswordRequestBody,
    KeystoneListAuthDomainsRequest,
    KeystoneListProjectsRequest,
    PwdAuth,
    PwdIdentity,
    PwdPassword,
    PwdPasswordUser,
    PwdPasswordUserDomain,
)

from tests.api.conftest import Served, served
from tests.support.reference import reference_page

__all__ = ["served"]

ROW_FIELDS = [
    "id", "namespace", "image_name", "image_id", "image_digest", "image_version", "image_type", "registry_id",
    "registry_name", "registry_type", "latest_version", "scan_status", "image_size", "latest_update_time",
    "latest_sync_time", "vul_num", "unsafe_setting_num", "malicious_file_num", "scannable", "is_multiple_arch",
]  # fmt: skip
FILTERS: list[dict[str, Any]] = [
    {"namespace": "library"},
    {"image_name": "api/web"},
    {"image_version": "v1-3"},
    {"registry_name": "registry-harbor"},
    {"image_type": "instance_image"},
    {"latest_version": True},
    {"image_size": 2**63 - 1},
    {"scan_status": "failed"},
    {"start_latest_update_time": 1_700_000_000_002},
    {"end_latest_update_time": 1_700_000_000_002},
    {"start_latest_scan_time": 1_700_000_000_001, "end_latest_scan_time": 1_700_000_000_003},
    {"start_latest_sync_time": 0},
    {"end_latest_sync_time": 1_700_000_000_001},
    {"has_malicious_file": True},
    {"has_unsafe_setting": False},
    {"has_vul": True},
    {"risky": False},
    {"instance_id": "i1"},
    {"instance_name": "two"},
    {"is_multarch": True},
    {"severity_level": "High"},
    {"sort_key": "latest_scan_time", "sort_dir": "desc"},
    {"sort_dir": "desc"},
    {"enterprise_project_id": "all_granted_eps"},
    {"limit": 3, "offset": 5},
]


def client_of(served: Served, project_id: str | None = None, **keys: str) -> HssClient:
    mine = served.installation.credentials
    credentials = BasicCredentials(
        keys.get("access", mine.access_key), keys.get("secret", mine.secret_key), project_id or served.project_id
    )
    return built(HssClient, credentials, served.url)


def built(kind: Any, credentials: Any, endpoint: str) -> Any:
    builder = kind.new_builder().with_credentials(credentials).with_endpoint(endpoint)
    return builder.with_http_config(HttpConfig.get_default_config()).build()


@pytest.mark.parametrize("asked", FILTERS, ids=",".join)
def test_every_filter(served: Served, asked: dict[str, Any]) -> None:
    answer = client_of(served).list_registry_images(ListRegistryImagesRequest(**{"limit": 200, **asked}))
    wanted = {name: value for name, value in asked.items() if name != "enterprise_project_id"}
    total, ids = reference_page(served.images, {"limit": 200, **wanted}, 2**62)
    assert answer.total_num == total > 0
    assert [row.id for row in answer.data_list] == ids
    for row in answer.data_list:
        assert all(getattr(row, name) is not None for name in ROW_FIELDS)
        if row.is_multiple_arch:
            assert [child.scan_status for child in row.association_images] == ["unscan"] * 2


def test_every_parameter_has_a_filter_here() -> None:
    named = {name for asked in FILTERS for name in asked}
    assert named == set(ListRegistryImagesRequest.attribute_map)


def test_paging_as_terraform_does_it(served: Served) -> None:
    client = client_of(served)
    seen: list[int] = []
    while True:
        request = ListRegistryImagesRequest(offset=len(seen)) if seen else ListRegistryImagesRequest()
        page = client.list_registry_images(request)
        if not page.data_list:
            break
        assert len(page.data_list) <= 10
        seen += [row.id for row in page.data_list]
    assert seen == [row["id"] for row in served.images]


def test_token_and_signature_give_the_same_answer(served: Served) -> None:
    keys = served.installation.credentials
    user = PwdPasswordUser(PwdPasswordUserDomain(keys.domain), keys.user, keys.password)
    identity = PwdIdentity(["password"], PwdPassword(user))
    scope = AuthScope(project=AuthScopeProject(id=keys.project_id))
    request = KeystoneCreateUserTokenByPasswordRequest(
        body=KeystoneCreateUserTokenByPasswordRequestBody(PwdAuth(identity, scope))
    )
    iam = built(IamClient, GlobalCredentials(keys.access_key, keys.secret_key, keys.domain_id), served.url)
    answer = iam.keystone_create_user_token_by_password(request)
    assert answer.token.user.name == keys.user
    assert answer.token.project.id == keys.project_id
    assert [role.name for role in answer.token.roles] == ["admin"]
    path = f"{served.url}/v5/{keys.project_id}/image/registries/images?limit=200"
    by_token = httpx.get(path, headers={"X-Auth-Token": answer.x_subject_token}, trust_env=False)
    by_signature = client_of(served).list_registry_images(ListRegistryImagesRequest(limit=200))
    assert by_token.json()["total_num"] == by_signature.total_num
    assert [row["id"] for row in by_token.json()["data_list"]] == [row.id for row in by_signature.data_list]


def test_credentials_that_look_their_project_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = served.installation.credentials
    credentials = BasicCredentials(keys.access_key, keys.secret_key).with_iam_endpoint(served.url)
    builder = HssClient.new_builder().with_credentials(credentials).with_region(Region("local", served.url))
    answer = builder.build().list_registry_images(ListRegistryImagesRequest())
    assert answer.total_num == len(served.images)
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", keys.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", keys.secret_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_PROJECT_ID", keys.project_id)
    found = EnvCredentialProvider.get_basic_credential_env_provider().get_credentials()
    assert built(HssClient, found, served.url).list_registry_images(ListRegistryImagesRequest()).total_num
    assert os.environ["HUAWEICLOUD_SDK_AK"] == keys.access_key


def test_projects_and_domains(served: Served) -> None:
    keys = served.installation.credentials
    iam = built(IamClient, GlobalCredentials(keys.access_key, keys.secret_key, keys.domain_id), served.url)
    projects = iam.keystone_list_projects(KeystoneListProjectsRequest(name="local")).projects
    assert [(project.id, project.domain_id) for project in projects] == [(keys.project_id, keys.domain_id)]
    assert iam.keystone_list_projects(KeystoneListProjectsRequest(name="elsewhere")).projects == []
    domains = iam.keystone_list_auth_domains(KeystoneListAuthDomainsRequest()).domains
    assert [(domain.id, domain.name) for domain in domains] == [(keys.domain_id, keys.domain)]


@pytest.mark.parametrize(
    ("status", "code", "change"),
    [
        (401, "APIGW.0301", {"secret": "wrong"}),
        (401, "APIGW.0301", {"access": "UNKNOWN0000000000000"}),
        (400, "HSS.0010", {"project_id": "f" * 32}),
        (400, "HSS.0001", {"limit": 201}),
        (400, "HSS.0001", {"start_latest_scan_time": 2, "end_latest_scan_time": 1}),
        (400, "HSS.0010", {"enterprise_project_id": "x"}),
    ],
)
def test_errors_as_the_sdk_shows_them(served: Served, status: int, code: str, change: dict[str, Any]) -> None:
    asked = {name: value for name, value in change.items() if name in ListRegistryImagesRequest.attribute_map}
    client = client_of(served, **{name: value for name, value in change.items() if name not in asked})
    if "enterprise_project_id" in change:
        # The administrator may see every enterprise project: one that does not exist holds nothing.
        assert client.list_registry_images(ListRegistryImagesRequest(**asked)).total_num == 0
        return
    with pytest.raises(ClientRequestException) as refused:
        client.list_registry_images(ListRegistryImagesRequest(**asked))
    error = refused.value
    assert (error.status_code, error.error_code) == (status, code)
    assert error.error_msg
    assert error.request_id
