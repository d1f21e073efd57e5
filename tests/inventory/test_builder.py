"""The builder: one a folder, within its budget, and an answer to every question."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.identity.vault import Vault
from imagewarden.inventory import builder as builder_module
from imagewarden.inventory import builderclient
from imagewarden.inventory.builder import Builder, building, claim_models, model_folder
from imagewarden.inventory.builderclient import BuilderClient
from imagewarden.inventory.errors import ModelBusy, ModelUnavailable
from imagewarden.inventory.model import ProjectModel
from imagewarden.inventory.reader import ModelReader
from imagewarden.storage.database import Database
from tests.support.inventory import install

pytestmark = pytest.mark.anyio


async def projects(database: Database, vault: Vault) -> list[str]:
    """Return three projects."""
    keys = (await install(database, vault)).credentials
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        for name in ("a", "b"):
            await connection.execute(
                text("INSERT INTO project (id, domain_id, name, created_at) VALUES (:name, :domain, :name, 1)"),
                {"name": name, "domain": keys.domain_id},
            )
    await engine.dispose()
    return [keys.project_id, "a", "b"]


def test_one_process_a_folder(tmp_path: Path) -> None:
    with claim_models(tmp_path), pytest.raises(ModelBusy, match="another process"), claim_models(tmp_path):
        pass
    with claim_models(tmp_path):
        pass


async def test_many_ask_over_the_socket(embedded_database: Database, vault: Vault, tmp_path: Path) -> None:
    """In a folder whose path is longer than a socket's may be."""
    models = tmp_path / ("long" * 40)
    ids = await projects(embedded_database, vault)
    client = BuilderClient(models)
    async with (
        building(models, embedded_database.conninfo, ENCODING, 2**30),
        building(models, embedded_database.conninfo, ENCODING, 2**30),  # finds that the first one does it
    ):
        answers = await asyncio.gather(*(client.refresh(each) for each in ids * 5))
        await client.close()
    assert {answer.error for answer in answers} == {None}
    for each in ids:
        assert ModelReader(model_folder(models, each), each, ENCODING.name).newest() is not None


async def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builderclient, "_REPLACED_SECONDS", 0.3)
    with pytest.raises(ModelUnavailable, match="imagewarden serve"):
        await BuilderClient(tmp_path).refresh("p")


async def test_what_goes_wrong_is_told(
    embedded_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Builder(tmp_path, embedded_database.conninfo + " dbname=gone", ENCODING, 2**30)
    assert 'database "gone" does not exist' in str((await builder.refreshed("p")).error)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ProjectModel, "refresh", broken)
    working = Builder(tmp_path, embedded_database.conninfo, ENCODING, 2**30)
    assert (await working.refreshed("p")).error == "unexpected ZeroDivisionError; the log says more"
    for each in (builder, working):
        await each.close()


async def test_models_of_idle_projects_are_dropped(
    embedded_database: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await projects(embedded_database, vault)
    builder = Builder(tmp_path, embedded_database.conninfo, ENCODING, 1)
    for each in ids:
        assert (await builder.refreshed(each)).error is None
    folders = [model_folder(tmp_path, each) for each in ids]
    readers = [ModelReader(folder, each, ENCODING.name) for folder, each in zip(folders, ids, strict=True)]
    assert all(reader.newest() for reader in readers)  # in use until now, whatever the budget
    monkeypatch.setattr(builder_module, "_IDLE_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await builder.refreshed(ids[0])
    assert [reader.newest() is not None for reader in readers] == [True, False, False]
    await builder.refreshed(ids[1])
    assert [reader.newest() is not None for reader in readers] == [False, True, False]
    await builder.close()


async def test_an_idle_database_costs_no_version(embedded_database: Database, vault: Vault, tmp_path: Path) -> None:
    """What a model has seen is noted anew only once that has grown old."""
    project_id = (await projects(embedded_database, vault))[0]
    model = ProjectModel(tmp_path, project_id, ENCODING)
    with psycopg.connect(embedded_database.conninfo) as connection:
        assert [model.refresh(connection) for _ in range(3)] == [True, False, False]
    model.close()
