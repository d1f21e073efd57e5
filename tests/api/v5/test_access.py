"""Who sees which rows: enterprise projects, roles, and credentials that end."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import insert, text

from imagewarden.identity.accesskeys import create_access_key
from imagewarden.identity.directory import (
    create_enterprise_project,
    create_project,
    create_user,
    grant_role,
    set_user_enabled,
)
from imagewarden.identity.roles import Role
from imagewarden.identity.tokens import issue_token, revoke_token
from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import image
from imagewarden.storage.database import Database
from tests.support.inventory import Installation, install
from tests.support.server import serve


@dataclass
class House:
    """Three images, one in each enterprise project, and a viewer of one of them."""

    url: str
    """Where it answers."""
    installation: Installation
    """What is behind it."""
    viewer: str
    """Id of the viewer of enterprise project `a`."""
    token: str
    """The viewer's token."""
    vault: Vault
    """The vault."""

    def ask(self, token: str, query: str = "") -> httpx.Response:
        """Ask for the list."""
        path = f"/v5/{self.installation.credentials.project_id}/image/registries/images{query}"
        return httpx.get(self.url + path, headers={"X-Auth-Token": token}, trust_env=False)

    def do(self, work: object) -> object:
        """Run a coroutine function in a transaction of its own."""

        async def run() -> object:
            engine = self.installation.database.engine(pool_size=1)
            try:
                async with engine.begin() as connection:
                    return await work(connection)  # type: ignore[operator] # a coroutine function
            finally:
                await engine.dispose()

        return asyncio.run(run())


async def prepare(database: Database, installation: Installation) -> tuple[str, str]:
    keys = installation.credentials
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        for name in ("a", "b"):
            await create_enterprise_project(connection, keys.domain_id, name, name)
        for number, part in enumerate(("0", "a", "b")):
            row = {
                "project_id": keys.project_id, "registry_id": installation.registries[0]["id"], "namespace": "n",
                "name": part, "tag": "1", "digest": "sha256:" + str(number) * 64, "config_digest": "", "kind": "other",
                "media_type": "", "size": 1, "scannable": True, "is_index": False, "updated_at": 1, "synced_at": 1,
                "sync_run_id": 1, "enterprise_project_id": part,
            }  # fmt: skip
            await connection.execute(insert(image).values(row))
        viewer = await create_user(connection, keys.domain_id, "viewer", "a long password")
        await grant_role(connection, viewer, keys.project_id, Role.VIEWER, "a")
        issued = await issue_token(connection, viewer, keys.project_id, 3600)
    await engine.dispose()
    return viewer, issued.text


@pytest.fixture
def house(embedded_database: Database, vault: Vault) -> Iterator[House]:
    installation = asyncio.run(install(embedded_database, vault))
    viewer, token = asyncio.run(prepare(embedded_database, installation))
    with serve(embedded_database, vault) as url:
        yield House(url, installation, viewer, token, vault)


def names(answer: httpx.Response) -> list[str]:
    page = answer.json()
    assert page["total_num"] == len(page["data_list"])
    return [row["image_name"] for row in page["data_list"]]


def test_a_limited_viewer_sees_its_own_part_alone(house: House) -> None:
    assert names(house.ask(house.token, "?enterprise_project_id=a")) == ["a"]
    assert names(house.ask(house.token, "?enterprise_project_id=all_granted_eps")) == ["a"]
    for query in ("", "?enterprise_project_id=0", "?enterprise_project_id=b", "?enterprise_project_id=none"):
        denied = house.ask(house.token, query)
        assert (denied.status_code, denied.json()["error_code"]) == (400, "HSS.0010")


def test_an_unlimited_caller_sees_the_default_part_or_all(house: House) -> None:
    keys = house.installation.credentials

    async def admin_token(connection: object) -> str:
        admin = (await connection.execute(text("SELECT id FROM user_account WHERE name = 'admin'"))).scalar_one()  # type: ignore[attr-defined]
        return (await issue_token(connection, admin, keys.project_id, 3600)).text  # type: ignore[arg-type]

    token = str(house.do(admin_token))
    assert names(house.ask(token)) == ["0"]
    assert names(house.ask(token, "?enterprise_project_id=b")) == ["b"]
    assert names(house.ask(token, "?enterprise_project_id=all_granted_eps")) == ["0", "a", "b"]


def test_a_revoked_token_is_worthless_at_once(house: House) -> None:
    assert house.ask(house.token, "?enterprise_project_id=a").status_code == 200
    house.do(lambda connection: revoke_token(connection, house.token))
    answer = house.ask(house.token, "?enterprise_project_id=a")
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


def test_a_disabled_user_is_shut_out_with_token_and_key(house: House) -> None:
    house.do(lambda connection: create_access_key(connection, house.vault, house.viewer))
    house.do(lambda connection: set_user_enabled(connection, house.viewer, enabled=False))
    assert house.ask(house.token, "?enterprise_project_id=a").status_code == 401


def test_an_expired_token_is_worthless(house: House) -> None:
    house.do(lambda connection: connection.execute(text("UPDATE token SET expires_at = 1")))
    assert house.ask(house.token, "?enterprise_project_id=a").status_code == 401


def test_a_token_is_good_for_its_own_project_alone(house: House) -> None:
    keys = house.installation.credentials

    async def second(connection: object) -> str:
        made = await create_project(connection, keys.domain_id, "second")  # type: ignore[arg-type]
        await grant_role(connection, house.viewer, made.id, Role.ADMIN)  # type: ignore[arg-type]
        return made.id

    other = str(house.do(second))
    path = f"{house.url}/v5/{other}/image/registries/images"
    denied = httpx.get(path, headers={"X-Auth-Token": house.token}, trust_env=False)
    assert denied.json()["error_code"] == "HSS.0010"


def test_a_project_header_that_differs_is_denied(house: House) -> None:
    path = f"/v5/{house.installation.credentials.project_id}/image/registries/images?enterprise_project_id=a"
    headers = {"X-Auth-Token": house.token, "X-Project-Id": "f" * 32}
    denied = httpx.get(house.url + path, headers=headers, trust_env=False)
    assert denied.json()["error_code"] == "HSS.0010"
