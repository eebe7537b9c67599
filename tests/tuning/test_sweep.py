"""The choice among candidates, on measurements that are made up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from worker.domain.errors import LocalStackError
from worker.lab.tuning.candidates import Change
from worker.lab.tuning.errors import SweepError
from worker.lab.tuning.judgment import (
    SweepComparison,
    SweepLimits,
    SweepReading,
    SweepTurn,
    equal_lines,
    judge,
    lost_by,
)
from worker.lab.tuning.sweep import Sweep, SweepMeans, SweepTrial
from worker.models.tuning import ServingSettings

DEFAULT = ServingSettings(instances=2, threads=1, static_widths=(32,), static_tiles=())
READ = SweepReading(0.95, (("SHIP TO", "Hamburg"), ()))
LIMITS = SweepLimits(memory_mb=1000)


def _turns(*rates: float) -> list[SweepTurn]:
    return [SweepTurn(rate, 1 / rate) for rate in rates]


@pytest.mark.parametrize(
    ("candidate", "incumbent", "taken"),
    [
        ((5.1, 5.3, 5.2), (4.8, 5.0, 4.9), True),
        ((5.1, 4.99, 5.9), (4.8, 5.0, 4.9), False),  # one round is no faster than the other's best
        ((5.0, 5.3, 5.2), (4.8, 5.0, 4.9), False),  # as fast is not faster
        ((9.0, 9.0, 3.0), (4.8, 5.0, 4.9), False),  # a high median with a spread as high
        ((4.0, 4.0, 4.0), (4.8, 5.0, 4.9), False),
    ],
)
def test_only_a_gain_beyond_the_spread_is_taken(
    candidate: tuple[float, ...], incumbent: tuple[float, ...], *, taken: bool
) -> None:
    verdict = judge(SweepComparison(_turns(*candidate), _turns(*incumbent)), 900, 900, LIMITS)

    assert verdict.taken is taken
    assert "%" in verdict.reason


def test_memory_bounds_what_is_taken() -> None:
    faster = SweepComparison(_turns(9, 9, 9), _turns(4, 4, 4))
    slower = SweepComparison(_turns(4, 4, 4), _turns(9, 9, 9))

    assert not judge(faster, 1001, 900, LIMITS).taken
    assert judge(faster, 1000, 900, LIMITS).taken
    assert judge(slower, 900, 1001, LIMITS).taken, "what does not fit must give way to what does"
    assert judge(slower, 1500, 2000, LIMITS).taken, "and to what is nearer to it"
    assert not judge(faster, 2000, 1500, LIMITS).taken
    assert judge(faster, 10**6, 900, SweepLimits()).taken, "there is no bound where none was given"


@pytest.mark.parametrize(("word_f1", "lost"), [(0.96, False), (0.948, False), (0.9479, True)])
def test_word_f1_may_lose_the_limit_and_no_more(word_f1: float, *, lost: bool) -> None:
    reason = lost_by(SweepReading(word_f1, ((), ())), READ, SweepLimits(max_word_f1_loss=0.002))

    assert (reason is not None) is lost


def test_without_truth_lines_must_be_equal() -> None:
    default = SweepReading(None, (("SHIP TO", "Hamburg", "A"), ("A",)))
    other = SweepReading(None, (("ship  to", "Hamburg"), ("B",)))

    assert equal_lines(other, default) == pytest.approx(2 * 2 / 7)
    assert equal_lines(default, default) == 1
    assert lost_by(other, default, SweepLimits(min_equal_lines=0.58)) is not None
    assert lost_by(other, default, SweepLimits(min_equal_lines=0.57)) is None
    assert equal_lines(SweepReading(None, ((),)), SweepReading(None, ((),))) == 1


@dataclass
class FakeServer:
    """Replays at its rates, one after another, and takes some seconds for it."""

    stand: "Stand"
    rates: Iterator[float]
    read_as: SweepReading = READ
    memory_mb: float = 500
    closed: int = 0

    def read(self) -> SweepReading:
        self.stand.seconds += 10
        return self.read_as

    def replay(self) -> SweepTurn:
        self.stand.seconds += 1
        assert not self.closed
        rate = next(self.rates)
        return SweepTurn(rate, 1 / rate)

    def peak_rss_mb(self) -> float:
        return self.memory_mb

    def close(self) -> None:
        self.closed += 1


@dataclass
class Stand:
    """Serves made-up candidates by their delay in microseconds, and keeps the time."""

    plans: Mapping[int, FakeServer] = field(default_factory=dict)
    seconds: float = 0
    trials: list[SweepTrial] = field(default_factory=list)
    served: list[int] = field(default_factory=list)

    def serve(self, settings: ServingSettings) -> FakeServer:
        self.seconds += 5
        self.served.append(settings.max_queue_delay_microseconds)
        if settings.max_queue_delay_microseconds not in self.plans:
            raise LocalStackError("Triton ended")
        return self.plans[settings.max_queue_delay_microseconds]

    def now(self) -> float:
        return self.seconds

    def descend(self, default: FakeServer, *delays: int, limits: SweepLimits = LIMITS) -> ServingSettings:
        means = SweepMeans(self.serve, self.now, self.trials.append, lambda _step: None)
        tried = [Change(f"delay {delay}", {"max_queue_delay_microseconds": delay}) for delay in delays]
        return Sweep(means, limits, limits.seconds).descend((DEFAULT, default), READ, tried, 20)

    @property
    def outcomes(self) -> list[tuple[str, bool, bool]]:
        return [(trial.change, trial.tried, trial.verdict.taken) for trial in self.trials]


def _steady(rate: float) -> Iterator[float]:
    while True:
        yield rate


def test_each_candidate_is_compared_with_the_best_before_it() -> None:
    stand = Stand()
    default, faster = FakeServer(stand, _steady(4)), FakeServer(stand, _steady(6))
    between, fastest = FakeServer(stand, _steady(5)), FakeServer(stand, _steady(7))
    stand.plans = {1: faster, 2: between, 3: fastest}

    best = stand.descend(default, 1, 2, 3)

    assert best.max_queue_delay_microseconds == 3
    assert stand.outcomes == [("delay 1", True, True), ("delay 2", True, False), ("delay 3", True, True)]
    assert [server.closed for server in (default, faster, between, fastest)] == [1, 1, 1, 1]
    compared = stand.trials[1].compared
    assert compared is not None
    assert ([turn.pictures_per_second for turn in compared.incumbent], len(compared.candidate)) == ([6, 6, 6], 3)


def test_what_is_there_already_is_not_tried_again() -> None:
    stand = Stand()
    stand.plans = {1: FakeServer(stand, _steady(3))}

    stand.descend(FakeServer(stand, _steady(4)), 0, 1, 1)

    assert stand.served == [1]


def test_what_the_time_does_not_hold_is_named_and_not_tried() -> None:
    stand = Stand()
    stand.plans = {delay: FakeServer(stand, _steady(3)) for delay in range(1, 6)}

    stand.descend(FakeServer(stand, _steady(4)), 1, 2, 3, 4, 5, limits=SweepLimits(seconds=60))

    assert stand.outcomes[:2] == [("delay 1", True, False), ("delay 2", True, False)]
    assert [(tried, trial.verdict.reason) for trial in stand.trials[2:] for tried in [trial.tried]] == [
        (False, "the time is over")
    ] * 3
    assert stand.seconds <= 60


def test_what_fails_the_gate_is_not_even_timed() -> None:
    stand = Stand()
    stand.plans = {1: FakeServer(stand, iter(()), read_as=SweepReading(0.9, READ.lines))}

    best = stand.descend(FakeServer(stand, iter(())), 1)

    assert best == DEFAULT
    assert stand.trials[0].compared is None
    assert "word F1 0.9000" in stand.trials[0].verdict.reason
    assert stand.plans[1].closed == 1


def test_what_takes_too_much_memory_is_not_even_timed() -> None:
    stand = Stand()
    stand.plans = {1: FakeServer(stand, iter(()), memory_mb=1001)}

    assert stand.descend(FakeServer(stand, iter(())), 1) == DEFAULT
    assert (stand.trials[0].verdict.reason, stand.trials[0].peak_rss_mb) == ("takes 1001 MB, over 1000", 1001)


def test_what_cannot_be_served_is_refused_with_the_reason() -> None:
    stand = Stand()
    default = FakeServer(stand, _steady(4))

    assert stand.descend(default, 9) == DEFAULT
    assert stand.trials[0].verdict.reason == "failed: Triton ended"
    assert default.closed == 1


def test_nothing_is_chosen_if_nothing_fits_into_the_memory() -> None:
    stand = Stand()
    default = FakeServer(stand, _steady(4), memory_mb=1200)
    smaller = FakeServer(stand, _steady(2), memory_mb=1100)
    stand.plans = {1: smaller}

    with pytest.raises(SweepError, match="no candidate fits into 1000 MB, the best one takes 1100"):
        stand.descend(default, 1)

    assert (default.closed, smaller.closed) == (1, 1)


def test_a_slower_one_that_fits_takes_the_place_of_a_default_that_does_not() -> None:
    stand = Stand()
    stand.plans = {1: FakeServer(stand, _steady(3))}

    assert stand.descend(FakeServer(stand, _steady(4), memory_mb=1200), 1).max_queue_delay_microseconds == 1
