"""The bench: data, training, comparison, inspection, reports and the command line."""
