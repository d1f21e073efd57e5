"""The list endpoint against its contract, and against the list said again in a few lines."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Served
from tests.support.inventory import START
from tests.support.reference import reference_page
from tests.support.shared import shared_path

PATH = "/v5/{}/image/registries/images"


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """Give a client that is logged in as the administrator."""
    keys = served.installation.credentials
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": keys.user, "password": keys.password, "domain": {"name": keys.domain}}
                    },
                },
                "scope": {"project": {"id": keys.project_id}},
            }
        }
        answer = client.post("/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        client.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        yield client


def page_schema() -> dict[str, Any]:
    """Return the JSON Schema of the list's answer in the contract."""
    document = json.loads(shared_path("contract/openapi.json").read_text())
    reference = {"$ref": "#/components/schemas/ListRegistryImagesResponse"}
    return {**reference, "components": document["components"]}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with no field beyond those it names."""
    for found in schema["components"]["schemas"].values():
        if found.get("type") == "object" and "properties" in found:
            found["additionalProperties"] = False
    return schema


filters = st.fixed_dictionaries(
    {},
    optional={
        "namespace": st.sampled_from(["library", "Shop", "shop", "none"]),
        "image_name": st.sampled_from(["nginx", "api/web", "NGINX", "tool_%", "tool__"]),
        "image_version": st.sampled_from(["v1-3", "V2-7", "latest-9", "latest"]),
        "registry_name": st.sampled_from(["registry-other", "registry-harbor", "nowhere"]),
        "image_type": st.sampled_from(["private_image", "instance_image", "other"]),
        "latest_version": st.booleans(),
        "image_size": st.sampled_from([0, 1000, 2**31, 2**63 - 1, 1]),
        "scan_status": st.sampled_from(
            ["unscan", "success", "scanning", "failed", "waiting_for_scan", "download_failed", "any_failed"]
        ),
        "start_latest_update_time": st.integers(0, 2).map(lambda at: START + at),
        "end_latest_update_time": st.integers(2, 9).map(lambda at: START + at),
        "start_latest_scan_time": st.integers(0, 2).map(lambda at: START + at),
        "end_latest_scan_time": st.integers(2, 9).map(lambda at: START + at),
        "start_latest_sync_time": st.integers(0, 2).map(lambda at: START + at),
        "end_latest_sync_time": st.just(2**63 - 1),
        "has_malicious_file": st.booleans(),
        "has_unsafe_setting": st.booleans(),
        "has_vul": st.booleans(),
        "risky": st.booleans(),
        "instance_id": st.sampled_from(["i1", ""]),
        "instance_name": st.sampled_from(["two", ""]),
        "is_multarch": st.booleans(),
        "severity_level": st.sampled_from(["Security", "Low", "Medium", "High"]),
        "search": st.sampled_from(["SHOP", "v1", "api/", "_%", "latest-1"]),
    },
)
orders = st.fixed_dictionaries(
    {},
    optional={"sort_key": st.just("latest_scan_time"), "sort_dir": st.sampled_from(["asc", "desc"])},
)
few_filters = filters.flatmap(
    lambda every: (
        st.sets(st.sampled_from(sorted(every)), max_size=3).map(lambda names: {n: every[n] for n in names})
        if every
        else st.just({})
    )
)


def query(asked: dict[str, Any]) -> str:
    return urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=few_filters, order=orders, limit=st.sampled_from([1, 7, 10, 200]))
def test_every_mix_of_filters_on_every_page(
    served: Served, client: httpx.Client, asked: dict[str, Any], order: dict[str, Any], limit: int
) -> None:
    seen, offset = [], 0
    while True:
        wanted = {**asked, **order, "limit": limit, "offset": offset}
        answer = client.get(f"{PATH.format(served.project_id)}?{query(wanted)}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        total, ids = reference_page(served.images, wanted, int(time.time() * 1000))
        assert page["total_num"] == total
        assert [row["id"] for row in page["data_list"]] == ids
        seen += ids
        offset += limit
        if not ids:
            break
    assert len(seen) == len(set(seen)) == total


def test_every_answer_fits_the_contract(served: Served, client: httpx.Client) -> None:
    schema = strict(page_schema())
    page = client.get(f"{PATH.format(served.project_id)}?limit=200").json()
    jsonschema.validate(page, schema)
    assert page["total_num"] == len(page["data_list"]) == len(served.images)
    for row, stored in zip(page["data_list"], served.images, strict=True):
        failed = stored["scan_status"] in ("failed", "download_failed", "image_oversized")
        expected = set(schema["components"]["schemas"]["RegistryImagesInfo"]["properties"])
        expected -= {"scan_failed_code", "scan_failed_desc"} if not failed else set()
        expected -= {"latest_scan_time", "severity_level"} if stored["scanned_at"] is None else set()
        expected -= {"domain_name", "shared_status"} if stored["owner_domain"] is None else set()
        expected -= {"association_images"} if not stored["is_index"] else set()
        assert set(row) == expected
        if stored["is_index"]:
            children = schema["components"]["schemas"]["AssociateImagesInfo"]["properties"]
            assert [set(child) for child in row["association_images"]] == [set(children)] * 2


REFUSED = [
    ("limit", "limit=0"),
    ("limit", "limit=201"),
    ("limit", "limit=5.0"),
    ("limit", "limit=1e3"),
    ("limit", "limit=%205"),
    ("limit", "limit="),
    ("limit", "limit=5&limit=6"),
    ("offset", "offset=-1"),
    ("offset", "offset=2000001"),
    ("image_size", "image_size=9223372036854775808"),
    ("image_size", "image_size=-1"),
    ("namespace", "namespace="),
    ("namespace", f"namespace={'n' * 129}"),
    ("namespace", "namespace=%00"),
    ("namespace", "namespace=%FF"),
    ("image_name", f"image_name={'n' * 129}"),
    ("image_version", f"image_version={'n' * 65}"),
    ("registry_name", "registry_name="),
    ("instance_id", f"instance_id={'n' * 129}"),
    ("enterprise_project_id", "enterprise_project_id="),
    ("enterprise_project_id", f"enterprise_project_id={'n' * 257}"),
    ("image_type", "image_type=Harbor"),
    ("sort_key", "sort_key=id"),
    ("sort_dir", "sort_dir=DESC"),
    ("scan_status", "scan_status=Success"),
    ("severity_level", "severity_level=Critical"),
    ("latest_version", "latest_version=1"),
    ("has_vul", "has_vul=TRUE"),
    ("risky", "risky="),
    ("is_multarch", "is_multarch=yes"),
    ("start_latest_scan_time", "start_latest_scan_time=2&end_latest_scan_time=1"),
    ("start_latest_sync_time", "start_latest_sync_time=9223372036854775807"),
    ("search", "search="),
]


@pytest.mark.parametrize(("name", "bad"), REFUSED, ids=[bad[:60] for _, bad in REFUSED])
def test_a_bad_parameter_is_named(served: Served, client: httpx.Client, name: str, bad: str) -> None:
    answer = client.get(f"{PATH.format(served.project_id)}?{bad}")
    assert answer.status_code == 400
    body = answer.json()
    assert body["error_code"] == "HSS.0001"
    assert f"parameter {name} " in body["error_msg"]
    assert body["error_description"] == body["error_msg"]
    assert answer.headers["x-request-id"] == body["request_id"]


def test_unknown_parameters_are_ignored(served: Served, client: httpx.Client) -> None:
    answer = client.get(f"{PATH.format(served.project_id)}?page=3&x=%FF&x=1")
    assert answer.status_code == 200
    assert answer.json()["total_num"] == len(served.images)


def test_past_the_end_the_total_is_still_true(served: Served, client: httpx.Client) -> None:
    page = client.get(f"{PATH.format(served.project_id)}?offset=2000000").json()
    assert page == {"total_num": len(served.images), "data_list": []}


def test_a_project_of_others_is_denied_in_the_same_words_as_none(served: Served, client: httpx.Client) -> None:
    there = client.get(PATH.format(served.installation.registries[0]["id"])).json()
    nowhere = client.get(PATH.format("nowhere")).json()
    assert there["error_code"] == nowhere["error_code"] == "HSS.0010"
    assert there["error_msg"] == nowhere["error_msg"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v5//image/registries/images", 404),
        ("/v5/p//image/registries/images", 404),
        ("/v5/p/image/registries/images/", 404),
        ("/v5/p/image/registries/imagesx", 404),
        ("//v5/p/image/registries/images", 404),
        ("/nothing", 404),
        ("/v5/%00/image/registries/images", 400),
        ("/v5/%FF/image/registries/images", 400),
        (f"/v5/{'p' * 300}/image/registries/images", 400),
        (f"/v5/{'p' * 40000}/image/registries/images", 414),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_paths(served: Served, client: httpx.Client, path: str, status: int) -> None:
    request = urllib.request.Request(served.url + path, headers={"X-Auth-Token": client.headers["X-Auth-Token"]})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.code == status
        body = json.loads(answer.read())
    assert body["error_code"]
    assert body["error_msg"]
    assert answer.headers["x-request-id"] == body["request_id"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_wrong_method(served: Served, client: httpx.Client, method: str) -> None:
    answer = client.request(method, PATH.format(served.project_id))
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert answer.json()["error_code"]


def test_oversized_headers_and_bodies(served: Served, client: httpx.Client) -> None:
    assert client.get(PATH.format("p"), headers={"x-large": "x" * 70_000}).status_code == 431
    assert client.post("/v3/auth/tokens", content=b"x" * (1024 * 1024 + 1)).status_code == 413
    pieces = (b"x" * 65536 for _ in range(20))
    assert client.post("/v3/auth/tokens", content=pieces).status_code == 413


@pytest.mark.parametrize("token", [None, "", "wrong", "x" * 32768, "\u00e9"])
def test_without_a_good_token(served: Served, token: str | None) -> None:
    headers = {} if token is None else {"X-Auth-Token": token.encode()}
    answer = httpx.get(served.url + PATH.format(served.project_id), headers=headers, trust_env=False)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "APIGW.0301"
