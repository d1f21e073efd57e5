"""`imagewarden sync`: bring the image list in step with its registries."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagewarden.cli.errors import CommandError
from imagewarden.cli.follow import Watch, sync_all
from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, Project
from imagewarden.cli.output import console, is_terminal, note, plain, print_json, say
from imagewarden.cli.session import Session, run

if TYPE_CHECKING:
    from imagewarden.inventory.registries import RegistryRecord
    from imagewarden.sync.runs import SyncReport

__all__ = ["sync"]


def sync(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Registries; all without one.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Do it now, and tell how it went.")] = False,
    project: Project = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring the image list in step with its registries.

    A worker does it; with --wait it is done here, or followed where it is being done already.
    """
    flags = {"data_dir": data_dir, "database_url": database_url}
    if wait:
        _wait(names or [], project, flags, as_json=as_json)
    else:
        _request(names or [], project, flags, as_json=as_json)


async def _records(session: Session, names: Sequence[str], project: str | None) -> "list[RegistryRecord]":
    """Return the registries of these names, all of the project without one; raises UnknownRegistry."""
    from imagewarden.identity.directory import find_project
    from imagewarden.inventory.registries import find_registry, list_registries

    async with session.engine.connect() as connection:
        found = await find_project(connection, project)
        if not names:
            return await list_registries(connection, found.id)
        return [await find_registry(connection, found.id, name) for name in dict.fromkeys(names)]


def _request(names: Sequence[str], project: str | None, flags: dict[str, Any], *, as_json: bool) -> None:
    """Ask the workers for synchronisations."""
    from imagewarden.jobs.queue import workers_alive
    from imagewarden.jobs.sync import request_sync

    async def work(session: Session) -> tuple[dict[str, int], int]:
        records = await _records(session, names, project)
        async with session.engine.begin() as connection:
            runs = {record.name: await request_sync(connection, record.id) for record in records}
            return runs, await workers_alive(connection)

    runs, alive = run(work, **flags)
    if as_json:
        print_json([{"registry": name, "run_id": run_id} for name, run_id in runs.items()])
    for name, run_id in runs.items():
        if not as_json:
            say(f"{name}: asked for, run {run_id}")
    if not runs:
        note("there is no registry yet; imagewarden registry add NAME --url URL adds one")
    elif not alive:
        note("no worker is running: start imagewarden serve or imagewarden worker, or give --wait")


def _wait(names: Sequence[str], project: str | None, flags: dict[str, Any], *, as_json: bool) -> None:
    """Synchronise here; raises CommandError when a registry, or part of one, could not be read."""
    import msgspec

    async def work(session: Session) -> "list[SyncReport]":
        records = await _records(session, names, project)
        with _watched(records, quiet=as_json) as watch:
            return await sync_all(session, records, watch)

    reports = run(work, **flags)
    if as_json:
        print_json(msgspec.to_builtins(reports))
    else:
        for report in reports:
            _tell(report)
        if not reports:
            note("there is no registry yet; imagewarden registry add NAME --url URL adds one")
    failed = [report.registry_name for report in reports if report.state != "succeeded"]
    if failed:
        raise CommandError(
            f"{len(failed)} of {len(reports)} registries could not be read as a whole: {', '.join(failed)}; "
            "what could not be read stays as it was, and is read at the next synchronisation"
        )


def _tell(report: "SyncReport") -> None:
    """Say how a run went."""
    counts = ", ".join(
        f"{name} {getattr(report, name)}" for name in ("added", "changed", "removed", "unchanged", "held", "skipped")
    )
    total = report.repositories_done if report.repositories_total is None else report.repositories_total
    failed = f"; {report.repositories_failed} of {total} repositories failed" if report.repositories_failed else ""
    say(f"{plain(report.registry_name)}: {report.state}: {counts}{failed}")
    if report.error:
        say(f"  {plain(report.error)}")
    for problem in report.problems:
        say(f"  {plain(f'{problem.where}: {problem.error}' if problem.where else problem.error)}")


@contextmanager
def _watched(records: "Sequence[RegistryRecord]", *, quiet: bool) -> Iterator[Watch]:
    """Give what shows runs as they stand: bars on a terminal; a pipe gets nothing before the end."""
    if quiet or not is_terminal():
        yield lambda report: None  # noqa: ARG005 # nobody looks
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.fields[name]}", markup=False), BarColumn(bar_width=24),
               TextColumn("{task.fields[told]}", markup=False), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console(), transient=True) as bars:
        tasks = {
            record.id: bars.add_task("", total=None, name=plain(record.name), told="waiting") for record in records
        }

        def watch(report: "SyncReport") -> None:
            of = "" if report.repositories_total is None else f"/{report.repositories_total}"
            bars.update(
                tasks[report.registry_id],
                total=report.repositories_total,
                completed=report.repositories_done,
                told=f"{report.repositories_done}{of} repositories, {report.tags_seen} tags, "
                f"+{report.added} ~{report.changed} -{report.removed}",
            )

        yield watch
