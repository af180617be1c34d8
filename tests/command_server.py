"""Commands of the documentation in a process that has everything imported: most of a short command is its start.

``python -m tests.command_server FOLDER`` waits at a socket in a folder for the command's words, folder, environment
and its three streams, and forks a child that is the command. `program` starts one and gives the script that asks it.
Tests of the start itself, of signals and of processes that die use ``python -m ecc_rf``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(8, "little")], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.recv(8) or b"70"))
"""


@functools.cache
def program() -> Path:
    """The script that does what ``ecc-rf`` does; its server ends with this process."""
    folder = Path(tempfile.mkdtemp())
    address = str(folder / "socket")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.command_server", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )
    assert server.stdin is not None and server.stdout is not None

    def end() -> None:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert server.stdout.readline() == b"ready\n"
    (folder / "client.py").write_text(_CLIENT.format(address=address))
    client = folder / "ecc-rf"  # a script of the shell: paths in a first line may have no spaces
    client.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{folder}/client.py" "$@"\n')
    client.chmod(0o755)
    return client


def _serve(address: str) -> None:
    _warm()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [], 1)
            while _reaped():
                pass
            if sys.stdin in ready:  # closed: whoever started this has ended
                return
            if listening in ready:
                connection, _ = listening.accept()
                if os.fork() == 0:
                    listening.close()
                    _become(connection)
                connection.close()


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _warm() -> None:
    """Import what commands import, and load the compiled kernels; formats that keep threads alive are not used."""
    for name in ("matplotlib.figure", "pandas", "scipy.ndimage", "sklearn.ensemble", "zarr"):
        importlib.import_module(name)
    from ecc_rf.cli import main

    with tempfile.TemporaryDirectory() as folder:
        fixtures = ROOT / "data" / "fixtures"
        project, image, probability = f"{fixtures}/cells.ilp", f"{fixtures}/brain.h5", f"{folder}/p.npy"
        commands: list[list[str]] = [
            ["classify", project, image, "-o", probability, "--workers", "1", "-q"],
            ["cells", probability, "--raw", image, "-o", f"{folder}/c.csv", "--workers", "1", "-q"],
        ]
        with contextlib.redirect_stdout(None):
            for command in commands:
                assert main(command) == 0


def _become(connection: socket.socket) -> None:
    """The command that was asked for; does not return."""
    status = 70
    try:
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        left = int.from_bytes(head, "little")
        pieces: list[bytes] = []
        while left:
            pieces.append(connection.recv(left))
            left -= len(pieces[-1])
        words, folder, environment = json.loads(b"".join(pieces))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        status = _called(words)
    finally:
        connection.sendall(str(status).encode())
        os._exit(status)


def _called(words: list[str]) -> int:
    from ecc_rf.cli import main

    sys.stdin, out, errors = (os.fdopen(n, "r" if n == 0 else "w", 1, "utf-8", closefd=False) for n in range(3))
    sys.stdout, sys.stderr = out, errors
    sys.argv = ["ecc-rf", *words]
    code: Any
    try:
        code = main(words)
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        traceback.print_exc()
        code = 1
    out.flush()
    errors.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    _serve(sys.argv[1])
