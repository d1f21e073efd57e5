"""Run the demonstration's registry: `python demo/registry.py --port 0 --root DIR`.

The first line it prints is its address as JSON, `{"url": "http://127.0.0.1:..."}`; requests are logged on stderr.
With --user a password is read from the first line of standard input, and every request must carry both.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code: 0, or 3 if the port or the folder cannot be used."""
    if not __package__:  # run as a file: the packages lie beside this one's folder
        sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from demo.distribution.server import Login, RegistryServer

    parser = argparse.ArgumentParser(description="A small OCI registry on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--root", type=Path, required=True, help="folder for its content")
    parser.add_argument("--user", help="ask for this user name, and the password given on standard input")
    options = parser.parse_args(arguments)
    login = Login(options.user, sys.stdin.readline().rstrip("\n")) if options.user else None
    try:
        server = RegistryServer(options.root, options.port, login)
    except (OSError, OverflowError) as failure:
        print(f"cannot serve {options.root} on port {options.port}: {failure}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(json.dumps({"url": server.url}), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
