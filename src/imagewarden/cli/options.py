"""Options that commands share."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

__all__ = ["AsJson", "DataDir", "DatabaseUrl", "Extra", "Project", "group", "with_extra"]

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


class Extra(NamedTuple):
    """An option of a command that has many of a kind, and takes them as keyword arguments."""

    name: str
    """Name of the argument; the option's has dashes."""
    help: str
    """What it is for."""
    metavar: str | None = None
    """How its value is shown."""
    kind: Any = str | None
    """Type of the value; `bool` is a switch, `bool | None` a pair of them."""
    default: Any = None
    """Value without the option."""
    least: float | None = None
    """Least number it takes."""
    most: float | None = None
    """Greatest number it takes."""

    def parameter(self) -> inspect.Parameter:
        """Return the option as typer reads it from a function's signature."""
        switch = [f"--{self.name.replace('_', '-')}"] if self.kind is bool else []
        option = typer.Option(*switch, help=self.help, metavar=self.metavar, min=self.least, max=self.most)
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=Annotated[self.kind, option]
        )


def with_extra(extra: Sequence[Extra]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes `**keywords` an option for each of `extra`, before those it names itself."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        named = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        arguments = [each for each in named if each.default is inspect.Parameter.empty]
        others = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in named if each not in arguments]
        parameters = [*arguments, *(each.parameter() for each in extra), *others]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined] # read by inspect
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate
