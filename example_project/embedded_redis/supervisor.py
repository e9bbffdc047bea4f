"""A script that ends the server when the process that started the script ends.

The pipe from the starter closes with it, unless a forked child holds the other end too; therefore
the script watches its parent pid as well.
"""

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys


def main(starter: int, data_dir: str, temporary: bool, command: list[str]) -> None:
    try:
        locked = lock(data_dir)
    except BlockingIOError:
        sys.exit(f"Another server is running in {data_dir}.")
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=[locked]
    )
    print(server.pid, flush=True)
    while server.poll() is None and os.getppid() == starter and not told_to_end(seconds=0.25):
        pass
    end(server)
    if temporary and os.getppid() != starter:
        shutil.rmtree(data_dir, ignore_errors=True)


def lock(data_dir: "str | os.PathLike[str]") -> int:
    """Return a file that stays locked while the server, which inherits it, runs.

    Raises BlockingIOError if another server runs.
    """
    file = os.open(data_dir, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise
    return file


def told_to_end(*, seconds: float) -> bool:
    """Wait until the starter writes to the pipe or closes it, for `seconds` at most."""
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
