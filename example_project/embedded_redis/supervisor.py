"""Runs as a script beside the process that started it, and ends the server when that process ends.

The pipe from the starter ends with it, unless a forked child holds its other end too; therefore it
looks at its parent's pid as well.
"""

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys


def main(starter: int, data_dir: str, temporary: bool, command: list[str]) -> None:
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=[lock(data_dir)]
    )
    print(server.pid, flush=True)
    while server.poll() is None and os.getppid() == starter and not told_to_end(seconds=0.25):
        pass
    end(server)
    if temporary and os.getppid() != starter:
        shutil.rmtree(data_dir, ignore_errors=True)


def lock(data_dir: str) -> int:
    """Return a file that stays locked as long as the server, which inherits it, runs."""
    file = os.open(data_dir, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another server is running in {data_dir}.")
    return file


def told_to_end(*, seconds: float) -> bool:
    """Wait until the starter writes something or closes the pipe, but no longer than that."""
    return bool(select.select([0], [], [], seconds)[0])


def end(server: "subprocess.Popen[bytes]") -> None:
    if told_to_end(seconds=0) and os.read(0, 4) == b"kill":
        server.kill()
    server.terminate()
    server.send_signal(signal.SIGCONT)  # a test may have stopped it
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "temporary", sys.argv[4:])
