"""The demonstration's registry at the level of bytes, as a program, and against an independent client."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo.distribution.server import Login, RegistryServer
from tests.demo.conftest import connect, running
from tests.demo.pushing import digest_of, push_blob, push_image
from tests.support.shared import ROOT


def exchange(server: RegistryServer, sent: bytes) -> bytes:
    """Send bytes, then nothing more; return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


POST = b"POST /v2/shop/web/blobs/uploads/?digest=sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"Content-Length: -5\r\n\r\nhello",
        b"Content-Length: 0x5\r\n\r\nhello",
        b"Content-Length: 50\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 100,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 5000,
    ],
)
def test_bodies_without_a_clear_end(registry: RegistryServer, rest: bytes) -> None:
    """A body that is ambiguous, malformed or cut short ends the connection with 400, and nothing is read twice."""
    received = exchange(registry, POST + rest + b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in received
    assert received.count(b"HTTP/1.1 ") == 1


def test_requests_in_one_connection(registry: RegistryServer) -> None:
    """Requests sent in one go are answered in order on one connection, the refused one among them."""
    pieces = b"Transfer-Encoding: chunked\r\n\r\n3;note=x\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    received = exchange(registry, (POST + pieces) * 2 + b"GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 ([0-9]{3})", received) == [b"400", b"400", b"200"]
    assert received.endswith(b'{"repositories": []}')


def test_malformed_addresses(registry: RegistryServer) -> None:
    """An address that cannot be taken apart, or has too many parameters, is answered with 400."""
    for address in (b"http://[x/v2/", b"/v2/_catalog?" + b"&".join([b"a=1"] * 100)):
        assert exchange(registry, b"GET " + address + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_client_that_leaves(registry: RegistryServer) -> None:
    """A client that goes away in the middle of a download harms nobody else."""
    with connect(registry) as client:
        digest = push_blob(client, "shop/web", os.urandom(8 << 20))["digest"]
        with client.stream("GET", f"/v2/shop/web/blobs/{digest}") as answer:
            next(answer.iter_raw(1000))
        assert client.get("/v2/").status_code == 200


def test_content_outlives_the_server(tmp_path: Path) -> None:
    """A second server on the same folder serves what the first one took."""
    with running(tmp_path) as server, connect(server) as client:
        digest = push_image(client, "hello", "1")
    with running(tmp_path) as server, connect(server) as client:
        assert client.get("/v2/hello/manifests/1").headers["Docker-Content-Digest"] == digest


def test_folder_that_fails(registry: RegistryServer, client: httpx.Client) -> None:
    """When the folder cannot be written, the client is told so with 500 and no path of the machine."""
    shutil.rmtree(registry.store.root / "repositories")
    (registry.store.root / "repositories").write_text("in the way")
    answer = client.post("/v2/shop/web/blobs/uploads/")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, "UNKNOWN")
    assert str(registry.store.root) not in answer.text


@pytest.mark.parametrize("command", [["demo/registry.py"], ["-m", "demo.registry"]])
def test_program(command: list[str], tmp_path: Path) -> None:
    """As a program it prints its address first, asks for the login, and ends on SIGTERM with exit code 0."""
    arguments = [*command, "--port", "0", "--root", str(tmp_path), "--user", "demo"]
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as program:  # fmt: skip
        try:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write("secret\n")
            program.stdin.close()
            url = json.loads(program.stdout.readline())["url"]
            assert httpx.get(f"{url}/v2/", trust_env=False).status_code == 401
            assert httpx.get(f"{url}/v2/", auth=("demo", "secret"), trust_env=False).status_code == 200
        finally:
            program.terminate()
        assert program.wait(10) == 0


def test_program_on_a_taken_port(registry: RegistryServer, tmp_path: Path) -> None:
    """A port in use is one sentence on stderr and exit code 3."""
    command = [sys.executable, "demo/registry.py", "--port", str(registry.server_port), "--root", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert str(registry.server_port) in done.stderr


def test_skopeo(tmp_path: Path) -> None:
    """An independent client pushes, lists, inspects, copies back and deletes, with a login."""
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        if os.environ.get("CI"):
            pytest.fail("skopeo is missing")
        pytest.skip("skopeo is not installed")

    def run(*arguments: str) -> str:
        done = subprocess.run([skopeo, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with running(tmp_path / "registry", Login("demo", "secret")) as server, connect(server) as client:
        client.auth = httpx.BasicAuth("demo", "secret")
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(b"")]}}
        )
        digest = push_image(client, "shop/web", "1", config.encode())
        host = server.url.removeprefix("http://")
        source = ["--src-tls-verify=false", "--src-creds=demo:secret"]
        target = ["--dest-tls-verify=false", "--dest-creds=demo:secret"]
        login = ["--tls-verify=false", "--creds=demo:secret"]
        layout = f"oci:{tmp_path}/layout:1"
        run("copy", "-q", *source, f"docker://{host}/shop/web:1", layout)
        run("copy", "-q", *target, "--preserve-digests", layout, f"docker://{host}/shop/copied:1.0")
        run("copy", "-q", *source, *target, f"docker://{host}/shop/copied:1.0", f"docker://{host}/shop/copied:latest")
        run("copy", "-q", *target, "--format=v2s2", layout, f"docker://{host}/legacy/tools:1")
        assert json.loads(run("list-tags", *login, f"docker://{host}/shop/copied"))["Tags"] == ["1.0", "latest"]
        assert json.loads(run("inspect", *login, f"docker://{host}/shop/copied:1.0"))["Digest"] == digest
        raw = json.loads(run("inspect", "--raw", *login, f"docker://{host}/legacy/tools:1"))
        assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
        run("delete", *login, f"docker://{host}/shop/copied:1.0")
        assert client.get("/v2/shop/copied/tags/list").json()["tags"] == []
