"""Resolve the dependencies of pyproject.toml into locked, hashed requirements that name no index host.

One resolution serves Python 3.11 to 3.14 (`--universal`). `server.txt` is what a deployment installs, `dev.txt` adds
tests, lint and the build backend.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = (
    "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links",
    "--no-annotate", "--no-header", "--quiet",
)  # fmt: skip


def compile_requirements(name: str, *arguments: str) -> None:
    """Write requirements/NAME; `arguments` say what to resolve."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "server"]
    subprocess.run([*command, *COMMON, *arguments, "--output-file", f"requirements/{name}"], cwd=ROOT, check=True)  # noqa: S603 # fixed words


if __name__ == "__main__":
    compile_requirements("server.txt")
    compile_requirements(
        "dev.txt",
        "--group",
        "test",
        "--group",
        "lint",
        "requirements/build.in",
        "--constraint",
        "requirements/server.txt",
    )
