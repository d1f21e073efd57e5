"""`imagewarden serve`: it answers, keeps its processes, and takes them along."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.cli import Cli, Serve, processes_of


def ask(url: str, token: str = "", body: Any = None) -> tuple[int, Any, dict[str, str]]:
    """Return status, body and headers of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", **({"x-auth-token": token} if token else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), dict(error.headers)


def login(serve: Serve, facts: dict[str, Any]) -> str:
    """Return a token of the administrator's."""
    user = {"domain": {"name": facts["domain"]}, "name": facts["user"], "password": facts["password"]}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": facts["project_id"]}}}}
    status, _, headers = ask(f"{serve.url}/v3/auth/tokens", body=body)
    assert status == 201
    return next(value for name, value in headers.items() if name.lower() == "x-subject-token")


def wait(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def named(cli: Cli, part: str) -> set[int]:
    """Return the numbers of the installation's processes whose command holds a word."""
    return {number for number, command in processes_of(cli.data_dir).items() if part in command}


def test_a_session(cli: Cli, facts: dict[str, Any]) -> None:
    """A login, the list, other commands on the same database meanwhile, and a clean end."""
    with cli.serve() as serve:
        token = login(serve, facts)
        url = f"{serve.url}/v5/{facts['project_id']}/image/registries/images"
        assert ask(url, token)[:2] == (200, {"total_num": 0, "data_list": []})
        assert ask(url)[0] == 401
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda _: cli.json("admin", "user", "list"), range(3)))
        assert [[user["name"] for user in users] for users in done] == [["admin"]] * 3
        wait(lambda: any("takes jobs" in line for line in serve.log))
        assert serve.stop() == 0
    assert not [line for line in serve.log if "error" in line.lower() or "Traceback" in line], serve.log
    wait(lambda: not processes_of(cli.data_dir))


def test_a_killed_serve_leaves_nothing_behind(cli: Cli) -> None:
    with cli.serve("--workers", "2") as serve:
        wait(lambda: len(named(cli, "postgres")) > 3)
        before = set(processes_of(cli.data_dir))
        serve.stop(signal.SIGKILL)
        assert len(before) > 6
        wait(lambda: not processes_of(cli.data_dir), 10)


def test_processes_that_die_are_started_again(cli: Cli) -> None:
    with cli.serve() as serve:
        wait(lambda: any("takes jobs" in line for line in serve.log))
        for kind, back in (("imagewarden worker", "takes jobs"), ("spawn_main", "")):
            (victim,) = named(cli, kind)
            os.kill(victim, signal.SIGKILL)
            wait(lambda kind=kind, victim=victim: bool(named(cli, kind) - {victim}))  # type: ignore[misc] # defaults
            wait(lambda back=back: sum(back in line for line in serve.log) >= (2 if back else 1))  # type: ignore[misc]
        wait(lambda: _answers(serve.url), 20)
        assert serve.stop(signal.SIGINT) == 0


def test_a_killed_database_comes_back(cli: Cli) -> None:
    """The API and the job worker wait for it."""
    with cli.serve() as serve:
        wait(lambda: any("takes jobs" in line for line in serve.log))
        for number in named(cli, "storage.supervisor") | named(cli, "bin/postgres"):
            os.kill(number, signal.SIGKILL)
        wait(lambda: sum("takes jobs" in line for line in serve.log) > 1, 60)
        wait(lambda: _answers(serve.url), 60)
        assert serve.stop() == 0
    assert not any("Traceback" in line for line in serve.log), serve.log


def _answers(url: str) -> bool:
    """Return whether the API answers."""
    try:
        return ask(f"{url}/health/ready")[0] == 200
    except OSError:
        return False


def test_without_a_job_worker(cli: Cli) -> None:
    with cli.serve("--no-worker") as serve:
        assert not named(cli, "imagewarden worker")
        assert serve.stop() == 0


def test_log_lines_are_json_when_asked(cli: Cli) -> None:
    with Cli(cli.data_dir, {"IMAGEWARDEN_LOG_JSON": "true"}).serve() as serve:
        wait(lambda: any("takes jobs" in line for line in serve.log))
        serve.stop()
    assert not [line for line in serve.log if not line.startswith("{")]
    assert {json.loads(line)["level"] for line in serve.log} == {"info"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "no-such-host.invalid"), "cannot be resolved"),
        (("--host", "192.0.2.1"), "not an address of this machine"),
    ],
)
def test_addresses_that_are_none(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    assert said in cli.fails("serve", "--port", "0", *arguments)


def test_a_taken_port(cli: Cli) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "is in use" in cli.fails("serve", "--port", str(other.getsockname()[1]))


def test_without_the_key(empty_cli: Cli) -> None:
    empty_cli.run("init")
    (empty_cli.data_dir / "secret.key").unlink()
    assert "there is no key file" in empty_cli.fails("serve", "--port", "0")


def test_before_init(empty_cli: Cli) -> None:
    assert "run `imagewarden init`" in empty_cli.fails("serve", "--port", "0")


def test_a_privileged_port(cli: Cli) -> None:
    if os.geteuid() == 0:
        bound = subprocess.run(["setpriv", "--bounding-set=-net_bind_service", "true"], check=False)
        if bound.returncode:
            pytest.skip("root may listen on any port here")
        done = subprocess.run(
            ["setpriv", "--inh-caps=-net_bind_service", "--bounding-set=-net_bind_service",
             *cli.command("serve", "--port", "80")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 3
        assert "needs privileges" in done.stderr
    else:
        assert "needs privileges" in cli.fails("serve", "--port", "80")


def test_over_a_servers_url(empty_cli: Cli, debian_conninfo: str) -> None:
    """The flag reaches every process; the data folder holds the key and the read model."""
    with psycopg.connect(debian_conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE by_url TEMPLATE template0 ENCODING UTF8")
    url = f"postgresql://tester@/by_url?{urlencode({'host': conninfo_to_dict(debian_conninfo)['host']})}"
    facts = empty_cli.json("init", "--database-url", url)
    with empty_cli.serve("--database-url", url) as serve:
        assert login(serve, facts)
        wait(lambda: any("takes jobs" in line for line in serve.log))
        assert serve.stop() == 0
    assert sorted(path.name for path in empty_cli.data_dir.iterdir()) == ["read-model", "secret.key"]


def test_api_processes_that_cannot_live(cli: Cli, tmp_path: Path) -> None:
    """serve gives up instead of starting them for ever."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif '--multiprocessing-fork' in sys.argv: os._exit(7)\n", encoding="utf-8"
    )
    broken = Cli(cli.data_dir, {"PYTHONPATH": str(tmp_path)})
    done = broken.run("serve", "--port", "0", "--no-worker", expect=3)
    assert done.stderr.splitlines()[-1].startswith("imagewarden: error: the API processes end as soon as")
