"""The unmodified Huawei SDK against the server."""

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkhss.v5 import HssClient, ListRegistryImagesRequest
from tests.api.conftest import Served, served

__all__ = ["served"]


def client_of(served: Served, project_id: str | None = None) -> HssClient:
    keys = served.installation.credentials
    credentials = BasicCredentials(keys.access_key, keys.secret_key, project_id or served.project_id)
    return (
        HssClient.new_builder()
        .with_credentials(credentials)
        .with_endpoint(served.url)
        .with_http_config(HttpConfig.get_default_config())
        .build()
    )


def test_first_page(served: Served) -> None:
    answer = client_of(served).list_registry_images(ListRegistryImagesRequest())
    assert answer.total_num == len(served.images)
    assert [row.id for row in answer.data_list] == [row["id"] for row in served.images[:10]]
