"""Pushing the demonstration's images to both kinds of registry, and reading them back with other clients."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from demo.distribution.server import Login, RegistryServer
from demo.errors import DemoError
from demo.images import Published, build
from demo.processes import choose_port
from demo.push import push
from demo.registries import RunningRegistry, docker_registry, own_registry, run_registry
from tests.demo.conftest import running


def needed(program: str) -> str:
    """Return a program's path; skips without it, fails in continuous integration."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is missing")
        pytest.skip(f"{program} is not installed")
    return found


@pytest.fixture(scope="module")
def published() -> list[Published]:
    """Give everything the demonstration builds."""
    return build()


@pytest.fixture(params=["own", "docker"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningRegistry]:
    """Give an empty registry of each kind in turn, as its own process."""
    port = choose_port(0)
    chosen: AbstractContextManager[RunningRegistry] = (
        own_registry(tmp_path, tmp_path / "log", port)
        if request.param == "own"
        else docker_registry(needed("docker-registry"), tmp_path, tmp_path / "log", port)
    )
    with chosen as registry:
        registry.program.wait_for(f"{registry.url}/v2/")
        yield registry


def test_everything_arrives(anywhere: RunningRegistry, published: list[Published]) -> None:
    """Every repository, tag and digest is there; pushing again changes nothing."""
    told: list[str] = []
    expected = sum(len(each.tags) for each in published)
    assert push(anywhere.url, published, progress=lambda each: told.append(each.repository)) == expected
    assert told == [each.repository for each in published]
    assert push(anywhere.url, published) == expected
    with httpx.Client(base_url=anywhere.url, trust_env=False) as client:
        repositories = client.get("/v2/_catalog").json()["repositories"]
        assert sorted(repositories) == sorted({each.repository for each in published})
        for repository in repositories:
            tags = {tag for each in published if each.repository == repository for tag in each.tags}
            assert set(client.get(f"/v2/{repository}/tags/list").json()["tags"]) == tags
        for each in published:
            for tag in each.tags:
                headers = {"Accept": each.manifest.media_type}
                answer = client.get(f"/v2/{each.repository}/manifests/{tag}", headers=headers)
                assert answer.content == each.manifest.content


def test_independent_client(anywhere: RunningRegistry, published: list[Published], tmp_path: Path) -> None:
    """Skopeo copies an index with its children, and Docker's image, digests kept: all content is well-formed."""
    skopeo = needed("skopeo")
    push(anywhere.url, published)
    host = anywhere.url.removeprefix("http://")
    for number, name in enumerate(("shop/web:1.4.2", "legacy/tools:latest", "shop/api:2", "hello:1.0.0")):
        layout = tmp_path / str(number)
        subprocess.run(
            [skopeo, "copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false",
             f"docker://{host}/{name}", f"dir:{layout}"],
            check=True,
        )  # fmt: skip
        copied = json.loads((layout / "manifest.json").read_bytes())
        original = next(each for each in published if each.repository == name.partition(":")[0])
        assert copied == json.loads(original.manifest.content)


def test_blobs_are_sent_once(published: list[Published], tmp_path: Path) -> None:
    """A layer that several repositories share is mounted, not sent again."""
    shared = [each for each in published if each.repository in ("shop/api", "shop/checkout")]
    with running(tmp_path) as server:
        push(server.url, shared)
        blobs = {blob.digest: len(blob.content) for each in shared for blob in each.manifest.blobs}
        manifests = {each.manifest.digest for each in shared}
        stored = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        assert len(stored) == len(blobs) + len(manifests)


def test_login_is_used(published: list[Published], tmp_path: Path) -> None:
    """With a login the push works; without it the refusal says what the registry answered."""
    few = published[:1]
    with running(tmp_path, Login("demo", "secret")) as server:
        with pytest.raises(DemoError, match=r"POST .* with 401"):
            push(server.url, few)
        assert push(server.url, few, login=("demo", "secret")) == len(few[0].tags)


def test_registry_that_is_away(published: list[Published]) -> None:
    """A registry that does not answer is one sentence with its address."""
    url = f"http://127.0.0.1:{choose_port(0)}"
    with pytest.raises(DemoError, match=f"cannot push base/.* to {url}"):
        push(url, published)


def test_registry_that_lies(
    registry: RegistryServer, published: list[Published], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that stores something else than was pushed is noticed."""
    monkeypatch.setattr("demo.distribution.push._created", _lie)
    with pytest.raises(DemoError, match=r"stored .* as sha256:0"):
        push(registry.url, published)


def _lie(_name: str, _kind: str, _digest: str) -> object:
    from demo.distribution.messages import Response

    return Response(201, {"Docker-Content-Digest": "sha256:0"})


def test_chosen_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without docker-registry on the path the demonstration's own registry is run."""
    with run_registry(tmp_path, tmp_path / "log", choose_port(0)) as registry:
        assert registry.kind == ("docker-registry" if shutil.which("docker-registry") else "demo/registry.py")
    monkeypatch.setenv("PATH", str(tmp_path))
    with run_registry(tmp_path, tmp_path / "log", choose_port(0)) as registry:
        assert registry.kind == "demo/registry.py"


def test_registry_on_a_taken_port(registry: RegistryServer, tmp_path: Path) -> None:
    """A registry that cannot start is one sentence that names its log and the log's last line."""
    with own_registry(tmp_path, tmp_path / "log", registry.server_port) as failing, pytest.raises(DemoError) as caught:
        failing.program.wait_for("http://127.0.0.1:1/")
    assert str(tmp_path / "log") in str(caught.value)
    assert "cannot serve" in str(caught.value)
