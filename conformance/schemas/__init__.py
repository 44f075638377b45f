"""JSON schemas of the standards, one folder a convention, file name = revision."""
