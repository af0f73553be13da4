"""Recipes and training runs, on top of the Trainer of transformers."""
