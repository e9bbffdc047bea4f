"""A way to a real server that refuses what hosted ones refuse, according to their documentation.

It changes what is on its way to the server: a command that is refused becomes a script that returns
the error, and in front of each script comes the check of the keys that it touches.
"""

import os
import re
import socket
import threading
from contextlib import suppress
from functools import cache
from hashlib import sha1
from urllib.parse import urlsplit

from hiredis import Reader, pack_command

_ADMIN = {
    *"ACL BGREWRITEAOF BGSAVE CONFIG DEBUG FAILOVER FUNCTION LASTSAVE LATENCY MEMORY".split(),
    *"MIGRATE MODULE MONITOR PSYNC REPLICAOF SAVE SCRIPT SHUTDOWN SLAVEOF SWAPDB SYNC".split(),
}
_OF_MODULES = re.compile(r"(FT|JSON|TS|BF|CF|TOPK|TDIGEST)\.").match

# What each refuses, by its documentation; docs/howto/providers.md tells users the same.
PROFILES = {
    "elasticache-serverless": {"admin", "select", "multi", "arguments", "keyless", "undeclared"},
    "upstash": {"admin", "select", "undeclared", "modules"},
    "memorystore": {"admin", "modules"},
    "dragonfly": {"undeclared", "modules"},
}
PROFILES["all"] = set().union(*PROFILES.values())

_MOST_ARGUMENTS = 3999

_SCRIPTS = ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO")
_REFUSAL = b"return redis.error_reply(ARGV[1])"

# The check, as the first line of a script.
_PRELUDE = b"""
local redis = (function(whole, keys)
  local declared, all, none = {}, {}, {}
  for _, key in ipairs(keys) do declared[key] = true end
  for name in ('DEL EXISTS UNLINK RENAME COPY'):gmatch('%S+') do all[name] = true end
  for name in ('TIME PUBLISH'):gmatch('%S+') do none[name] = true end
  local function checked(call)
    return function(name, ...)
      local touched = all[name] and {...} or none[name] and {} or {(...)}
      for _, key in ipairs(touched) do
        if not declared[key] then error('script tried accessing undeclared key ' .. key, 0) end
      end
      return call(name, ...)
    end
  end
  local own = {call = checked(whole.call), pcall = checked(whole.pcall)}
  return setmetatable(own, {__index = whole})
end)(redis, KEYS)
""".replace(b"\n", b" ")


def way_to(url):
    """The URL of a server as the tests use it: through a proxy if REDIS_REFUSES names a profile."""
    profile = os.environ.get("REDIS_REFUSES")
    return _proxy(urlsplit(url).port, profile).url if profile else url


@cache
def _proxy(port, profile):
    return RefusingProxy(port, profile)


class RefusingProxy:
    """A port that is like a server of a provider; `refused` are the commands that it refused."""

    def __init__(self, port, profile="all"):
        self.port = port
        self.refuses = PROFILES[profile]
        self.refused = []
        self.known = {}  # digest of a script -> that of the script with the check
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"

    def close(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.port))
                except OSError:
                    client.close()
                    continue
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for target in (self._ask, self._answer):
                    threading.Thread(target=target, args=(client, server), daemon=True).start()

    def _answer(self, client, server):
        with suppress(OSError):
            while data := server.recv(2**18):
                client.sendall(data)
        with suppress(OSError):  # closing alone would not wake the other thread
            client.shutdown(socket.SHUT_RDWR)

    def _ask(self, client, server):
        reader, connection = Reader(), _Connection(self)
        with suppress(OSError), server, client:
            while data := client.recv(2**18):
                reader.feed(data)
                calls = []
                while (call := reader.gets()) is not False:
                    calls.append(pack_command(connection.passed(call)))
                if calls:
                    server.sendall(b"".join(calls))
            server.shutdown(socket.SHUT_WR)


class _Connection:
    def __init__(self, proxy):
        self.proxy = proxy
        self.is_queueing = False

    def passed(self, call):
        """What the server gets instead of a call."""
        name = call[0].decode().upper()
        if why := self._fault(name, call):
            self.proxy.refused.append((name, why))
            return (b"EVAL", _REFUSAL, b"1", b"key", f"ERR {why}".encode())
        if name in ("MULTI", "EXEC", "DISCARD"):
            self.is_queueing = name == "MULTI"
        if name in _SCRIPTS and "undeclared" in self.proxy.refuses:
            return self._checked(name, call)
        return tuple(call)

    def _fault(self, name, call):
        refuses = self.proxy.refuses
        if name in _ADMIN and "admin" in refuses or name == "SELECT" and "select" in refuses:
            return f"unknown command '{name}'"
        if _OF_MODULES(name) and "modules" in refuses:
            return f"unknown command '{name}'"
        if len(call) - 1 > _MOST_ARGUMENTS and "arguments" in refuses:
            return f"{name} has more than {_MOST_ARGUMENTS} arguments"
        if name in _SCRIPTS and "keyless" in refuses and call[2] == b"0":
            return "Lua scripts without any input keys are not supported"
        if name in _SCRIPTS and "multi" in refuses and self.is_queueing:
            return "command not supported inside transaction"
        return None

    def _checked(self, name, call):
        known = self.proxy.known
        if "SHA" in name:  # an unknown one must be unknown to the server too
            return (call[0], known.get(call[1], b"0" * 40), *call[2:])
        script = _PRELUDE + call[1]
        known[_sha(call[1])] = _sha(script)
        return (call[0], script, *call[2:])


def _sha(script):
    return sha1(script, usedforsecurity=False).hexdigest().encode()
