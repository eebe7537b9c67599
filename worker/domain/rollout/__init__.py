"""Rolling a model set out: which jobs it reads, what is known of it, and what follows. Pure rules and values."""
