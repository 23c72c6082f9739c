"""What a run says to its user: sentences on stderr, where they mix with no output and show at once."""

import sys


def say(sentence: str) -> None:
    """Prints a sentence."""
    print(sentence, file=sys.stderr, flush=True)
