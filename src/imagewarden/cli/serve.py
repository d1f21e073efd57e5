"""`imagewarden serve`: API processes, the read model's builder and a job worker, kept running, stopped together."""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagewarden.cli.options import DatabaseUrl, DataDir

if TYPE_CHECKING:
    from granian.server.mp import MPServer

    from imagewarden.cli.address import Address
    from imagewarden.cli.keeper import Keeper
    from imagewarden.settings import Settings

__all__ = ["serve"]

_STOP_SECONDS = 10
_BACKLOG = 2048
_READY_SECONDS = 60.0


def serve(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address to listen on; 127.0.0.1 without it.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Port, 0 for a free one; 8080 without it.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, metavar="N", help="API processes.")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave the job worker to other processes.")] = False,
) -> None:
    """Answer the API and run the jobs, until stopped."""
    from imagewarden.cli.address import claim
    from imagewarden.cli.session import opened_database, settings_from
    from imagewarden.identity.vault import open_vault

    flags: dict[str, Any] = {
        "data_dir": data_dir,
        "database_url": database_url,
        "host": host,
        "port": port,
        "workers": workers,
    }
    settings = settings_from(**flags)
    address = claim(settings.host, settings.port)
    with opened_database(settings):
        open_vault(settings.data_dir, settings.secret_key)  # here, where its absence can be told in one sentence
        _hand_down(flags, settings)
        _run(
            settings,
            address,
            [_kept("read model", "read-model"), *([] if no_worker else [_kept("job worker", "worker")])],
        )


def _hand_down(flags: dict[str, Any], settings: "Settings") -> None:
    """Put what flags said into the environment, for the processes we start."""
    from imagewarden.cli.lifeline import PARENT

    for name, value in flags.items():
        if value is not None:
            os.environ[f"IMAGEWARDEN_{name.upper()}"] = str(value)
    os.environ["IMAGEWARDEN_DATA_DIR"] = str(settings.data_dir.expanduser().absolute())
    os.environ[PARENT] = str(os.getpid())


def _kept(name: str, command: str) -> "Keeper":
    """Return the keeper of one of our own commands, under `name` in the log."""
    from imagewarden.cli.keeper import Keeper

    return Keeper(name, [sys.executable, "-m", "imagewarden", command], os.environ, patience=_STOP_SECONDS)


def _server(settings: "Settings", address: "Address") -> "MPServer":
    """Return granian with our API as its target; its own log lines join ours."""
    import multiprocessing

    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.mp import MPServer

    # A forked process would share our lease of the database and our threads' locks.
    multiprocessing.set_start_method("spawn", force=True)
    return MPServer(
        "imagewarden.cli.api_process:application",
        factory=True,
        address=address.ip,
        port=address.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        websockets=False,
        backlog=_BACKLOG,
        log_level=LogLevels.warning,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"handlers": [], "propagate": True}}},
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_SECONDS,
    )


def _run(settings: "Settings", address: "Address", keepers: "list[Keeper]") -> None:
    """Serve until SIGTERM or SIGINT; raises CommandError when the API processes cannot live."""
    from imagewarden.cli.errors import CommandError

    server = _server(settings, address)
    stopping = threading.Event()

    def start() -> None:
        """Stand before granian's own handler of signals, so that everything stops at the same time."""
        theirs = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.set()
            for keeper in keepers:
                keeper.ask_to_stop()
            if callable(theirs):
                theirs(number, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        for keeper in keepers:
            keeper.start()
        threading.Thread(target=_announce, args=(address, stopping), daemon=True).start()

    server.on_startup(start)
    try:
        server.serve()
    except SystemExit as ended:
        if ended.code:
            raise CommandError("the API processes end as soon as they are started; the log above says why") from None
    finally:
        stopping.set()
        for keeper in keepers:
            keeper.stop()


def _announce(address: "Address", stopping: threading.Event) -> None:
    """Say where the API answers, once it does."""
    import time

    import httpx

    from imagewarden import __version__
    from imagewarden.cli.output import say

    deadline = time.monotonic() + _READY_SECONDS
    while not stopping.wait(0.05) and time.monotonic() < deadline:
        try:
            ready = httpx.get(f"{address.url}/health/ready", timeout=5.0, trust_env=False).is_success
        except httpx.HTTPError:
            continue
        if ready:
            with contextlib.suppress(BrokenPipeError):  # nobody has to listen
                say(f"Imagewarden {__version__} answers at {address.url}")
                sys.stdout.flush()
            return
