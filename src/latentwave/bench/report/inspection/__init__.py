"""Figures and the interactive page of an inspection."""
