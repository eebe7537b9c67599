"""A rollout at work: the state that all workers share, the way of each job, and what is compared."""
