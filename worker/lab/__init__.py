"""The workshop: synthetic labels, evaluation, benchmark, chaos and demo, on the embedded stack. Workers run without."""
