"""How the quality score is fitted and checked: pictures spoilt on purpose, and how well they are read."""
