"""The reference of the command line is what --help says."""

import os
import re
import subprocess
import sys

from tests.support.golden import compare
from tests.support.shared import ROOT

HEAD = """\
# The command line

What `imagewarden COMMAND --help` says, for every command. Settings come from `imagewarden.toml`, then from the
environment (`IMAGEWARDEN_*`), then from options, the later winning.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | `--fail-on` was met |
| 2 | the command line is not usable |
| 3 | the work failed; one sentence on standard error says what, where and what to do |

On a terminal commands print tables; in a pipe, lines of tab-separated values, with everything that is not a result on
standard error. `--json` prints JSON in both. `NO_COLOR=1` turns colors off, `IMAGEWARDEN_DEBUG=1` shows the traceback
of an unexpected error.
"""
PROGRAM = """
import typer.main
from imagewarden.cli.main import app

def show(command, parent, name):
    context = type(parent)(command, info_name=name, parent=parent) if parent else command.make_context(
        name, ["--version"], resilient_parsing=True)
    print(f"\\x00{context.command_path}\\n{context.get_help()}")
    for each in getattr(command, "commands", {}).items():
        show(each[1], context, each[0])

show(typer.main.get_command(app), None, "imagewarden")
"""


def reference() -> str:
    """Return the help of every command, as Markdown."""
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    pages = []
    for page in done.stdout.split("\0")[1:]:
        path, _, text = page.partition("\n")
        pages.append(f"\n## `{path}`\n\n```text\n{text.strip()}\n```\n")
    return HEAD + "".join(pages)


def test_reference() -> None:
    compare(ROOT / "docs/cli.md", reference())


def test_every_command_says_what_it_does() -> None:
    pages = re.findall(r"```text\n(.*?)```", reference(), re.DOTALL)
    assert len(pages) > 25
    for page in pages:
        usage, purpose, *_ = page.split("\n\n")
        assert usage.startswith("Usage: imagewarden")
        assert len(purpose.strip()) > 15
