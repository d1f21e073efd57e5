"""POST, GET and DELETE /v3/auth/tokens over a socket."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity import directory
from imagewarden.identity.tables import token
from tests.api.v3.conftest import Home

TOKENS = "/v3/auth/tokens"


def error_of(answer: httpx.Response, status: int, code: str) -> str:
    """Return the message of an error, having checked all forms of the envelope."""
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code), body
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["error"]["code"] == status
    assert body["error"]["message"] == body["error_msg"] == body["error_description"]
    assert body["error"]["title"]
    return str(body["error_msg"])


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def test_project_token(home: Home, client: httpx.Client) -> None:
    answer = client.post(TOKENS, json=home.login())
    assert answer.status_code == 201
    assert len(answer.headers["X-Subject-Token"]) == 43
    body = answer.json()["token"]
    lived = moment(body["expires_at"]) - moment(body["issued_at"])
    assert lived.total_seconds() == 86400
    assert abs((moment(body["issued_at"]) - datetime.now(UTC)).total_seconds()) < 60
    domain = {"id": home.keys.domain_id, "name": home.keys.domain}
    assert body["methods"] == ["password"]
    assert body["user"].pop("id")
    assert body["user"] == {"name": home.keys.user, "domain": domain, "password_expires_at": ""}
    assert body["project"] == {"id": home.keys.project_id, "name": home.keys.project, "domain": domain}
    assert "domain" not in body
    assert body["roles"] == [{"id": "admin", "name": "admin"}]
    endpoints = {each["type"]: each["endpoints"][0] for each in body["catalog"]}
    assert endpoints["hss"]["url"] == f"{home.url}/v5/{home.keys.project_id}"
    assert endpoints["identity"]["url"] == f"{home.url}/v3"
    assert (endpoints["hss"]["region"], endpoints["hss"]["region_id"], endpoints["hss"]["interface"]) == (
        "local", "local", "public",
    )  # fmt: skip
    assert home.keys.password not in answer.text


SCOPES: list[tuple[str, Any]] = [
    ("id", lambda home: {"project": {"id": home.keys.project_id}}),
    ("name", lambda home: {"project": {"name": home.keys.project}}),
    ("name in domain", lambda home: {"project": {"name": "local", "domain": {"name": home.keys.domain}}}),
    ("name in domain by id", lambda home: {"project": {"name": "local", "domain": {"id": home.keys.domain_id}}}),
]


@pytest.mark.parametrize("scope", [each for _, each in SCOPES], ids=[name for name, _ in SCOPES])
def test_scope_by(scope: Any, home: Home, client: httpx.Client) -> None:
    answer = client.post(TOKENS, json=home.login(scope=scope(home)))
    assert answer.json()["token"]["project"]["id"] == home.keys.project_id


@pytest.mark.parametrize("kind", ["none", "empty", "domain by name", "domain by id"])
def test_domain_token(kind: str, home: Home, client: httpx.Client) -> None:
    scope = {
        "none": None,
        "empty": {},
        "domain by name": {"domain": {"name": home.keys.domain}},
        "domain by id": {"domain": {"id": home.keys.domain_id}},
    }[kind]
    body = client.post(TOKENS, json=home.login(scope=scope)).json()["token"]
    assert body["domain"] == {"id": home.keys.domain_id, "name": home.keys.domain}
    assert "project" not in body
    assert body["roles"] == []
    assert [each["type"] for each in body["catalog"]] == ["identity"]


def test_user_domain_by_id(home: Home, client: httpx.Client) -> None:
    assert home.token(client, domain={"id": home.keys.domain_id})


@pytest.mark.parametrize(("value", "shown"), [("true", False), ("false", True)])
def test_nocatalog(value: str, home: Home, client: httpx.Client, *, shown: bool) -> None:
    answer = client.post(TOKENS, params={"nocatalog": value}, json=home.login())
    assert bool(answer.json()["token"]["catalog"]) is shown
    text = answer.headers["X-Subject-Token"]
    headers = {"X-Auth-Token": text, "X-Subject-Token": text}
    again = client.get(TOKENS, params={"nocatalog": value}, headers=headers)
    assert bool(again.json()["token"]["catalog"]) is shown


def test_the_token_opens_the_list(home: Home, client: httpx.Client) -> None:
    headers = {"X-Auth-Token": home.token(client)}
    answer = client.get(f"/v5/{home.keys.project_id}/image/registries/images", headers=headers)
    assert answer.status_code == 200


def test_a_domain_token_opens_the_list(home: Home, client: httpx.Client) -> None:
    headers = {"X-Auth-Token": home.token(client, scope=None)}
    assert client.get(f"/v5/{home.keys.project_id}/image/registries/images", headers=headers).status_code == 200


WRONG = [
    {"password": "wrong password"},
    {"name": "nobody"},
    {"domain": {"name": "nowhere"}},
    {"domain": {"id": "0" * 32}},
]


@pytest.mark.parametrize("changes", WRONG)
def test_wrong_login(changes: dict[str, Any], home: Home, client: httpx.Client) -> None:
    answer = client.post(TOKENS, json=home.login(**changes))
    assert error_of(answer, 401, "APIGW.0301") == "the user name, the domain or the password is wrong"
    assert answer.json()["error"]["title"] == "Unauthorized"
    assert "X-Subject-Token" not in answer.headers


FOREIGN: list[dict[str, Any]] = [
    {"project": {"id": "0" * 32}},
    {"project": {"name": "nowhere"}},
    {"project": {"name": "local", "domain": {"name": "other"}}},
    {"project": {"name": "local", "domain": {"id": "0" * 32}}},
    {"domain": {"name": "other"}},
    {"domain": {"id": "0" * 32}},
]


@pytest.mark.parametrize("scope", FOREIGN)
def test_scope_of_somebody_else(scope: dict[str, Any], home: Home, client: httpx.Client) -> None:
    answer = client.post(TOKENS, json=home.login(scope=scope))
    assert "the user has no role in the" in error_of(answer, 401, "APIGW.0301")
    assert "X-Subject-Token" not in answer.headers


NESTED = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "not JSON"),
    ("not JSON", b"{", "not JSON"),
    ("not UTF-8", b'{"auth":{"identity":{"methods":["\xff"]}}}', "not JSON"),
    ("another type", b"[]", "object"),
    ("no auth", b"{}", "auth"),
    ("wrong type", b'{"auth":{"identity":{"methods":"password"}}}', "$.auth.identity.methods"),
    ("number for a word", b'{"auth":{"identity":{"methods":[1]}}}', "$.auth.identity.methods[0]"),
    ("deep", NESTED, "nested too deeply"),
]


@pytest.mark.parametrize(("body", "named"), [each[1:] for each in BODIES], ids=[each[0] for each in BODIES])
def test_body_that_cannot_be_read(body: bytes, named: str, client: httpx.Client) -> None:
    assert named in error_of(client.post(TOKENS, content=body), 400, "HSS.0002")


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("user name of the wrong type", {"name": 7}, "$.auth.identity.password.user.name"),
    ("user name empty", {"name": ""}, "$.auth.identity.password.user.name"),
    ("user name too long", {"name": "x" * 65}, "$.auth.identity.password.user.name"),
    ("user name with NUL", {"name": "a\0b"}, "$.auth.identity.password.user.name"),
    ("domain with NUL", {"domain": {"name": "a\0"}}, "$.auth.identity.password.user.domain.name"),
    ("domain missing", {"domain": None}, "$.auth.identity.password.user.domain"),
    ("password of the wrong type", {"password": ["x"]}, "$.auth.identity.password.user.password"),
    ("password too long", {"password": "x" * 129}, "$.auth.identity.password.user.password"),
    ("scope of the wrong type", {"scope": "x"}, "$.auth.scope"),
    ("project with NUL", {"scope": {"project": {"name": "\0"}}}, "$.auth.scope.project.name"),
]


@pytest.mark.parametrize(("changes", "named"), [each[1:] for each in FIELDS], ids=[each[0] for each in FIELDS])
def test_field_that_is_not_usable(changes: dict[str, Any], named: str, home: Home, client: httpx.Client) -> None:
    message = error_of(client.post(TOKENS, json=home.login(**changes)), 400, "HSS.0002")
    assert named in message
    assert home.keys.password not in message


UNNAMED: list[tuple[dict[str, Any], str]] = [
    ({"domain": {}}, "auth.identity.password.user.domain"),
    ({"scope": {"project": {}}}, "auth.scope.project"),
    ({"scope": {"project": {"name": "local", "domain": {}}}}, "auth.scope.project.domain"),
    ({"scope": {"domain": {}}}, "auth.scope.domain"),
    ({"scope": {"project": {"name": "local"}, "domain": {"name": "x"}}}, "auth.scope"),
]


@pytest.mark.parametrize(("changes", "named"), UNNAMED)
def test_thing_without_a_name(changes: dict[str, Any], named: str, home: Home, client: httpx.Client) -> None:
    message = error_of(client.post(TOKENS, json=home.login(**changes)), 400, "HSS.0001")
    assert message.startswith(f"parameter {named} is not usable")


@pytest.mark.parametrize("methods", [["totp"], ["password", "totp"], ["token"]])
def test_method_that_is_not_served(methods: list[str], home: Home, client: httpx.Client) -> None:
    body = home.login()
    body["auth"]["identity"]["methods"] = methods
    assert "auth.identity.methods" in error_of(client.post(TOKENS, json=body), 400, "HSS.0001")


def test_surrogate_in_a_password_is_a_clients_error(home: Home, client: httpx.Client) -> None:
    body = json.dumps(home.login(password="xxxxxxxx")).replace("xxxxxxxx", "\\ud800xxxx")
    error_of(client.post(TOKENS, content=body.encode()), 400, "HSS.0002")


def test_nul_in_a_password_is_a_wrong_password(home: Home, client: httpx.Client) -> None:
    error_of(client.post(TOKENS, json=home.login(password="\0" * 8)), 401, "APIGW.0301")


@pytest.mark.parametrize("value", ["", "1", "TRUE", "true&nocatalog=true"])
def test_nocatalog_that_is_not_usable(value: str, home: Home, client: httpx.Client) -> None:
    answer = client.post(f"{TOKENS}?nocatalog={value}", json=home.login())
    assert "nocatalog" in error_of(answer, 400, "HSS.0001")


def test_validate(home: Home, client: httpx.Client) -> None:
    made = client.post(TOKENS, json=home.login())
    text = made.headers["X-Subject-Token"]
    answer = client.get(TOKENS, headers={"X-Auth-Token": text, "X-Subject-Token": text})
    assert answer.status_code == 200
    assert answer.json() == made.json()
    assert answer.headers["X-Subject-Token"] == text


def test_validate_without_a_subject(home: Home, client: httpx.Client) -> None:
    headers = {"X-Auth-Token": home.token(client)}
    assert "X-Subject-Token" in error_of(client.get(TOKENS, headers=headers), 400, "HSS.0001")


def test_revoke(home: Home, client: httpx.Client) -> None:
    mine, other = home.token(client), home.token(client, scope=None)
    answer = client.delete(TOKENS, headers={"X-Auth-Token": mine, "X-Subject-Token": other})
    assert (answer.status_code, answer.content) == (204, b"")
    error_of(client.get("/v3/projects", headers={"X-Auth-Token": other}), 401, "APIGW.0301")
    for method in ("GET", "DELETE"):
        again = client.request(method, TOKENS, headers={"X-Auth-Token": mine, "X-Subject-Token": other})
        error_of(again, 404, "APIGW.0101")
    assert client.get("/v3/projects", headers={"X-Auth-Token": mine}).status_code == 200
    assert client.delete(TOKENS, headers={"X-Auth-Token": mine, "X-Subject-Token": mine}).status_code == 204
    error_of(client.get("/v3/projects", headers={"X-Auth-Token": mine}), 401, "APIGW.0301")


@pytest.mark.parametrize("text", ["", "unknown", "\u00e9" * 40, "x" * 32768])
def test_token_that_is_not_one(text: str, client: httpx.Client) -> None:
    answer = client.get("/v3/projects", headers={b"X-Auth-Token": text.encode("latin-1")})
    error_of(answer, 401, "APIGW.0301")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_token_operations_need_a_token(method: str, home: Home, client: httpx.Client) -> None:
    error_of(client.request(method, TOKENS, headers={"X-Subject-Token": home.token(client)}), 401, "APIGW.0301")


def change(home: Home, user: str, *, enabled: bool | None = None, expire: bool = False) -> None:
    """Create a user, disable one, or let all its tokens expire."""

    async def in_database(connection: AsyncConnection) -> None:
        if enabled is None and not expire:
            await directory.create_user(connection, home.keys.domain_id, user, home.keys.password)
            return
        found = await directory.find_user(connection, home.keys.domain_id, user)
        if enabled is not None:
            await directory.set_user_enabled(connection, found.id, enabled=enabled)
        if expire:
            await connection.execute(update(token).where(token.c.user_id == found.id).values(expires_at=1))

    async def apply() -> None:
        engine = home.installation.database.engine(pool_size=1)
        try:
            async with engine.begin() as connection:
                await in_database(connection)
        finally:
            await engine.dispose()

    asyncio.run(apply())


def test_a_user_without_a_role(home: Home, client: httpx.Client) -> None:
    change(home, "outsider")
    error_of(client.post(TOKENS, json=home.login(name="outsider")), 401, "APIGW.0301")
    text = home.token(client, name="outsider", scope=None)
    assert client.get("/v3/projects", headers={"X-Auth-Token": text}).json()["projects"] == []
    answer = client.get(f"/v5/{home.keys.project_id}/image/registries/images", headers={"X-Auth-Token": text})
    foreign = client.get(f"/v5/{'0' * 32}/image/registries/images", headers={"X-Auth-Token": text})
    assert answer.status_code == foreign.status_code == 400
    assert answer.json()["error_msg"] == foreign.json()["error_msg"]


def test_tokens_of_others_are_as_good_as_none(home: Home, client: httpx.Client) -> None:
    change(home, "curious")
    mine = home.token(client)
    theirs = home.token(client, name="curious", scope=None)
    for method in ("GET", "DELETE"):
        answer = client.request(method, TOKENS, headers={"X-Auth-Token": theirs, "X-Subject-Token": mine})
        error_of(answer, 404, "APIGW.0101")
    assert client.get("/v3/projects", headers={"X-Auth-Token": mine}).status_code == 200


def test_disabled_user_and_expired_token(home: Home, client: httpx.Client) -> None:
    change(home, "leaver")
    text = home.token(client, name="leaver", scope=None)
    change(home, "leaver", expire=True)
    expired = error_of(client.get("/v3/projects", headers={"X-Auth-Token": text}), 401, "APIGW.0301")
    text = home.token(client, name="leaver", scope=None)
    change(home, "leaver", enabled=False)
    disabled = error_of(client.get("/v3/projects", headers={"X-Auth-Token": text}), 401, "APIGW.0301")
    assert expired == disabled
    error_of(client.post(TOKENS, json=home.login(name="leaver", scope=None)), 401, "APIGW.0301")
