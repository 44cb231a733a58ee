"""Words that name a split in folders, files and arrays."""

from __future__ import annotations

__all__ = ["SPLIT_WORDS", "VALIDATION_IS_TEST"]

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("eval", "evaluation", "holdout"), "validation"),
}
"""Split of each word, in lower case."""

VALIDATION_IS_TEST = "no test split found; the validation split is used as the test split"
"""Message of every reader that uses the validation split for testing."""
