"""Dead letters: listing, showing, counting, exporting and replaying them."""
