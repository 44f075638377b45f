"""The benchmark suite: this project beside its peers, verified. See README.md in this folder."""
