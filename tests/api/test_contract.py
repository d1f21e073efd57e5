"""The server against its own API document: requests made from the document find no 5xx and no other shape."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from imagewarden.api.app import litestar_app
from imagewarden.api.openapi import api_document
from imagewarden.api.services import Services
from tests.api.conftest import Served


@contextlib.asynccontextmanager
async def no_services() -> AsyncIterator[Services]:
    """The document is made without a database."""
    raise AssertionError("not started")
    yield


DOCUMENT = api_document(litestar_app(no_services))
schema = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def token(served: Served) -> str:
    keys = served.installation.credentials
    user = {"name": keys.user, "password": keys.password, "domain": {"name": keys.domain}}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"id": keys.project_id}},
        }
    }
    answer = httpx.post(f"{served.url}/v3/auth/tokens", json=body, trust_env=False)
    assert answer.status_code == 201
    return answer.headers["X-Subject-Token"]


@schema.parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_requests_made_from_the_document(case: schemathesis.Case[Any], served: Served, token: str) -> None:
    if "project_id" in case.path_parameters:
        case.path_parameters["project_id"] = served.project_id
    response = case.call(base_url=served.url, headers={"X-Auth-Token": token})
    case.validate_response(response, checks=CHECKS)


def test_the_document_is_served(served: Served) -> None:
    assert httpx.get(f"{served.url}/openapi.json", trust_env=False).json() == DOCUMENT


def test_every_operation_is_described() -> None:
    described = {operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()}
    assert {"ListRegistryImages", "CreateToken", "ValidateToken", "RevokeToken", "ListProjects"} <= described
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["security"] or operation["tags"] != ["images"]
