"""GET /v3/projects and GET /v3/auth/domains over a socket."""

import asyncio
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from imagewarden.identity import directory
from imagewarden.identity.roles import Role
from tests.api.v3.conftest import Home


def test_projects(home: Home, client: httpx.Client) -> None:
    answer = client.get("/v3/projects", headers={"X-Auth-Token": home.token(client)})
    assert answer.headers["X-IAM-Trace-Id"] == answer.headers["X-Request-Id"]
    assert answer.json() == {
        "projects": [
            {
                "id": home.keys.project_id,
                "name": "local",
                "domain_id": home.keys.domain_id,
                "parent_id": home.keys.domain_id,
                "description": "made by imagewarden init",
                "enabled": True,
                "is_domain": False,
                "links": {
                    "self": f"{home.url}/v3/projects/{home.keys.project_id}",
                    "next": None,
                    "previous": None,
                },
            }
        ],
        "links": {"self": f"{home.url}/v3/projects", "next": None, "previous": None},
    }


@pytest.mark.parametrize(("name", "found"), [("local", 1), ("Local", 0), ("loca", 0), ("%25", 0), ("a+b", 0)])
def test_projects_by_name(name: str, found: int, home: Home, client: httpx.Client) -> None:
    answer = client.get(f"/v3/projects?name={name}", headers={"X-Auth-Token": home.token(client)})
    assert len(answer.json()["projects"]) == found


@pytest.mark.parametrize("query", ["name=", f"name={'x' * 65}", "name=a&name=b", "name=%00", "name=%ff", "name=%"])
def test_name_that_is_not_usable(query: str, home: Home, client: httpx.Client) -> None:
    answer = client.get(f"/v3/projects?{query}", headers={"X-Auth-Token": home.token(client)})
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (400, "HSS.0001")
    assert body["error"]["title"] == "Bad Request"
    assert body["error_msg"].startswith("parameter name is not usable")


def test_projects_are_the_callers(home: Home, client: httpx.Client) -> None:
    """Not those of another domain, not those without a role, not disabled ones, and within a token's scope only."""

    async def add() -> str:
        engine = home.installation.database.engine(pool_size=1)
        try:
            async with engine.begin() as connection:
                made = {
                    name: await directory.create_project(connection, home.keys.domain_id, name)
                    for name in ("granted", "ungranted", "disabled")
                }
                admin = await directory.find_user(connection, home.keys.domain_id, home.keys.user)
                await directory.grant_role(connection, admin.id, made["granted"].id, Role.VIEWER, "0")
                await directory.grant_role(connection, admin.id, made["disabled"].id, Role.VIEWER)
                await directory.set_project_enabled(connection, made["disabled"].id, enabled=False)
                other = await directory.create_domain(connection, "other")
                await directory.create_project(connection, other, "theirs")
                return made["granted"].id
        finally:
            await engine.dispose()

    granted = asyncio.run(add())
    of_domain = client.get("/v3/projects", headers={"X-Auth-Token": home.token(client, scope=None)})
    assert [each["name"] for each in of_domain.json()["projects"]] == ["local", "granted"]
    scoped = home.token(client, scope={"project": {"id": granted}})
    of_project = client.get("/v3/projects", headers={"X-Auth-Token": scoped})
    assert [each["name"] for each in of_project.json()["projects"]] == ["granted"]


def test_domains(home: Home, client: httpx.Client) -> None:
    answer = client.get("/v3/auth/domains", headers={"X-Auth-Token": home.token(client)})
    assert answer.headers["X-IAM-Trace-Id"] == answer.headers["X-Request-Id"]
    assert answer.json() == {
        "domains": [
            {
                "id": home.keys.domain_id,
                "name": home.keys.domain,
                "description": "",
                "enabled": True,
                "links": {
                    "self": f"{home.url}/v3/domains/{home.keys.domain_id}",
                    "next": None,
                    "previous": None,
                },
            }
        ],
        "links": {"self": f"{home.url}/v3/auth/domains", "next": None, "previous": None},
    }


@pytest.mark.parametrize("path", ["/v3/projects", "/v3/auth/domains"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic QTpC"}, {"X-Auth-Token": "x"}])
def test_nobody_sees_anything(path: str, headers: dict[str, str], client: httpx.Client) -> None:
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


@pytest.mark.parametrize("host", [b"Host: [::", b"Host: a b", b"Host:", b"Host: \xff", b"Host: h/../x?y#z", None])
def test_host_that_is_none(host: bytes | None, home: Home, client: httpx.Client) -> None:
    """Links are made from it; whatever it is, the answer is no internal error."""
    where = urlsplit(home.url)
    version = b"HTTP/1.1" if host else b"HTTP/1.0"
    lines = [b"GET /v3/projects " + version, b"X-Auth-Token: " + home.token(client).encode(), b"Connection: close"]
    with socket.create_connection((where.hostname, where.port), timeout=10) as raw:
        raw.sendall(b"\r\n".join([*lines, *([host] if host else []), b"", b""]))
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.split(b" ", 2)[1] in (b"200", b"400"), answer[:200]
