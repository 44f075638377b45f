"""The conformance checker: it trusts nothing that a builder computed."""
