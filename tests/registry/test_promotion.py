"""What comes into use and what does not, one record after the other, and what a reader sees meanwhile."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.registry.builds import tree
from tests.registry.registries import SIGNED, Place, publish, silently, verdict
from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.documents import Promotion
from worker.models.registry.errors import DamagedError, PromotionError, UnknownVersionError
from worker.models.registry.evaluations import evaluation_problems, evaluations, last_evaluation, record_evaluation
from worker.models.registry.promotion import Signature, promote, promotions, rollback, version_in_use
from worker.models.registry.versions import Versions


def _promote(registry: ObjectFolder, version: str, *, unevaluated: bool = True) -> Promotion:
    return promote(registry, version, SIGNED, silently, unevaluated=unevaluated)


def _in_use(registry: ObjectFolder) -> str | None:
    current = version_in_use(registry)
    return None if current is None else current.version


def _log(registry: ObjectFolder) -> list[tuple[int, str, str]]:
    records = reversed(list(promotions(registry).newest_first()))
    return [(number, record.action, record.version) for number, record in records]


@pytest.fixture
def versions(registry: ObjectFolder, tmp_path: Path) -> list[str]:
    return [publish(registry, tmp_path / f"built-{seed}", seed) for seed in range(3)]


def test_the_first_version_needs_no_verdict(registry: ObjectFolder, versions: list[str]) -> None:
    assert _in_use(registry) is None

    record = promote(registry, versions[0], SIGNED, silently)

    assert (record.number, record.action, record.version, record.previous) == (1, "promote", versions[0], None)
    assert (record.by, record.at, record.reason) == (SIGNED.by, SIGNED.at, SIGNED.reason)
    assert version_in_use(registry) == record


def test_another_version_needs_a_verdict_against_the_one_in_use(registry: ObjectFolder, versions: list[str]) -> None:
    first, second, third = versions
    _promote(registry, first)
    record_evaluation(registry, verdict(second, third))
    record_evaluation(registry, verdict(second, None))

    with pytest.raises(
        PromotionError, match=f"{second[:12]} was never evaluated against {first[:12]}, .*--unevaluated"
    ):
        _promote(registry, second, unevaluated=False)
    number = record_evaluation(registry, verdict(second, first))
    record = _promote(registry, second, unevaluated=False)

    assert (number, record.number, record.previous, record.evaluation) == (3, 2, first, 3)
    assert _in_use(registry) == second


@pytest.mark.parametrize("unevaluated", [False, True])
def test_the_last_verdict_against_the_one_in_use_decides(
    registry: ObjectFolder, versions: list[str], *, unevaluated: bool
) -> None:
    first, second, third = versions
    _promote(registry, first)
    record_evaluation(registry, verdict(second, first))
    record_evaluation(registry, verdict(second, first, "failed"))
    record_evaluation(registry, verdict(second, third))

    with pytest.raises(
        PromotionError, match=r"failed its gate against .* \(word F1 fell by 0\.02\): evaluate it again"
    ):
        _promote(registry, second, unevaluated=unevaluated)
    assert _log(registry) == [(1, "promote", first)]
    record_evaluation(registry, verdict(second, first))

    assert _promote(registry, second, unevaluated=unevaluated).version == second


def test_a_version_that_failed_with_nothing_in_use_does_not_come_into_use(
    registry: ObjectFolder, versions: list[str]
) -> None:
    record_evaluation(registry, verdict(versions[0], None, "failed"))

    with pytest.raises(PromotionError, match="failed its gate with nothing in use"):
        _promote(registry, versions[0])


@pytest.mark.parametrize("signature", [replace(SIGNED, by="a" * 201), replace(SIGNED, reason="\udcff")])
def test_what_cannot_be_recorded_is_refused_before_anything_is_done(
    registry: ObjectFolder, versions: list[str], signature: Signature
) -> None:
    says = r"the (name|reason) of \d+ characters cannot be recorded"
    with pytest.raises(PromotionError, match=says):
        promote(registry, versions[0], signature, silently)
    with pytest.raises(PromotionError, match=says):
        rollback(registry, signature, silently)
    assert version_in_use(registry) is None


def test_what_is_in_use_already_is_not_promoted_again(registry: ObjectFolder, versions: list[str]) -> None:
    record = _promote(registry, versions[0])

    assert promote(registry, versions[0], SIGNED, silently) == record
    assert len(_log(registry)) == 1


def test_a_version_that_is_not_there_neither_comes_into_use_nor_is_judged(registry: ObjectFolder) -> None:
    with pytest.raises(UnknownVersionError, match="holds no version 000000000000"):
        _promote(registry, "0" * 64)
    with pytest.raises(UnknownVersionError, match="holds no version 000000000000"):
        record_evaluation(registry, verdict("0" * 64, None))
    assert version_in_use(registry) is None


def test_verdicts_are_kept_in_their_order(registry: ObjectFolder, place: Place, versions: list[str]) -> None:
    assert last_evaluation(registry, versions[0]) is None
    given = [verdict(versions[0], other, judged) for other in versions[1:] for judged in ("failed", "passed")]

    assert [record_evaluation(registry, evaluation) for evaluation in given] == [1, 2, 3, 4]

    assert evaluations(registry, versions[0]) == given[::-1]
    assert last_evaluation(registry, versions[0]) == given[-1]
    stored = place.stored(f"evaluations/{versions[0]}/000000000004.json")
    stored.write_bytes(stored.read_bytes().replace(b"passed", b"failed"))
    (problem,) = evaluation_problems(registry, versions[0])
    assert "000000000004.json" in problem
    with pytest.raises(DamagedError, match="does not have the SHA-256"):
        last_evaluation(registry, versions[0])


def test_a_rollback_returns_to_what_was_replaced_and_a_second_one_further_back(
    registry: ObjectFolder, versions: list[str]
) -> None:
    first, second, third = versions
    for version in versions:
        _promote(registry, version)

    assert rollback(registry, SIGNED, silently).version == second
    assert rollback(registry, SIGNED, silently).version == first
    with pytest.raises(PromotionError, match=rf"no version was in use in .* before {first[:12]}"):
        rollback(registry, SIGNED, silently)

    _promote(registry, third)
    assert rollback(registry, SIGNED, silently).version == first
    assert [(action, version) for _, action, version in _log(registry)] == [
        ("promote", first),
        ("promote", second),
        ("promote", third),
        ("rollback", second),
        ("rollback", first),
        ("promote", third),
        ("rollback", first),
    ]


def test_a_rollback_to_a_version_that_was_in_use_twice_keeps_what_was_between(
    registry: ObjectFolder, versions: list[str]
) -> None:
    first, second, third = versions
    for version in (first, second, first, third):
        _promote(registry, version)

    assert [rollback(registry, SIGNED, silently).version for _ in range(2)] == [first, second]


def test_a_record_under_another_number_and_one_that_is_missing_are_named(
    registry: ObjectFolder, place: Place, versions: list[str]
) -> None:
    for version in versions:
        _promote(registry, version)
    assert list(promotions(registry).problems()) == []
    place.stored("promotions/000000000005.json").write_bytes(place.stored("promotions/000000000002.json").read_bytes())

    missing, moved = promotions(registry).problems()

    assert "there is no promotions/000000000004.json" in missing
    assert "promotions/000000000005.json" in moved
    assert "is the record of another number" in moved
    with pytest.raises(DamagedError, match="is the record of another number"):
        _promote(registry, versions[0])


def test_a_rollback_to_a_version_that_was_in_use_before(registry: ObjectFolder, versions: list[str]) -> None:
    first, second, third = versions
    _promote(registry, first)
    _promote(registry, second)
    rollback(registry, SIGNED, silently)

    with pytest.raises(PromotionError, match=f"{first[:12]} is in use already"):
        rollback(registry, SIGNED, silently, to=first)
    with pytest.raises(PromotionError, match=f"{third[:12]} was never in use"):
        rollback(registry, SIGNED, silently, to=third)
    record = rollback(registry, SIGNED, silently, to=second)

    assert (record.action, record.version, record.previous, record.number) == ("rollback", second, first, 4)
    assert rollback(registry, SIGNED, silently).version == first


def test_a_rollback_to_a_damaged_version_is_refused(registry: ObjectFolder, place: Place, versions: list[str]) -> None:
    _promote(registry, versions[0])
    _promote(registry, versions[1])
    (graph,) = place.stored(f"versions/{versions[0]}/files/text_detector").glob("*/model.onnx")
    graph.write_bytes(graph.read_bytes()[::-1])

    with pytest.raises(DamagedError, match=r"is not as it was published: .*model\.onnx"):
        rollback(registry, SIGNED, silently)

    assert _in_use(registry) == versions[1]


def test_there_is_nothing_to_roll_back_in_a_registry_without_promotions(
    registry: ObjectFolder, versions: list[str]
) -> None:
    assert len(versions) == 3
    with pytest.raises(PromotionError, match=r"no version is in use in .*: there is nothing to roll back"):
        rollback(registry, SIGNED, silently)


def test_a_damaged_record_is_never_passed_over(registry: ObjectFolder, place: Place, versions: list[str]) -> None:
    for version in versions[:2]:
        _promote(registry, version)
    stored = place.stored("promotions/000000000002.json")
    stored.write_bytes(stored.read_bytes()[:-10])

    with pytest.raises(DamagedError, match=r"promotions/000000000002\.json"):
        version_in_use(registry)
    with pytest.raises(DamagedError, match=r"promotions/000000000002\.json"):
        _promote(registry, versions[2])


def test_of_promotions_at_once_one_takes_each_number_and_all_that_report_success_are_in_the_log(
    place: Place, registry: ObjectFolder, versions: list[str]
) -> None:
    promoters, rounds = 6, 8
    barrier = threading.Barrier(promoters, timeout=60)
    made: list[Promotion] = []
    refused: list[str] = []

    def go(promoter: int) -> None:
        own = place.open()
        for turn in range(rounds):
            barrier.wait()
            try:
                made.append(_promote(own, versions[(promoter + turn) % len(versions)]))
            except PromotionError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=go, args=(promoter,)) for promoter in range(promoters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    log = dict(promotions(registry).newest_first())
    assert sorted(log) == list(range(1, len(log) + 1)), "no number is left out"
    assert len(log) >= rounds, "in each round somebody wins"
    assert all(log[record.number] == record for record in made), "success is in the log"
    assert {record.token for record in made} == {record.token for record in log.values()}, "and only success is"
    assert len(made) + len(refused) == promoters * rounds
    assert all("was changed at the same time" in sentence for sentence in refused)
    for number, record in log.items():
        assert record.previous == (log[number - 1].version if number > 1 else None)


def test_a_record_is_known_again_when_the_first_answer_was_lost(registry: ObjectFolder) -> None:
    log = promotions(registry)
    first, second = (
        Promotion(number=1, action="promote", version="0" * 64, at=SIGNED.at, by=SIGNED.by) for _ in range(2)
    )

    assert [log.take(1, record) for record in (first, first, second, first)] == [True, True, False, True]
    assert log.read(1) == first


def test_verdicts_at_once_are_all_kept(place: Place, registry: ObjectFolder, versions: list[str]) -> None:
    judges = 6
    numbers: list[int] = []

    def judge(judge_: int) -> None:
        evaluation = verdict(versions[0], None).model_copy(update={"by": f"judge {judge_}"})
        numbers.append(record_evaluation(place.open(), evaluation))

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(judges)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert {evaluation.by for evaluation in evaluations(registry, versions[0])} == {f"judge {n}" for n in range(6)}


def test_readers_see_one_whole_version_while_others_come_into_use(
    place: Place, registry: ObjectFolder, versions: list[str], tmp_path: Path
) -> None:
    whole = {version: tree(tmp_path / f"built-{seed}") for seed, version in enumerate(versions)}
    _promote(registry, versions[0])
    ended = threading.Event()
    seen: list[str] = []
    odd: list[str] = []

    def read(reader: int) -> None:
        own = Versions(place.open())
        output = tmp_path / f"served-{reader}"
        while not ended.is_set():
            version = _in_use(own.folder)
            assert version is not None
            own.fetch(own.release(version), output, silently)
            seen.append(version)
            if tree(output) != whole[version]:
                odd.append(version)

    readers = [threading.Thread(target=read, args=(reader,)) for reader in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(1, 13):
        _promote(registry, versions[turn % 3])
        if turn % 4 == 0:
            rollback(registry, SIGNED, silently)
    ended.set()
    for reader in readers:
        reader.join()

    assert odd == []
    assert len(seen) >= 6
    assert len(set(seen)) >= 2, "they saw more than one version"
    assert len(_log(registry)) == 16
