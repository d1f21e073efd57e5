"""Seconds from nothing to the first answer: `init` on an empty folder, `serve`, a token, the list."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks._load import free_port
from imagewarden.api.v5.registry_images import list_registry_images

BAR = 6.0
"""Seconds that it may take on 2 cores that do nothing else."""


def command(*arguments: str, data_dir: Path) -> list[str]:
    """Return an `imagewarden` command on a data folder."""
    return [sys.executable, "-m", "imagewarden", *arguments, "--data-dir", str(data_dir)]


def first_answer(url: str, keys: dict[str, str]) -> dict[str, Any]:
    """Return the list's first answer, asked for until the server is there."""
    user = {"name": keys["user"], "password": keys["password"], "domain": {"name": keys["domain"]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": keys["project_id"]}}}}
    path = next(iter(list_registry_images.paths)).replace("{project_id:str}", keys["project_id"])
    with httpx.Client(base_url=url, trust_env=False) as client:
        while True:
            try:
                token = client.post("/v3/auth/tokens", json=body).raise_for_status().headers["X-Subject-Token"]
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            answer: dict[str, Any] = client.get(path, headers={"X-Auth-Token": token}).raise_for_status().json()
            return answer


def once(port: int) -> dict[str, float]:
    """Return how long each step took, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # for the server's own account, where this runs as root
        data_dir = Path(folder, "data")
        start = time.monotonic()
        made = subprocess.run(command("init", "--json", data_dir=data_dir), check=True, capture_output=True, text=True)
        initialised = time.monotonic()
        server = subprocess.Popen(
            command("serve", "--port", str(port), data_dir=data_dir),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            answer = first_answer(f"http://127.0.0.1:{port}", json.loads(made.stdout))
            answered = time.monotonic()
        finally:
            server.terminate()
            server.wait(30)
    assert answer == {"total_num": 0, "data_list": []}
    return {"init": initialised - start, "serve_to_answer": answered - initialised, "total": answered - start}


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other form)")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    rounds = [once(free_port()) for _ in range(asked.rounds)]
    medians = {step: round(statistics.median(each[step] for each in rounds), 2) for step in rounds[0]}
    print(json.dumps({"bench": "start", "cpus": os.cpu_count(), "bar_seconds": BAR, "median_seconds": medians}))


if __name__ == "__main__":
    main(sys.argv[1:])
