"""The README's commands, run as they stand, against a real registry."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.registry import RealRegistry, real_registry
from tests.support.server import free_port
from tests.support.shared import ROOT

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    """Return the README's code block that holds a text."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(found for found in blocks if containing in found)


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server does not listen")


def shell(script: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a user's shell would."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def environment(data_dir: Path) -> dict[str, str]:
    """Give an environment in which `imagewarden` is this one and its data is the test's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "IMAGEWARDEN_DATA_DIR": str(data_dir), "NO_COLOR": "1"}


def filled(registry: RealRegistry) -> RealRegistry:
    registry.push_image("shop/web", "1.4.2", seed="web")
    registry.push_image("base/debian", "12", seed="debian")
    return registry


def test_the_commands_and_both_clients(environment: dict[str, str], tmp_path: Path) -> None:
    commands = [line for line in block("sh", "imagewarden init").splitlines() if line.startswith("imagewarden")]
    init, *rest, serve = [line.partition("#")[0].strip() for line in commands]
    with real_registry("basic") as real:
        registry = filled(real)
        (tmp_path / "password.txt").write_text(registry.credentials["password"])
        made = shell(f"{init} --json", environment, tmp_path)
        assert made.returncode == 0, made.stderr
        keys = json.loads(made.stdout)
        for command in rest:
            ours = command.replace("https://registry.example.test", registry.url)
            ours = ours.replace("--username robot", f"--username {registry.credentials['username']}")
            done = shell(ours, environment, tmp_path)
            assert done.returncode == 0, f"{ours}: {done.stderr}"
        assert "1.4.2" in done.stdout
        assert "debian" not in done.stdout
    port = free_port()
    server = subprocess.Popen(["bash", "-c", f"exec {serve} --port {port}"], env=environment, cwd=tmp_path)
    try:
        wait_for(port)
        client = block("python", "BasicCredentials").replace("8080", str(port))
        names = {"access_key": keys["access_key"], "secret_key": keys["secret_key"], "project_id": keys["project_id"]}
        exec(compile(client, "README.md", "exec"), names)  # noqa: S102 # the README's own example
        assert names["page"].total_num == 1
        secrets = {"PASSWORD": keys["password"], "PROJECT_ID": keys["project_id"]}
        asked = shell(block("sh", "curl").replace("8080", str(port)), environment | secrets, tmp_path)
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["total_num"] == 2
        assert httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False).status_code == 200
    finally:
        server.terminate()
        server.wait(30)


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
