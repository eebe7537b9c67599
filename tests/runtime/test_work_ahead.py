"""How many jobs begin: as many as keep the models busy, and no more."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.serving import LARGE_FROM_PIXELS, Picture, Served, Server, run_backlog
from worker.ports import InferenceRequest, ModelDescription, ServingCapacity
from worker.runtime.work_ahead import CURRENT_JOB, AdmittedJob, FastestAnswers, WorkAhead

MAX_JOBS = 8
EMBEDDED = Server(Served(0.1, instances=2), Served(0.005, 0.004, instances=2), cores=2, shares_cores=True)
OWN_CORES = replace(EMBEDDED, shares_cores=False)
CORES_FOR_EACH_MODEL = replace(EMBEDDED, cores=None, shares_cores=False)
GPU = Server(
    Served(0.008, 0.0005, max_rows=32, delay_seconds=0.003),
    Served(0.004, 0.0001, max_rows=64, delay_seconds=0.003),
    batches=True,
)
REMOTE = replace(OWN_CORES, way_seconds=0.2)
FOUR_SERVERS = replace(OWN_CORES, copies=4)
PHOTO = Picture(decode_seconds=0.2, crop_seconds=0.2, lines=100, pixels=12_000_000)


def receipts(count: int) -> list[Picture]:
    chance = random.Random(1)  # noqa: S311
    return [
        Picture(
            decode_seconds=chance.uniform(0.01, 0.03),
            crop_seconds=chance.uniform(0.01, 0.03),
            lines=chance.randint(4, 50),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("server", "threads", "max_jobs", "most_jobs", "slower"),
    [
        (EMBEDDED, 2, MAX_JOBS, 6, 1.01),
        (OWN_CORES, 2, MAX_JOBS, 6, 1.01),
        (CORES_FOR_EACH_MODEL, 2, MAX_JOBS, 7, 1.03),
        (GPU, 2, MAX_JOBS, 5, 1.01),
        (GPU, 8, 4 * MAX_JOBS, 18, 1.01),
        (REMOTE, 2, MAX_JOBS, MAX_JOBS, 1.01),
        (FOUR_SERVERS, 2, MAX_JOBS, MAX_JOBS, 1.03),
    ],
    ids=["embedded", "own cores", "cores for each model", "GPU", "GPU and 8 cores", "remote", "four servers"],
)
def test_a_backlog_takes_no_longer_with_fewer_jobs_in_progress(
    server: Server, threads: int, max_jobs: int, most_jobs: int, slower: float
) -> None:
    pictures = receipts(400)
    as_many_as_may = run_backlog(replace(server, tells=False), pictures, threads=threads, max_jobs=max_jobs)
    needed = run_backlog(server, pictures, threads=threads, max_jobs=max_jobs)
    assert needed.seconds <= slower * as_many_as_may.seconds
    assert needed.mean_jobs <= most_jobs
    assert needed.mean_jobs < as_many_as_may.mean_jobs
    assert needed.order == as_many_as_may.order == list(range(len(pictures))), "first come, first served"


@pytest.mark.parametrize("server", [EMBEDDED, GPU, REMOTE], ids=["embedded", "GPU", "remote"])
def test_small_jobs_go_on_beside_large_ones(server: Server) -> None:
    pictures = receipts(190)
    for place in range(5, len(pictures), 20):
        pictures[place] = PHOTO
    as_many_as_may = run_backlog(replace(server, tells=False), pictures)
    needed = run_backlog(server, pictures)
    assert needed.seconds <= 1.02 * as_many_as_may.seconds
    assert needed.mean_jobs < as_many_as_may.mean_jobs
    assert needed.large_order == list(range(5, len(pictures), 20))
    assert needed.order == sorted(set(range(len(pictures))) - set(needed.large_order))


@pytest.mark.parametrize("sizes", [(66, 44, 22), (66, 44, 22, 8)], ids=["3 to 1", "8 to 1"])
@pytest.mark.parametrize(
    ("server", "most_jobs", "slower"),
    [
        (EMBEDDED, 7.5, 1.03),
        (OWN_CORES, 7.5, 1.03),
        (REMOTE, MAX_JOBS, 1.03),
        (FOUR_SERVERS, MAX_JOBS, 1.05),
        (replace(FOUR_SERVERS, way_seconds=0.05), MAX_JOBS, 1.03),
    ],
    ids=["embedded", "own cores", "remote", "four servers", "four servers on a way"],
)
def test_tiles_of_many_sizes_look_like_no_queue(
    server: Server, most_jobs: float, slower: float, sizes: tuple[int, ...]
) -> None:
    chance = random.Random(2)  # noqa: S311
    pictures = [replace(picture, tile_bytes=chance.choice(sizes)) for picture in receipts(400)]
    as_many_as_may = run_backlog(replace(server, tells=False), pictures)
    needed = run_backlog(server, pictures)
    assert needed.seconds <= slower * as_many_as_may.seconds
    assert needed.mean_jobs <= most_jobs


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 0.5)), min_size=1), st.floats(0, 1), st.floats(0, 0.01))
def test_what_waits_for_nothing_is_never_slow(
    answers: list[tuple[int, float]], way_seconds: float, byte_seconds: float
) -> None:
    fastest = FastestAnswers()
    for size, waited in answers:
        alone = way_seconds + size * byte_seconds
        slowness = fastest.slowness(size, alone + waited)
        assert slowness >= 1.0
        assert slowness * alone <= (alone + waited) * 1.001


def test_a_size_that_was_never_seen_is_judged_by_others() -> None:
    fastest = FastestAnswers()
    fastest.slowness(100, 0.1)
    assert fastest.slowness(200, 0.4) == pytest.approx(2.0), "no longer in proportion"
    assert fastest.slowness(50, 0.3) == pytest.approx(3.0), "no longer than a larger one"


@pytest.mark.parametrize("no_time", [0.0, 5e-324, 1e-6])
def test_an_answer_in_no_time_makes_no_other_one_slow(no_time: float) -> None:
    fastest = FastestAnswers()
    assert fastest.slowness(100, no_time) == 1.0
    assert fastest.slowness(100, 0.1) == 1.0
    assert fastest.slowness(100, no_time) == 1.0
    assert fastest.slowness(100, 0.2) == pytest.approx(2.0)


def test_a_server_that_does_not_say_is_given_as_many_jobs_as_may_be() -> None:
    outcome = run_backlog(replace(EMBEDDED, tells=False), receipts(40))
    assert outcome.most_jobs == MAX_JOBS
    assert set(outcome.wanted) == {MAX_JOBS}


PICTURES = st.builds(
    Picture,
    decode_seconds=st.floats(0.001, 0.3),
    crop_seconds=st.floats(0.001, 0.3),
    lines=st.integers(0, 60),
    lines_each=st.integers(1, 16),
    pixels=st.sampled_from([500_000, 1_000_000, LARGE_FROM_PIXELS + 1]),
)
SERVERS = st.builds(
    Server,
    detector=st.builds(Served, seconds=st.floats(0.001, 0.3), instances=st.integers(1, 3)),
    recognizer=st.builds(Served, seconds=st.floats(0.001, 0.1), instances=st.integers(1, 3), max_rows=st.just(16)),
    batches=st.booleans(),
    copies=st.integers(1, 3),
    way_seconds=st.sampled_from([0.0, 0.05]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(PICTURES, min_size=1, max_size=25), SERVERS, st.integers(1, 3), st.integers(1, 8))
def test_every_job_has_its_turn_and_none_is_over_the_bound(
    pictures: list[Picture], server: Server, threads: int, max_jobs: int
) -> None:
    outcome = run_backlog(server, pictures, threads=threads, max_jobs=max_jobs)
    assert outcome.most_jobs <= max_jobs + 1, "one of the large lane"
    assert sorted(outcome.order + outcome.large_order) == list(range(len(pictures)))
    assert outcome.order == sorted(outcome.order)
    assert all(1 <= wanted <= max_jobs for wanted in outcome.wanted)


def work(*capacities: ServingCapacity | None, threads: int = 2) -> WorkAhead:
    found = WorkAhead(threads)
    for number, capacity in enumerate(capacities):
        found.described(f"model {number}", ModelDescription(f"model {number}", "1", 8, (), (), {}, capacity))
    return found


def answer(found: WorkAhead, seconds: float, *, rows: int = 1, beside: int = 0) -> None:
    """Let a job ask for some rows, with other requests beside that one."""
    token = CURRENT_JOB.set(AdmittedJob())
    request = InferenceRequest("model 0", {"image": np.zeros((rows, 100), np.uint8)}, [])
    with found.asking():
        for _ in range(beside):
            with found.asking():
                found.answered(request, seconds)
        if not beside:
            found.answered(request, seconds)
    CURRENT_JOB.reset(token)


@pytest.mark.parametrize(
    ("capacities", "enough"),
    [
        ([], None),
        ([None], None),
        ([ServingCapacity(2, 1)], 4),
        ([ServingCapacity(2, 1), None], 4),
        ([ServingCapacity(1, 1), ServingCapacity(3, 1)], 6),
        ([ServingCapacity(1, 8), ServingCapacity(1, 64)], 128),
    ],
)
def test_each_instance_can_fill_its_batch_twice(capacities: list[ServingCapacity | None], enough: int | None) -> None:
    assert work(*capacities).enough_jobs == enough


def test_no_job_is_needed_where_enough_have_begun() -> None:
    found = work(ServingCapacity(2, 1), threads=4)
    assert not found.is_enough(3)
    assert found.is_enough(4)
    assert not work(None, threads=4).is_enough(100)


def test_no_job_is_needed_while_the_threads_have_all_that_they_can_do() -> None:
    found = work(ServingCapacity(8, 1), threads=2)
    assert not found.is_enough(2), "a thread that becomes free finds the third at hand"
    assert found.is_enough(3)
    token = CURRENT_JOB.set(AdmittedJob())
    with found.asking():
        assert not found.is_enough(3), "one of the three waits for its answer"
    assert found.is_enough(3)
    CURRENT_JOB.reset(token)


def test_requests_beside_the_small_jobs_count_for_nothing() -> None:
    found = work(ServingCapacity(8, 1), threads=2)
    with found.asking():
        assert found.is_enough(3)


def test_what_a_job_asks_after_its_end_counts_for_nothing() -> None:
    found, job = work(ServingCapacity(8, 1), threads=2), AdmittedJob()
    token = CURRENT_JOB.set(job)
    with found.asking():
        found.ended(job)
        assert found.is_enough(3)
        with found.asking():
            assert found.is_enough(3)
    CURRENT_JOB.reset(token)


def test_more_jobs_may_begin_where_answers_are_as_fast_as_ever() -> None:
    found = work(ServingCapacity(2, 1))
    for _ in range(30):
        answer(found, 0.1)
    assert found.enough_jobs is None
    for _ in range(30):
        answer(found, 0.2)
    assert found.enough_jobs == 4


def test_requests_that_wait_for_others_of_their_own_job_show_nothing() -> None:
    found = work(ServingCapacity(2, 1))
    for _ in range(30):
        answer(found, 0.1, beside=1)
        answer(found, 0.1, rows=2)
    assert found.enough_jobs == 4


@pytest.mark.parametrize("description", [None, ModelDescription("model 0", "2", 8, (), (), {}, None)])
def test_a_server_that_says_nothing_any_more_has_no_bound(description: ModelDescription | None) -> None:
    found = work(ServingCapacity(2, 1))
    found.described("model 0", description)
    assert found.enough_jobs is None


def test_a_job_is_needed_where_there_is_none_whatever_a_server_says() -> None:
    assert not work(ServingCapacity(0, 1)).is_enough(0)


def test_whoever_waits_learns_what_a_server_says() -> None:
    found, heard = WorkAhead(2), list[int | None]()
    found.on_change(lambda: heard.append(found.enough_jobs))
    found.described("model", ModelDescription("model", "1", 8, (), (), {}, ServingCapacity(2, 1)))
    assert heard == [4]
