"""How different two numbers are: by characters changed, put in or left out (Levenshtein)."""


def is_within(one: str, other: str, most: int) -> bool:
    """Whether at most `most` characters have to be changed, put in or left out to turn one into the other.

    Computes only the diagonals that can lead to yes (Ukkonen, 1985), and stops when none is left.
    """
    if most < 0 or abs(len(one) - len(other)) > most:
        return False
    beyond = most + 1
    row = {column: column for column in range(min(most, len(other)) + 1)}
    for position, left in enumerate(one, start=1):
        last, row = row, {}
        for column in range(max(position - most, 0), min(position + most, len(other)) + 1):
            steps = last.get(column, beyond) + 1
            if column:
                steps = min(
                    steps, row.get(column - 1, beyond) + 1, last.get(column - 1, beyond) + (left != other[column - 1])
                )
            row[column] = steps
        if min(row.values()) > most:
            return False
    return row.get(len(other), beyond) <= most
