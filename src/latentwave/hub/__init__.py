"""Hugging Face side: attach and detach mixers, carry their state in the model's cache, save and load."""
