"""The unmodified official SDK, and Terraform's way of signing, against the identity API."""

import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException
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
    KeystoneValidateTokenRequest,
    PwdAuth,
    PwdIdentity,
    PwdPassword,
    PwdPasswordUser,
    PwdPasswordUserDomain,
)

from imagewarden.identity import accesskeys
from imagewarden.identity.lockout import LIMIT, Lockout
from tests.api.v3.conftest import Home
from tests.support.signing import signed


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what earlier tests did wrong, and what the SDK remembers of them."""
    monkeypatch.setattr(accesskeys, "_LOCKOUT", Lockout())
    BasicCredentials._CACHE.clear()
    GlobalCredentials._CACHE.clear()


def hss(home: Home, credentials: BasicCredentials, region: str = "local") -> HssClient:
    """Return a client that knows the region and the address, but no project."""
    located = credentials.with_iam_endpoint(home.url)
    return HssClient.new_builder().with_credentials(located).with_region(Region(region, home.url)).build()


def iam(home: Home) -> IamClient:
    """Return an identity client that knows neither domain nor project."""
    credentials = GlobalCredentials(home.keys.access_key, home.keys.secret_key).with_iam_endpoint(home.url)
    return IamClient.new_builder().with_credentials(credentials).with_region(Region("local", home.url)).build()


def test_project_is_found_by_region(home: Home) -> None:
    credentials = BasicCredentials(home.keys.access_key, home.keys.secret_key)
    answer = hss(home, credentials).list_registry_images(ListRegistryImagesRequest())
    assert answer.total_num == 0
    assert credentials.project_id == home.keys.project_id


def test_region_without_a_project(home: Home) -> None:
    credentials = BasicCredentials(home.keys.access_key, home.keys.secret_key)
    with pytest.raises(SdkException, match=r"Failed to get project id of region 'far-1', X-IAM-Trace-Id=[0-9a-f]{32}"):
        hss(home, credentials, "far-1")


def test_domain_is_found(home: Home) -> None:
    client = iam(home)
    answer = client.keystone_list_auth_domains(KeystoneListAuthDomainsRequest())
    assert [each.id for each in answer.domains] == [home.keys.domain_id]
    assert client._credentials.domain_id == home.keys.domain_id


def test_projects_as_the_sdk_reads_them(home: Home) -> None:
    answer = iam(home).keystone_list_projects(KeystoneListProjectsRequest(name="local"))
    (project,) = answer.projects
    assert (project.id, project.name, project.enabled) == (home.keys.project_id, "local", True)
    assert (project.domain_id, project.parent_id, project.is_domain) == (home.keys.domain_id,) * 2 + (False,)
    assert project.links._self == f"{home.url}/v3/projects/{project.id}"


def test_token_as_the_sdk_reads_it(home: Home) -> None:
    client = iam(home)
    user = PwdPasswordUser(PwdPasswordUserDomain(home.keys.domain), home.keys.user, home.keys.password)
    identity = PwdIdentity(["password"], PwdPassword(user))
    auth = PwdAuth(identity, AuthScope(project=AuthScopeProject(home.keys.project_id)))
    request = KeystoneCreateUserTokenByPasswordRequest(
        nocatalog="true", body=KeystoneCreateUserTokenByPasswordRequestBody(auth)
    )
    answer = client.keystone_create_user_token_by_password(request)
    assert answer.token.user.name == home.keys.user
    assert answer.token.project.id == home.keys.project_id
    assert [each.name for each in answer.token.roles] == ["admin"]
    assert answer.token.catalog == []
    validated = client.keystone_validate_token(KeystoneValidateTokenRequest(x_subject_token=answer.x_subject_token))
    assert validated.token.expires_at == answer.token.expires_at


def test_wrong_secret_as_the_sdk_tells_it(home: Home) -> None:
    credentials = BasicCredentials(home.keys.access_key, "wrong", home.keys.project_id)
    with pytest.raises(ClientRequestException) as caught:
        hss(home, credentials).list_registry_images(ListRegistryImagesRequest())
    error = caught.value
    assert (error.status_code, error.error_code) == (401, "APIGW.0301")
    assert error.error_msg.startswith("verify aksk signature fail")
    assert len(error.request_id) == 32


def test_five_wrong_signatures_lock_the_key(home: Home) -> None:
    wrong = hss(home, BasicCredentials(home.keys.access_key, "wrong", home.keys.project_id))
    right = hss(home, BasicCredentials(home.keys.access_key, home.keys.secret_key, home.keys.project_id))
    for _ in range(LIMIT):
        with pytest.raises(ClientRequestException, match="verify aksk signature fail"):
            wrong.list_registry_images(ListRegistryImagesRequest())
    with pytest.raises(ClientRequestException, match="AK access failed to reach the limit") as caught:
        right.list_registry_images(ListRegistryImagesRequest())
    assert caught.value.status_code == 401


def ask(home: Home, path: str, query: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Sign as Terraform's client does, with Host unsigned, and send it."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    keys = (home.keys.access_key, home.keys.secret_key)
    signed_headers = {"user-agent": "golangsdk/2.0.0", "region": "local"}
    parts = signed(
        signed_headers, method="GET", path=path, query=query.encode(), canonical_query=query, date=date, keys=keys
    )
    sent = {name.decode(): value.decode() for name, value in parts.headers if name != b"Host"}
    request = urllib.request.Request(f"{home.url}{path}?{query}", headers={**sent, **headers})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_terraforms_signature(home: Home) -> None:
    path = f"/v5/{home.keys.project_id}/image/registries/images"
    assert ask(home, path, "image_name=a%20b&offset=0", {"X-Project-Id": home.keys.project_id})[0] == 200
    status, body = ask(home, path, "offset=0", {"X-Project-Id": "0" * 32})
    assert (status, b"HSS.0010" in body) == (400, True)
    assert ask(home, "/v3/projects", "name=local", {"X-Domain-Id": home.keys.domain_id})[0] == 200


def test_the_path_that_is_signed_is_the_one_that_is_served(home: Home) -> None:
    """The same bytes on both sides of the server's own decoding."""
    path = f"/v5/{home.keys.project_id[:31]}%{ord(home.keys.project_id[31]):02x}/image/registries/images"
    canonical = f"/v5/{home.keys.project_id}/image/registries/images/"
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    parts = signed(
        {}, method="GET", path=path, canonical_path=canonical, date=date,
        keys=(home.keys.access_key, home.keys.secret_key),
    )  # fmt: skip
    where = urlsplit(home.url)
    sent = {name.decode(): value.decode() for name, value in parts.headers if name != b"Host"}
    with httpx.Client(trust_env=False) as client:
        url = httpx.URL(scheme="http", host=where.hostname or "", port=where.port, raw_path=path.encode())
        assert client.get(url, headers=sent).status_code == 200


def test_late_signature_says_what_to_do(home: Home) -> None:
    parts = signed({}, method="GET", path="/v3/projects", keys=(home.keys.access_key, home.keys.secret_key))
    sent = {name.decode(): value.decode() for name, value in parts.headers if name != b"Host"}
    answer = httpx.get(f"{home.url}/v3/projects", headers=sent, trust_env=False)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
    assert answer.json()["error_msg"].endswith("by more than 15 minutes; set the clock")
