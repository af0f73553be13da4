"""Which text, cut into which tokens and splits."""

from __future__ import annotations

import dataclasses

from latentwave.errors import UserError

CORPORA = ("python-docs", "text")
TOKENIZERS = ("characters",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """A corpus and how it becomes tokens.

    Attributes:
        name: "python-docs", the English prose that ships with Python and needs no download, or
            "text", files of your own.
        path: for "text": one UTF-8 text file, or a folder whose text files are taken in the
            order of their names, sub-folders included.
        tokenizer: "characters": one token per character.
        validation: share of the tokens, after the training tokens, that is kept for validation.
        test: share of the tokens, at the end, that is kept for the test.

    Example:
        >>> CorpusConfig(name="text", path="books/").validation
        0.05
    """

    name: str = "python-docs"
    path: str | None = None
    tokenizer: str = "characters"
    validation: float = 0.05
    test: float = 0.05

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: for an unknown corpus or tokenizer, a path that is missing or not wanted,
                or shares that leave nothing to train on.
        """
        if self.name not in CORPORA:
            raise UserError(f"there is no corpus {self.name!r}; known are: {', '.join(CORPORA)}")
        if self.tokenizer not in TOKENIZERS:
            raise UserError(
                f"there is no tokenizer {self.tokenizer!r}; known are: {', '.join(TOKENIZERS)}"
            )
        if self.name == "text" and not self.path:
            raise UserError('the corpus "text" needs a path: a text file or a folder of them')
        if self.name != "text" and self.path is not None:
            raise UserError(
                f"the corpus {self.name!r} takes no path, got {self.path!r}; for a file or folder "
                'of your own choose the corpus "text"'
            )
        for share in ("validation", "test"):
            value = getattr(self, share)
            if not 0.0 <= value < 1.0:
                raise UserError(f"{share} must be in [0, 1), got {value}")
        if self.validation + self.test >= 1.0:
            raise UserError(
                f"validation={self.validation} and test={self.test} leave no text to train on: "
                "their sum must be below 1"
            )
