from importlib.util import find_spec

# These define classes of Griptape's, so they cannot even be imported without it.
collect_ignore_glob = [] if find_spec("griptape") else ["test_griptape_*.py"]
