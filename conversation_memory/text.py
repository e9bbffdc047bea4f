"""Words of sentences that say how much there is."""


def counted(count: int, noun: str) -> str:
    """`1 run`, `2,000 runs`; the noun is one whose plural ends in -s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
