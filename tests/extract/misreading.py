"""Random numbers of each kind with right check digits, and a recognizer that misreads them.

The recognizer is calibrated, as softmax outputs of a trained one about are: what it gives a probability of 0.7 is right
seven times in ten. Most characters are sure; a few are doubtful, between two or three that look alike.
"""

import random
from collections.abc import Iterator
from itertools import product

from worker.pipeline.extract.numbers.forms import Form
from worker.pipeline.extract.numbers.repair import ReadCharacter

_ALIKE = dict(
    pair.split(":")
    for pair in (
        *["0:O8D6", "1:I74L", "2:Z73", "3:85", "4:A91", "5:S63", "6:G85", "7:T12", "8:B36", "9:G40"],
        *["A:4R", "B:8R", "D:0O", "G:6C", "I:1L", "O:0DQ", "S:5", "T:7I", "Z:2", "U:V", "J:I"],
    )
)
_DOUBTFUL_SHARE = 0.02
_SURE = 0.9999  # of 11,000 characters of synthetic labels read over 0.8 none was wrong


def printed(form: Form, chance: random.Random) -> str:
    """Return a random number of the form whose check digit holds."""
    while True:
        places = [chance.choice(sorted(allowed)) for allowed in form.positions]
        spots = [place for place, allowed in enumerate(form.positions) if len(allowed) > 1][-4:]
        for digits in product("0123456789", repeat=1):
            for spot in reversed(spots):
                if set(digits) <= form.positions[spot]:
                    number = "".join([*places[:spot], *digits, *places[spot + 1 :]])
                    if form.passes(number):
                        return number


def read(number: str, chance: random.Random) -> Iterator[ReadCharacter]:
    """Yield the number as it is read, a mark a character."""
    for character in number:
        doubtful = chance.random() < _DOUBTFUL_SHARE
        best = chance.uniform(0.45, 0.98) if doubtful else _SURE
        alike = _ALIKE.get(character, "XK")
        second, third = chance.choice(alike), chance.choice("0123456789ABCDEFGHKMNPRSTUVXYZ")
        odds = (best, (1 - best) * 0.85, (1 - best) * 0.1)
        order = [character, second, third]
        # What is right stands in the place that its probability says.
        place = chance.choices((0, 1, 2), (best, 1 - best - odds[2], odds[2]))[0]
        order[0], order[place] = order[place], order[0]
        told = {text: chances for text, chances in zip(order[1:], odds[1:], strict=True) if text != order[0]}
        yield ReadCharacter(order[0], tuple((text, chances / best) for text, chances in told.items()), doubtful)
