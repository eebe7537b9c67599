"""A deployment as its workers' and Triton's pages of metrics tell it."""
