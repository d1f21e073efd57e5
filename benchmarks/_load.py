"""A load on some addresses: keep-alive connections in a process of its own, for a while."""

import http.client
import itertools
import multiprocessing
import queue
import random
import socket
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

__all__ = ["CONNECTIONS", "Load", "free_port", "load"]

CONNECTIONS = 8


class Load(NamedTuple):
    """What came of a load."""

    rate: float
    """Answers a second."""
    p50: float
    """Median time of an answer, seconds."""
    p99: float
    """99th percentile, seconds."""
    errors: int
    """Answers other than 200, and connections that broke."""


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ask(
    urls: Sequence[str],
    first: int,
    headers: dict[str, str],
    until: float,
    found: "queue.Queue[tuple[list[float], int]]",
) -> None:
    """Ask on one connection until the time is up."""
    parts = urlsplit(urls[0])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    targets = [f"{each.path}?{each.query}" for each in map(urlsplit, urls)]
    times, errors = [], 0
    for target in itertools.islice(itertools.cycle(targets), first, None):
        start = time.monotonic()
        if start >= until:
            break
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            answer.read()
            errors += answer.status != 200
        except (OSError, http.client.HTTPException):
            errors += 1
            connection.close()
        times.append(time.monotonic() - start)
    connection.close()
    found.put((times, errors))


def _load(urls: Sequence[str], headers: dict[str, str], seconds: float, connections: int, result: Any) -> None:
    """Ask on several connections and report."""
    found: queue.Queue[tuple[list[float], int]] = queue.Queue()
    chance = random.Random(connections)
    start = time.monotonic()
    threads = [
        threading.Thread(target=_ask, args=(urls, chance.randrange(len(urls)), headers, start + seconds, found))
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    outcomes = [found.get() for _ in threads]
    times = sorted(each for times, _ in outcomes for each in times)
    errors = sum(errors for _, errors in outcomes)
    result.put(Load(len(times) / took, statistics.median(times), times[int(len(times) * 0.99)], errors))


def load(urls: Sequence[str], headers: dict[str, str], seconds: float, connections: int = CONNECTIONS) -> Load:
    """Ask addresses of one server in turn for some seconds; returns what came of it."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_load, args=(urls, headers, seconds, connections, result))
    process.start()
    found: Load = result.get()
    process.join()
    return found
