"""What a label, a record and an outcome are: pure values and rules, no I/O and no SDK."""
