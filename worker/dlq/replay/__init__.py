"""Writing dead letters as jobs again, each exactly once, canaries first.

In: a `ReplayRequest`. `planner.py` makes a `ReplayPlan` of it, with a census of the letters; `executor.py` carries the
plan out, phase by phase, and waits for the canaries between the phases. Out: jobs on the replay topic (or on the topics
that they came from), letters on the parked topic, a `RunRecord` for each run, and a `ReplayResult` for who asked.
"""
