import os

from redis import Redis


def pytest_report_header():
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        server = client.info("server")
    name, version = server.get("server_name", "redis"), server["redis_version"]
    return f"server: {name} {server.get('valkey_version', version)}, {server.get('executable')}"


def pytest_xdist_auto_num_workers():
    """`-n auto` is one worker if REDIS_URL named the server: tests look at all that it is sent."""
    return None if "REDIS_STARTED_BY" in os.environ else 1
