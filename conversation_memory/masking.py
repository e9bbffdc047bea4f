"""Mask passwords in settings as asterisks on Django's debug page and in its error mails."""

import re
from collections.abc import Iterator, Mapping
from pprint import pformat
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.views.debug import get_default_exception_reporter_filter

from .conf import lends

# Django itself hides a setting by its key: a PASSWORD, but not a password inside a URL, and neither
# of them in the local variables of a traceback.
STARS = "********"
_password_in = re.compile(r"://[^:]*:(.+)@", re.S).search


class Secret(str):
    """A string whose repr() is masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(STARS)


class SecretURL(Secret):
    """A string of one or more URLs whose repr() masks their secrets."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(mask(self))


def mask(url: str) -> str:
    """`url` with asterisks for its user, its password and its query."""
    # urlsplit() misreads a URL whose password contains `/`, `#` or `?`.
    scheme, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    if not rest or "@" in query:
        return STARS
    _, at, address = address.rpartition("@")
    return f"{scheme}://{f'{STARS}@' if at else ''}{address}{f'?{STARS}' if query else ''}"


_SECRET = {"URL", "PASSWORD", "CLUSTER", "SENTINEL_OPTIONS", "ENCRYPTION"}


def hide_secrets() -> None:
    """Mask the passwords of settings.REDIS and of the caches that can lend a connection."""
    for entry in _dicts(getattr(settings, "REDIS", {})):
        # Not OPTIONS: aliases with different options are told apart by their repr().
        for key in entry.keys() & _SECRET:
            entry[key] = masked(key, entry[key])
    for cache in lending_caches():
        masked("", cache)


def lending_caches() -> Iterator[Mapping[str, Any]]:
    """The entries of settings.CACHES that use Redis or that an entry of REDIS borrows from."""
    borrowed = {str(entry.get("CACHE")) for entry in _dicts(getattr(settings, "REDIS", {}))}
    for alias, entry in settings.CACHES.items():
        if isinstance(entry, Mapping) and (alias in borrowed or lends(alias)):
            yield entry


def masked(key: str, value: Any) -> Any:
    """A setting with its passwords masked, in place in dicts and lists."""
    # In place, since Django and the cache backends may hold a reference already.
    if isinstance(value, dict):
        value.update({name: masked(str(name), part) for name, part in value.items()})
    elif isinstance(value, list):
        value[:] = [masked(key, part) for part in value]
    elif type(value) is tuple:
        return tuple(masked(key, part) for part in value)
    # A subclass of str may be masked already.
    elif type(value) is str and _is_secret(key):
        return Secret(value)
    elif type(value) is str and (key in ("URL", "LOCATION") or "://" in value):
        return SecretURL(value)
    return value


def _is_secret(key: str) -> bool:
    return "PASS" in key.upper() or key == "key"  # of ENCRYPTION


def shown_settings() -> list[str]:
    """The names of other settings in which an error report shows one of these passwords."""
    passwords = {*_passwords("", [getattr(settings, "REDIS", {}), *lending_caches()])}
    try:
        safe = get_default_exception_reporter_filter().get_safe_settings()
    except ImproperlyConfigured:  # without a SECRET_KEY there is no report
        return []
    texts = {name: pformat(value) for name, value in safe.items()}
    return [name for name, text in texts.items() if any(map(text.__contains__, passwords))]


def _passwords(key: str, value: Any) -> Iterator[str]:
    # As a report would show them: in quotes, or inside a URL.
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _passwords(str(name), part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _passwords(key, part)
    elif isinstance(value, str) and value and _is_secret(key):
        yield from (repr(str(value)), f":{value}@")
    elif isinstance(value, str):
        for url in re.split("[,;]", str(value)):  # as the cache backends do
            if found := _password_in(url):
                yield from (f":{found[1]}@", repr(found[1]), repr(unquote(found[1])))


def _dicts(entries: Any) -> list[dict[str, Any]]:
    values = entries.values() if isinstance(entries, Mapping) else ()
    return [entry for entry in values if isinstance(entry, dict)]
