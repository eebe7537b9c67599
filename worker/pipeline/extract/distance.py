"""How different two numbers are."""

from collections import Counter


def is_within(one: str, other: str, most: int) -> bool:
    """Whether at most so many characters have to be changed, put in or left out to make one the other."""
    if abs(len(one) - len(other)) > most or sum((Counter(one) - Counter(other)).values()) > most:
        return False
    return distance(one, other) <= most


def distance(one: str, other: str) -> int:
    """Return how many characters have to be changed, put in or left out (Levenshtein)."""
    row = list(range(len(other) + 1))
    for place, left in enumerate(one, start=1):
        corner, row[0] = row[0], place
        for column, right in enumerate(other, start=1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (left != right))
    return row[len(other)]
