import os

from hypothesis import settings
from redis import Redis

# `--hypothesis-profile more` is for a gate; by default, a test run is done sooner.
settings.register_profile("few", max_examples=50, deadline=None)
settings.register_profile("more", max_examples=200, deadline=None)
settings.load_profile("few")


def pytest_report_header():
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        server = client.info("server")
    name, version = server.get("server_name", "redis"), server["redis_version"]
    return f"server: {name} {server.get('valkey_version', version)}, {server.get('executable')}"


def pytest_xdist_auto_num_workers():
    """`-n auto` is one more than there are processors, as many tests wait for a server.

    It is one if REDIS_URL named the server: tests look at all that it is sent.
    """
    return (os.cpu_count() or 1) + 1 if "REDIS_STARTED_BY" in os.environ else 1
