"""A script that ends the server when the process that started the script ends.

The pipe from the starter closes with it, unless a forked child holds the other end too; therefore
the script watches its parent pid as well. A shared server ends when no process uses it any more.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time

if sys.platform != "win32":  # where there is no embedded Redis
    import fcntl

USERS = "users"  # the file that each user of a shared server locks
LINGER = 2  # seconds without a user, such as between the commands that somebody types


def main(starter: int, data_dir: str, life: str, command: list[str]) -> None:
    try:
        locked = lock(data_dir)
    except BlockingIOError:
        sys.exit(f"Another server is running in {data_dir}.")
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=[locked]
    )
    print(server.pid, flush=True)
    if life == "shared":
        wait_for_users(server, os.path.join(data_dir, USERS))
    else:
        wait_for_starter(server, starter)
    end(server)
    if life == "temporary" and os.getppid() != starter:
        shutil.rmtree(data_dir, ignore_errors=True)


def wait_for_starter(server: "subprocess.Popen[bytes]", starter: int) -> None:
    while server.poll() is None and os.getppid() == starter and not told_to_end(seconds=0.25):
        pass


def wait_for_users(server: "subprocess.Popen[bytes]", path: str) -> None:
    """Wait until nobody has locked `path` for a while; then it is locked until this script ends."""
    used = time.monotonic()
    while server.poll() is None:
        time.sleep(0.25)
        try:
            file = lock(path)
        except BlockingIOError:
            used = time.monotonic()
            continue
        except FileNotFoundError:  # someone removed the folder
            return
        if time.monotonic() - used > LINGER:
            return
        os.close(file)


def lock(path: "str | os.PathLike[str]") -> int:
    """Return a file that stays locked until it is closed here and in processes that inherit it.

    Raises BlockingIOError if another process has locked it.
    """
    file = os.open(path, os.O_RDONLY)
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
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
