"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "DataDir", "DatabaseUrl", "Project", "group"]

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the embedded database and the key file.")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="PostgreSQL server of version 15 or newer, in place of the embedded one. "
        "IMAGEWARDEN_DATABASE_URL keeps its password out of the list of processes.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Project = Annotated[str | None, typer.Option("--project", metavar="NAME|ID", help="Project; the first one without it.")]


def group(purpose: str) -> typer.Typer:
    """Return an empty group of commands."""
    from imagewarden.cli.output import markup_mode

    return typer.Typer(
        help=purpose,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=markup_mode(),
    )
