import os


def pytest_xdist_auto_num_workers():
    """`-n auto` is one worker if REDIS_URL named the server: tests look at all that it is sent."""
    return None if "REDIS_STARTED_BY" in os.environ else 1
