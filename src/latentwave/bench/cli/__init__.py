"""The commands of the command line, plain functions whose signatures are their options."""
