"""One Redis for all processes of a project, which ends soon after the last of them.

Each process holds a shared lock on a file in the data folder, also in its forked children; the
kernel releases it when they end, however they end. The supervisor waits until no lock is held.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from .fetch import ADVICE, EmbeddedRedisError, find_program
from .server import EmbeddedRedis, PortTaken, is_in_use
from .supervisor import USERS

if sys.platform != "win32":  # where there is no program
    import fcntl

_lock = Lock()
_used: dict[Path, int] = {}  # data folders and the locked files


def shared_redis(data_dir: Path, program: str = "redis-stack") -> str:
    """The URL of the Redis in this folder, which is started unless another process has done so.

    It runs until two seconds after the last process that called this, and keeps its data.
    """
    with _lock:
        try:
            return f"redis://127.0.0.1:{_port_of(data_dir.resolve(), program)}/0"
        except OSError as error:
            raise EmbeddedRedisError(f"{data_dir} cannot be used: {error}. {ADVICE}") from error


def _port_of(data_dir: Path, program: str) -> int:
    find_program(program)  # before it makes a folder
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / ".gitignore").write_text("*\n")
    _use(data_dir)
    with _starting(data_dir):
        # Looks again if this process has done so: the server may have crashed since.
        if not is_in_use(data_dir):
            return SharedRedis(data_dir, program).port
        if port := _known_port(data_dir):
            return port
    raise EmbeddedRedisError(
        f"A Redis runs in {data_dir}, but the file that names its port was removed. "
        "Stop all processes of the project, and start them again."
    )


def _use(data_dir: Path) -> None:
    # Waits while the supervisor stops the server. Anew each time, as the folder may be a new one.
    used = _locked(data_dir / USERS, fcntl.LOCK_SH)
    if data_dir in _used:
        os.close(_used[data_dir])
    _used[data_dir] = used


def _locked(path: Path, how: int) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(file, how)
    return file


@contextmanager
def _starting(data_dir: Path) -> Iterator[None]:
    file = _locked(data_dir / "starting", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(file)


def _known_port(data_dir: Path) -> int:
    try:
        return int((data_dir / "port").read_text())
    except (FileNotFoundError, ValueError):
        return 0


class SharedRedis(EmbeddedRedis):
    """A server that does not end with the process that started it."""

    def __init__(self, data_dir: Path, program: str) -> None:
        super().__init__(data_dir=data_dir, persistent=True, program=program)
        self._leave()

    @property
    def life(self) -> str:
        return "shared"

    def _start_on_a_free_port(self) -> None:
        # The port of the last time, so that clients of a server that crashed find it again.
        if port := _known_port(self.data_dir):
            with suppress(PortTaken):
                return self._start(port)
        super()._start_on_a_free_port()

    def _start(self, port: int) -> None:
        (self.data_dir / "port").write_text(str(port))
        super()._start(port)

    def stop(self) -> None:
        """End a server that did not start: its supervisor only looks for users."""
        if self._supervisor:
            with suppress(ProcessLookupError):  # it ended when the server did
                os.killpg(self._supervisor.pid, signal.SIGKILL)
            self._supervisor.communicate()
            self._supervisor, self.pid = None, 0

    def _leave(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        assert supervisor and supervisor.stdin and supervisor.stdout
        supervisor.stdin.close()
        supervisor.stdout.close()
        supervisor.returncode = 0  # or else Popen warns that it still runs
