"""A load on one address: keep-alive connections in a process of its own, counted for a while."""

import http.client
import multiprocessing
import queue
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

__all__ = ["free_port", "rate"]

CONNECTIONS = 8


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ask(url: str, headers: dict[str, str], until: float, counts: "queue.Queue[int]") -> None:
    """Ask on one connection until the time is up."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    target, done = f"{parts.path}?{parts.query}", 0
    while time.monotonic() < until:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        done += 1
    connection.close()
    counts.put(done)


def _load(url: str, headers: dict[str, str], seconds: float, result: Any) -> None:
    """Ask on several connections and report the rate."""
    counts: queue.Queue[int] = queue.Queue()
    start = time.monotonic()
    threads = [threading.Thread(target=_ask, args=(url, headers, start + seconds, counts)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    result.put(sum(counts.get() for _ in range(CONNECTIONS)) / took)


def rate(url: str, headers: dict[str, str], seconds: float) -> float:
    """Return the requests a second that an address answers."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_load, args=(url, headers, seconds, result))
    process.start()
    found: float = result.get()
    process.join()
    return found
