"""Best-path decoding, character by character."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.recognize.ctc import decode_ctc, join_steps

LETTERS = ["", "a", "b", "c", " "]


def naive_ctc(tokens: Sequence[int], confidences: Sequence[float]) -> tuple[str, list[float], list[float]]:
    """Return text, confidences and middles in steps."""
    text, kept, middles, last = "", [], [], 0
    for step, (token, confidence) in enumerate(zip(tokens, confidences, strict=True)):
        if token not in (0, last):
            text += LETTERS[token]
            kept.append(confidence)
            middles.append(step + 0.5)
        elif token and token == last:
            middles[-1] += 0.5
        last = token
    return text, kept, middles


@given(
    st.integers(1, 12).flatmap(
        lambda steps: st.lists(st.lists(st.integers(0, 4), min_size=steps, max_size=steps), min_size=1, max_size=5)
    ),
    st.integers(0, 99),
)
def test_ctc_decodes_as_the_naive_way(rows: list[list[int]], seed: int) -> None:
    tokens = np.array(rows, dtype=np.int32)[..., np.newaxis]
    confidences = np.random.default_rng(seed).random(tokens.shape).astype(np.float32)
    decoded = decode_ctc(tokens, confidences, LETTERS)
    assert len(decoded) == len(rows)
    for row, levels, line in zip(rows, confidences[..., 0].tolist(), decoded, strict=True):
        text, kept, middles = naive_ctc(row, levels)
        assert line.text == text == "".join(character.text for character in line.characters)
        assert line.confidence == pytest.approx(sum(kept) / len(kept) if kept else 0.0)
        assert [character.confidence for character in line.characters] == pytest.approx(kept)
        assert [character.position * len(row) for character in line.characters] == pytest.approx(middles)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=4), st.integers(0, 999))
def test_answers_of_any_length_decode_together_as_each_alone(shapes: list[tuple[int, int]], seed: int) -> None:
    chance = np.random.default_rng(seed)
    tokens = [chance.integers(0, 5, (lines, steps, 3), dtype=np.int32) for lines, steps in shapes]
    confidences = [chance.random(answer.shape).astype(np.float32) for answer in tokens]
    covered = [chance.uniform(0.5, answer.shape[1], len(answer)) for answer in tokens]
    alone = [
        line
        for answer, levels, steps in zip(tokens, confidences, covered, strict=True)
        for line in decode_ctc(answer, levels, LETTERS, steps)
    ]
    assert decode_ctc(join_steps(tokens), join_steps(confidences), LETTERS, np.concatenate(covered)) == alone


def test_positions_are_parts_of_the_picture_not_of_the_padding() -> None:
    tokens = np.array([[[0], [1], [0], [2], [0], [0], [0], [0]]], dtype=np.int32)
    (line,) = decode_ctc(tokens, np.ones(tokens.shape, np.float32), LETTERS, np.array([3.2]))
    assert [character.position for character in line.characters] == pytest.approx([1.5 / 3.2, 1.0])


def test_alternatives_come_from_all_steps_of_a_character_without_blank_and_doubles() -> None:
    tokens = np.array([[[1, 2, 0], [1, 3, 2], [0, 1, 2], [4, 0, 1], [0, 3, 4]]], dtype=np.int32)
    probabilities = np.array(
        [[[0.5, 0.3, 0.2], [0.6, 0.25, 0.15], [0.9, 0.1, 0.0], [0.99, 0.01, 0.0], [0.8, 0.1, 0.1]]], np.float32
    )
    (line,) = decode_ctc(tokens, probabilities, LETTERS)
    first, second = line.characters
    assert [(text, round(likely, 3)) for text, likely in first.alternatives] == [("b", 0.3), ("c", 0.25)]
    assert (second.text, second.alternatives) == (" ", ())


def test_no_lines_and_no_steps_decode() -> None:
    assert decode_ctc(np.zeros((0, 4, 1), np.int32), np.zeros((0, 4, 1), np.float32), LETTERS) == []
    (line,) = decode_ctc(np.zeros((1, 0, 2), np.int32), np.zeros((1, 0, 2), np.float32), LETTERS)
    assert (line.text, line.confidence, line.characters) == ("", 0.0, ())
