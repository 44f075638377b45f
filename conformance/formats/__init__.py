"""Ways to write a report: each a pure function from a `Report` to a string."""
