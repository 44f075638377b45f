"""Independent readers over pyramids of ours and over broken ones: what is predicted, what is observed."""
