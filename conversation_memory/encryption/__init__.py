"""Encryption at rest: the keys of an alias, and the values that are sealed with them.

The rest of the package sees a `Sealing` in the `Keys` of an index, or None. It seals a text before
it is sent to Redis, and opens what comes back.
"""
