"""The audit: a proof that every job has exactly one terminal outcome.

In: all records of a deployment's topics up to a cut (`consistent_cut.py`), or those that came since the last audit
(`state.py`), and what the workers' group has committed there. Each record becomes an entry (`entries.py`) in a ledger
on disk (`ledger.py`), the entries of one job its `JobHistory`, which says what became of the job (`verdict.py`). Out:
an `AuditReport`. Invariant: nothing is written to Kafka.
"""
