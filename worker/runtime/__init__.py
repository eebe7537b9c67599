"""How records become outcomes: admission, delivery, partitions, health and the loop that holds them together."""
