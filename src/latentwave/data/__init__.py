"""Corpora, from files to memory-mapped token stores to windows of tokens."""
