"""Begins, ends and shows rollouts. Imported by the command line; workers follow what is written here."""
