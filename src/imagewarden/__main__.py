"""Entry point of the `imagewarden` command and of `python -m imagewarden`."""

import sys


def main() -> None:
    """Run the command line; `--version` answers before anything heavy is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from imagewarden import __version__

        sys.stdout.write(f"imagewarden {__version__}\n")
        return
    from imagewarden.cli.main import run

    run()


if __name__ == "__main__":
    main()
