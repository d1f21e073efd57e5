"""The `imagewarden` command: its groups, and the one place where errors become sentences."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from imagewarden import __version__
from imagewarden.cli import images, init, readmodel, serve, sync, worker
from imagewarden.cli.admin import admin
from imagewarden.cli.errors import reported
from imagewarden.cli.output import markup_mode, say
from imagewarden.cli.registry import registry

__all__ = ["app", "run"]


_ORDER = ("init", "registry", "sync", "images", "serve", "worker", "admin")


class _Commands(TyperGroup):
    """The commands, in the order they are first needed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 # the base class's signature
        """Return the names of the commands, for help."""
        return list(_ORDER)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its errors become a sentence and an exit code."""
        with reported():
            return super().invoke(ctx)


def _version(asked: bool) -> None:  # typer's callback signature
    """Answer --version."""
    if asked:
        say(f"imagewarden {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=markup_mode(),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    version: Annotated[  # answered by its callback
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which of our container images are risky, and why: every registry, every image."""


app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("read-model", hidden=True)(readmodel.read_model)
app.add_typer(registry, name="registry")
app.command("sync")(sync.sync)
app.command("images")(images.images)
app.add_typer(admin, name="admin")


def run() -> None:
    """Run the command line and leave the process with its exit code."""
    app(prog_name="imagewarden")
