"""Reading dead letters: list, show, count and export them.

In: the `DeadLetter`s that a selection matches. Out: rows, sections and statistics for a terminal, JSON for scripts, an
HTML page, and files. Invariant: nothing is written to Kafka.
"""
