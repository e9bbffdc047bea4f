"""Management commands, called as in a process and as by a shell."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parent.parent


class Terminal(StringIO):
    def isatty(self):
        return True


def called(name, *args, answer=None, terminal=False, **options):
    """What a command prints to stdout and to stderr; `answer` is what it is told if it asks."""
    out, err = (Terminal(), Terminal()) if terminal else (StringIO(), StringIO())
    asked = mock.Mock(return_value=answer, side_effect=EOFError if answer is None else None)
    with mock.patch("builtins.input", asked):
        call_command(name, *args, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


@contextmanager
def fails(code, *says):
    """The block raises CommandError with an exit code and with `says` in its sentence."""
    with pytest.raises(CommandError) as caught:
        yield
    assert caught.value.returncode == code, repr(caught.value)
    for words in says:
        assert words in str(caught.value)


def shell(url, *arguments, **options):
    """The process of a command that works on the index "conversations" of the Redis at `url`."""
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": url}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "manage.py", *map(str, arguments)]
    with obeying_ctrl_c():
        return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, **pipes)


@contextmanager
def obeying_ctrl_c():
    """Processes that the block starts obey SIGINT, even if this one ignores it (`nohup … &`).

    An ignored signal is inherited by a new program; one that has a handler is not. Not by
    preexec_fn, which forks beside the threads of other tests.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt(process):
    """Press Ctrl-C until the process ends; a read that has not quite begun does not see the first.

    Its stdin stays open, as the end of that would be an answer too.
    """
    for _ in range(6):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=5)
    raise AssertionError(f"{process.args} goes on.")
