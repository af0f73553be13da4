"""Text: corpora of files, and characters, bytes or byte pairs as tokens."""
