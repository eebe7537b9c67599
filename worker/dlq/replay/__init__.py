"""Writing dead letters again as jobs, each exactly once, with canaries first."""
