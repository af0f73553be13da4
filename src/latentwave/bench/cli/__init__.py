"""The commands of `latentwave`: plain functions whose parameters are the options."""
