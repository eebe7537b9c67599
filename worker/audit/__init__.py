"""The audit: a proof that every job has exactly one terminal outcome."""
