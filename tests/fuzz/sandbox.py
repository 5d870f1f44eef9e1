"""Run commands in one process and note every socket to the network: ``python sandbox.py COMMANDS.json``.

The file holds lists of arguments; one JSON line is printed for each: its exit code, sockets, and what was said.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto")


def main(commands: Path) -> None:
    opened: list[str] = []

    def note(event: str, values: tuple) -> None:
        if event not in _EVENTS or (event == "socket.connect" and isinstance(values[1], str)):  # a path: no network
            return
        opened.append(f"{event}{values[-1]!r}")
        raise PermissionError("no network in this process")

    sys.addaudithook(note)
    from mvdiff.cli.main import main as mvdiff

    for arguments in json.loads(commands.read_text()):
        opened.clear()
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            try:
                code = mvdiff(arguments)
            except SystemExit as stop:
                code = stop.code
            except BaseException as error:
                code = repr(error)
        print(json.dumps({"code": code, "opened": list(opened), "said": said.getvalue()[-400:]}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
