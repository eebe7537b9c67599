"""The order of a bench, and who should be idle."""

from collections.abc import Callable, Sequence

from worker.lab.bench.contestants import ContestantTurn
from worker.lab.bench.rounds import idle_pids, rotated, run_rounds


class Canned:
    """A contestant that takes a second for each picture."""

    def __init__(self, name: str, pids: Sequence[int], diary: list[str]) -> None:
        self.name = name
        self.title = name
        self.images = 1
        self.pids = pids
        self._diary = diary

    def warm_up(self, on_picture: Callable[[], None]) -> None:
        on_picture()
        self._diary.append(f"warm {self.name}")

    def turn(self, number: int, others: Sequence[int], on_picture: Callable[[], None]) -> ContestantTurn:
        on_picture()
        self._diary.append(f"{number} {self.name} {others}")
        return ContestantTurn(self.name, number, 1, 1.0, (1.0,), 0, 0.0, 0.0)


def test_everybody_has_a_turn_in_each_round_and_the_order_rotates() -> None:
    diary: list[str] = []
    contestants = [Canned("a", (1, 9), diary), Canned("b", (2,), diary), Canned("bare", (9,), diary)]

    turns = run_rounds(contestants, 2, 1)

    assert diary == [
        *("warm a", "warm b", "warm bare"),
        *("0 a [2]", "0 b [1, 9]", "0 bare [1, 2]"),
        *("1 b [1, 9]", "1 bare [1, 2]", "1 a [2]"),
    ]
    assert [(turn.contestant, turn.round) for turn in turns[:2]] == [("a", 0), ("b", 0)]


def test_a_server_that_two_share_is_idle_for_neither() -> None:
    diary: list[str] = []
    worker, bare = Canned("worker", (1, 9), diary), Canned("bare", (9,), diary)

    assert idle_pids(worker, [worker, bare]) == []
    assert idle_pids(bare, [worker, bare]) == [1]


def test_nobody_rotates() -> None:
    assert rotated([], 3) == []
