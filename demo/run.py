"""`make demo`: real images in a registry, synchronised into Imagewarden and listed through its API.

Environment: DEMO_DIR is the folder for everything it keeps (./.demo without it); DEMO_ONESHOT=1 ends it after the list.
A second run on the same folder goes on with the first one's data.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from demo.errors import DemoError
from demo.images import build
from demo.installation import Installation
from demo.listing import Api, table_of
from demo.processes import Program, choose_port
from demo.push import push
from demo.registries import RunningRegistry, run_registry

__all__ = ["main"]

_REGISTRY_PORT = 5000
_API_PORT = 8080


class _Steps:
    """Says what is done, and how long each step took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Time a step; what is put into the list is shown beside its title when it is done."""
        before = time.monotonic()
        self._console.print(f"[bold]{title}[/] ...")
        said: list[str] = []
        yield said
        self._console.print(f"  {' '.join(said)} [dim]({time.monotonic() - before:.1f} s)[/]")

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started


def main() -> int:
    """Run the demonstration; returns the exit code: 0, 3 when a step failed, 130 when interrupted before the list."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=True, highlight=False)
    home = Path(os.environ.get("DEMO_DIR") or ".demo").absolute()
    try:
        with ExitStack() as running:
            _demonstrate(console, home, running)
    except DemoError as failure:
        print(f"demo: error: {failure}", file=sys.stderr)
        return 3
    except OSError as failure:
        print(
            f"demo: error: a file in {home} cannot be used: {failure}; free it, or name another folder with DEMO_DIR",
            file=sys.stderr,
        )
        return 3
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything is stopped", file=sys.stderr)
        return 130
    return 0


def _demonstrate(console: Console, home: Path, running: ExitStack) -> None:
    """Take every step; what must be stopped in the end is put into `running`."""
    running.enter_context(_folder(home))
    steps = _Steps(console)
    console.print(f"Imagewarden's demonstration; its data and logs are in {home}\n")
    installation = Installation(home)
    with steps.step("Setting up the database") as said:
        is_new = installation.initialise()
        said.append("new" if is_new else "from an earlier run")
    registry = _registry(steps, installation, running)
    with steps.step("Starting Imagewarden") as said:
        port = choose_port(_API_PORT)
        url = f"http://127.0.0.1:{port}"
        server = running.enter_context(installation.serve(port))
        server.wait_for(f"{url}/health/ready")
        said.append(f"answers at {url}")
    with steps.step("Connecting the registry and synchronising it") as said:
        installation.add_registry(registry.url)
        installation.sync()
        said.append("done")
    api = running.enter_context(closing(Api(url, installation.credentials)))
    images = api.images()
    console.print()
    console.print(table_of(images))
    console.print(f"{len(images)} images; the whole took {steps.seconds:.1f} s\n")
    _show_access(console, installation, api, registry, url)
    if os.environ.get("DEMO_ONESHOT") == "1":
        return
    console.print("[bold]Ctrl-C[/] stops everything; the data is kept for the next `make demo`.")
    _wait([server, registry.program])
    console.print("\nStopping ...")


def _registry(steps: _Steps, installation: Installation, running: ExitStack) -> RunningRegistry:
    """Start the registry, where the last run had it if that is possible, and fill it."""
    with steps.step("Starting a registry") as said:
        port = choose_port(urlsplit(installation.registry_url).port or _REGISTRY_PORT)
        folder = installation.home / "registry"
        registry = running.enter_context(run_registry(folder, installation.logs / "registry.log", port))
        said.append(f"{registry.kind} at {registry.url}")
    with steps.step("Building images from this machine's package databases, and pushing them") as said:
        published = build()
        tags = push(registry.url, published)
        said.append(f"{tags} tags in {len({each.repository for each in published})} repositories")
    return registry


def _show_access(console: Console, installation: Installation, api: Api, registry: RunningRegistry, url: str) -> None:
    """Say where everything is and how to use it."""
    who = installation.credentials
    facts = {
        "API": url,
        "registry": registry.url,
        "project id": who.project_id,
        "account": who.domain,
        "user": who.user,
        "password": who.password,
        "access key": who.access_key,
        "secret key": who.secret_key,
        "logs": str(installation.logs),
    }
    for name, value in facts.items():
        console.print(f"  {name:<11} {value}", markup=False)
    query = "latest_version=true&limit=3"
    line = f"curl -s -H 'X-Auth-Token: {api.token}' '{url}{api.list_path}?{query}'"
    console.print(f"\n{line}\n", markup=False)


def _wait(programs: list[Program]) -> None:
    """Return on Ctrl-C; raises DemoError when a program ends by itself."""
    try:
        while True:
            for program in programs:
                program.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


@contextmanager
def _folder(home: Path) -> Iterator[None]:
    """Make the work folder and keep other runs out of it."""
    try:
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as failure:
        raise DemoError(
            f"the folder {home} cannot be used: {failure.strerror}; name another with DEMO_DIR"
        ) from failure
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(
                f"a demonstration is running in {home}; stop it, or name another folder with DEMO_DIR"
            ) from None
        yield


if __name__ == "__main__":
    sys.exit(main())
