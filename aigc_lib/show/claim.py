"""Sentences about a trained model, each with the number that decides it."""

import os
import re

TRUE, FALSE = "✓ ", "✗ "
ADVICE = (
    "Not so in this run. Training differs from processor to processor and from seed to "
    "seed; go on reading, and see the note on ✗ under 'How to use this course'."
)


def claim(condition: object, sentence: str) -> None:
    """Print `sentence` after ✓, or after ✗ where `condition` is false in this run.

    condition: a bool, or a tensor or array of one element; sentence: what is claimed,
    with its numbers. A reader is never stopped. Where AIGC_STRICT=1, as under nbval, ✗
    raises AssertionError. Raises ValueError for an empty sentence and for a condition
    that is not one truth value.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"sentence={sentence!r}: expected what is claimed, in words")
    if (
        isinstance(condition, str | bytes | list | tuple | dict | set)
        or condition is None
    ):
        raise ValueError(f"condition={condition!r}: expected True or False")
    try:
        holds = bool(condition)
    except (RuntimeError, ValueError) as error:  # a tensor or array of several elements
        raise ValueError(
            f"condition={condition!r}: expected one truth value"
        ) from error
    text = re.sub(r"\s+", " ", sentence.strip())
    if not holds and os.environ.get("AIGC_STRICT") == "1":
        raise AssertionError(f"{FALSE}{text}")
    print(TRUE + text if holds else f"{FALSE}{text}\n  {ADVICE}")
