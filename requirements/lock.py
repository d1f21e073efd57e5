"""Resolve the dependencies of pyproject.toml into locked, hashed requirements that name no index host.

One resolution serves Python 3.11 to 3.14 (`--universal`). `server.txt` is what a deployment installs, `dev.txt` adds
tests, lint and the build backend. Extras stay in the pins: pip before 23.3 takes `coverage[toml]`, which another
package asks for, as a requirement of its own, and refuses it unpinned once a newer release is out.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = (
    "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links",
    "--no-annotate", "--no-header", "--no-strip-extras", "--quiet",
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
        "--group",
        "bench",
        "requirements/build.in",
        "--constraint",
        "requirements/server.txt",
    )
