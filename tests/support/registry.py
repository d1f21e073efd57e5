"""Debian's real registry on loopback, in each authentication mode, and images pushed to it over plain HTTP."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from imagewarden.model.media_type import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.support.shared import shared_path

__all__ = ["LAYER", "PASSWORD", "USER", "Auth", "RealRegistry", "free_ports", "image_layouts", "real_registry"]

USER, PASSWORD = "scanner", "scanner-password"
LAYER = "application/vnd.oci.image.layer.v1.tar"
Auth = Literal["none", "basic", "token"]
Json = dict[str, Any]


def free_ports(count: int = 2) -> int:
    """Return the first of `count` neighbouring ports that nothing listens on."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
        try:
            for number in range(port, port + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", number))
        except (OSError, OverflowError):
            continue
        return port


@dataclass
class RealRegistry:
    """A running registry; the state folder outlives a kill, so that it can come back with what it held."""

    auth: Auth
    """How it wants to be asked."""
    port: int
    """Port of the registry; its token service is on the next one."""
    state: Path
    """Folder of its configuration, data, process numbers and logs."""
    _client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))
    _tokens: dict[str, str] = field(default_factory=dict)
    _restarted: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        """What TransportOptions needs besides the address."""
        return {} if self.auth == "none" else {"username": USER, "password": PASSWORD}

    def start(self, images: Path | None = None, only: Sequence[str] = ()) -> None:
        """Start it for the first time, with the OCI layouts that `only` names pushed to `test/<name>:latest`."""
        # The script hashes passwords with a module that Python 3.13 has no more, and signs tokens with `cryptography`.
        python = sys.executable if self.auth == "token" else "/usr/bin/python3"
        empty = self.state / "no-images"
        empty.mkdir(parents=True, exist_ok=True)
        command = [str(shared_path("images/serve_registry.sh")), "start", "--auth", self.auth, "--port", str(self.port)]
        command += ["--state", str(self.state), "--images", str(images or empty)]
        command += ["--only", ",".join(only) or "none"]
        subprocess.run(command, check=True, env={**os.environ, "PYTHON": python}, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill the registry at once; its data stay."""
        self._signal(signal.SIGKILL)
        self._wait(up=False)

    def restart(self) -> None:
        """Start it again over the same data, after a kill."""
        with (self.state / "registry.log").open("ab") as log:
            command = ["docker-registry", "serve", str(self.state / "config.yml")]
            self._restarted = subprocess.Popen(command, stdout=log, stderr=log)
        (self.state / "registry.pid").write_text(str(self._restarted.pid))
        self._wait(up=True)

    def stop(self) -> None:
        """Stop it and its token service, by their own numbers."""
        self._client.close()
        self._signal(signal.SIGTERM)
        if (self.state / "token.pid").exists():
            os.kill(self._pid("token"), signal.SIGTERM)

    def push_blob(self, repository: str, data: bytes, media_type: str = LAYER) -> Json:
        """Upload a blob; returns its descriptor."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        upload = self._send("POST", repository, f"/v2/{repository}/blobs/uploads/").headers["location"]
        separator = "&" if "?" in upload else "?"
        self._send("PUT", repository, f"{upload}{separator}digest={digest}", content=data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def push_manifest(self, repository: str, reference: str, document: Json | bytes, media_type: str = "") -> Json:
        """Upload a manifest or index under a tag or its digest; returns its descriptor."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        kind = media_type or json.loads(raw)["mediaType"]
        answer = self._send(
            "PUT", repository, f"/v2/{repository}/manifests/{reference}", content=raw, headers={"Content-Type": kind}
        )
        return {"mediaType": kind, "digest": answer.headers["docker-content-digest"], "size": len(raw)}

    def push_image(
        self, repository: str, tag: str = "", *, seed: str = "", platform: Json | None = None, **config: Any
    ) -> Json:
        """Upload a small image; the same seed and platform give the same digest. Returns its descriptor.

        Without a tag it is pushed by digest, as a child of an index is.
        """
        platform = platform or {"os": "linux", "architecture": "amd64"}
        layer = self.push_blob(repository, f"layer of {seed}".encode())
        document = {"created": "2023-11-14T22:13:20Z", **platform, "rootfs": {"type": "layers", "diff_ids": []}}
        raw = json.dumps({**document, "config": {"Labels": {"seed": seed}}, **config}).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": self.push_blob(repository, raw, OCI_CONFIG),
                "layers": [layer],
            }
        ).encode()
        reference = tag or f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        return {**self.push_manifest(repository, reference, manifest, OCI_MANIFEST), "platform": platform}

    def push_index(self, repository: str, tag: str, children: Sequence[Json]) -> Json:
        """Upload an index of descriptors; returns its own."""
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
        return self.push_manifest(repository, tag, document)

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest, and with it every tag on it."""
        self._send("DELETE", repository, f"/v2/{repository}/manifests/{digest}")

    def _send(self, method: str, repository: str, url: str, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **self._authorization(repository)}
        answer = self._client.request(method, self.url + url if url[0] == "/" else url, headers=headers, **more)
        assert answer.status_code < 300, f"{method} {url}: {answer.status_code} {answer.text}"
        return answer

    def _authorization(self, repository: str) -> dict[str, str]:
        basic = httpx.BasicAuth(USER, PASSWORD)
        if self.auth == "none":
            return {}
        if self.auth == "basic":
            return {"Authorization": next(basic.auth_flow(httpx.Request("GET", self.url))).headers["Authorization"]}
        if repository not in self._tokens:
            asked = {"service": "test-registry", "scope": f"repository:{repository}:pull,push,delete"}
            answer = self._client.get(f"http://127.0.0.1:{self.port + 1}/token", params=asked, auth=basic)
            self._tokens[repository] = answer.json()["token"]
        return {"Authorization": f"Bearer {self._tokens[repository]}"}

    def _signal(self, number: signal.Signals) -> None:
        """End the registry, if it was not ended before."""
        if (self.state / "registry.pid").exists():
            os.kill(self._pid("registry"), number)
            (self.state / "registry.pid").unlink()
        if self._restarted is not None:
            self._restarted.wait(timeout=20)

    def _pid(self, name: str) -> int:
        return int((self.state / f"{name}.pid").read_text())

    def _wait(self, *, up: bool) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if (probe.connect_ex(("127.0.0.1", self.port)) == 0) == up:
                    return
            time.sleep(0.05)
        pytest.fail(f"the registry did not {'start' if up else 'die'}; see {self.state}/registry.log")


@contextmanager
def real_registry(auth: Auth = "none", images: Path | None = None, only: Sequence[str] = ()) -> Iterator[RealRegistry]:
    """Run a registry for the time of a block."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
        found = RealRegistry(auth, free_ports(), Path(folder))
        try:
            found.start(images, only)
            yield found
        finally:
            found.stop()


def image_layouts(*names: str) -> Path:
    """Return a folder with these OCI layouts of the reference material's recipes; a missing one is built once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagewarden-tests"
    layouts = cache / "images"
    missing = [name for name in names if not (layouts / name / "index.json").exists()]
    if missing:
        if os.geteuid() != 0:
            pytest.skip("only root can build these images: " + ", ".join(missing))
        script = str(shared_path("images/make_images.py"))
        command = [sys.executable, script, "--out", str(layouts), "--cache", str(cache / "sources")]
        subprocess.run([*command, "--only", ",".join(missing)], check=True, stdout=subprocess.DEVNULL)
    return layouts
