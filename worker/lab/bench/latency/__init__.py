"""How long a job takes: alone in an idle system, as jobs come at random, and behind a backlog."""
