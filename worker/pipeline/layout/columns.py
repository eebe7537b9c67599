"""Columns of characters that stand upright one below another, found in the picture and read as a line.

A detector takes such characters for regions of their own, for lines that run down, or for some of each, and read one by
one or lying they are often misread. So their ink is looked at: where characters of one height stand evenly below one
another, they are set side by side and read as any line, with those that the detector missed. Which end of a column is
its head, the reading says: a column on its head, set side by side, is a line on its head.

Invariant: what was read before stays unless a column reads as a container's number, ISO 6346 or EN 13044, which by its
letters, digits and check digit is what it is.
"""

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, lengths_and_heights, weighted_quantile
from worker.domain.image import Character, LineCrop, PageImage, Pixels, TextLine, TextRegion
from worker.pipeline.extract.folding import fold
from worker.pipeline.extract.numbers.checks import intermodal
from worker.pipeline.models import LineShape
from worker.pipeline.recognize.crop import crop_cells, straightened
from worker.pipeline.recognize.read import ReadLine

_MIN_CHARACTERS: Final = 8  # characters of a column; a container's number has eleven
_MAX_CHARACTERS: Final = 24
_MAX_COLUMNS: Final = 8
_SAME_COLUMN_PIXELS: Final = 16  # page pixels
_MIN_SEED_CHARACTERS: Final = 3  # characters that the detector found at one pitch, from which on there may be a column
_MIN_SLOPE_CHARACTERS: Final = 4  # ... and from which on they tell how it leans
_MIN_SLOPE: Final = 0.02  # across for each along, a degree
_MAX_SEEDS: Final = 12
_LOOKAHEAD_PITCHES: Final = 4  # pitches beyond a run of characters that are looked at
_FULL_BREADTH: Final = 0.97  # of the strip's breadth
_TOUCHING: Final = 0.25  # character heights by which two that touch may be off
_HALF_WIDTH: Final = 0.7  # half the width of the widest letters, in heights
_MAX_REGIONS: Final = 80  # regions
_MAX_LINES: Final = 8  # that run one way, of a page on which some of them may be columns
_IN_LINE: Final = 0.6  # of their breadth by which regions of a column may lie beside one another
_MAX_BREADTH_RATIO: Final = 2.5
_CHARACTER_RATIO: Final = 1.5  # as high as wide is a character in a region, with what is between it and the next
_LONGISH: Final = 1.8  # times as long as wide: more than a character
_MAX_LENGTH_RATIO: Final = 30.0
_MASK_BREADTH_PIXELS: Final = 48  # across a region, to see its ink
_INK_SHARE: Final = 0.5  # of the way from ground to print
_MIN_CONTRAST: Final = 40
_SPECK: Final = 0.35  # of the usual character's height; less is none
_MAX_OFFSET: Final = 0.4  # character heights by which a character may lie beside its column
_MAX_HEIGHT_RATIO: Final = 1.25  # of one print
_MAX_FRAMED_RATIO: Final = 2.2  # a character in a frame, with it
_MIN_PITCH: Final = 1.03  # character heights
_MAX_PITCH: Final = 2.4
_MAX_PITCH_DEVIATION: Final = 0.17  # of the pitch
_MAX_GAP: Final = 1.8  # character heights more than the pitch
_MAX_GAPS: Final = 4
_MAX_WIDTH_RATIO: Final = 1.25  # times as wide as high: the usual character of a column is not
_MARGIN: Final = 0.16  # of a character's height above and below its ink
_SIDE_MARGIN: Final = 0.07  # ... and beside it, as in a line
_CONTAINER: Final = re.compile(r"[A-Z]{3}[UJZABDEK][0-9]{7}")
_AS_LETTER: Final = {"0": "O", "1": "I"}  # print that looks the same: the place in the number tells
_AS_DIGIT: Final = {"O": "0", "I": "1", "L": "1"}
_LETTERS: Final = 4
_NUMBER: Final = 11
_GROUPS: Final = (4, 10, 11)  # before the serial number, the check digit, and the code of size and type

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """Characters one below another.

    `region` runs down the column, `upright` is the same rectangle as its characters stand; `cells` are theirs, float64
    [4, 2] each, in the order of the region. `members` are the regions that the detector found.
    """

    region: TextRegion
    upright: TextRegion
    cells: Sequence[Points]
    members: Sequence[TextRegion]

    def crop(self, page: PageImage, shape: LineShape) -> LineCrop | None:
        """Return the characters side by side as a line; None if they fill more than the widest bucket."""
        return crop_cells(page, self.region, self.cells, shape)


class _Ink(NamedTuple):
    """The ink of a character in the page's own frame: its middle and its size along and across its column."""

    along: float
    across: float
    height: float
    width: float


def find_columns(page: PageImage, regions: Sequence[TextRegion]) -> list[Column]:
    """Return the columns among the regions of a page, those that run down it and those that run along."""
    if not regions:
        return []
    frame = _TextAxes.of(regions)
    boxes = frame.boxes(regions)
    found: dict[tuple[int, ...], Column] = {}
    for down in (True, False):
        for column in _columns(page, regions, frame, boxes, down=down):
            # Two runs of characters that the detector found may grow to one column.
            place = np.round(column.upright.quad.mean(axis=0) / _SAME_COLUMN_PIXELS).astype(int).tolist()
            found.setdefault((len(column.cells), *place), column)
    return list(found.values())[:_MAX_COLUMNS]


def with_columns(lines: Sequence[ReadLine], columns: Sequence[Column], read: Sequence[ReadLine]) -> list[ReadLine]:
    """Return the lines of a page, those of each column that reads as a container's number put in its place."""
    kept = list(lines)
    for column, line in zip(columns, read, strict=True):
        spelled = _as_container_number(column, _with_surer_characters(column, line, lines))
        if spelled is not None:
            kept = [other for other in kept if all(other.region is not member for member in column.members)]
            kept.append(spelled)
    return kept


def as_read(line: TextLine, region: TextRegion) -> ReadLine:
    """Return a line that has its place already as what a region of its own reads as."""
    return ReadLine(region, line.text, line.confidence, upside_down=False, characters=line.characters)


def _with_surer_characters(column: Column, line: ReadLine, lines: Sequence[ReadLine]) -> ReadLine:
    """Return a column's reading with the surer one of each character that was read alone as well, and as the same."""
    if len(line.characters) != len(column.cells):
        return line
    middles = np.array([cell.mean(axis=0) for cell in column.cells])
    characters = list(line.characters)
    for alone in lines:
        if len(alone.characters) != 1 or all(alone.region is not member for member in column.members):
            continue
        away = np.linalg.norm(middles - alone.region.quad.mean(axis=0), axis=1)
        place = int(np.argmin(away))
        place = len(characters) - 1 - place if line.upside_down else place
        read, [other] = characters[place], alone.characters
        if fold(other.text) == fold(read.text) and other.confidence > read.confidence:
            characters[place] = other._replace(text=read.text, position=read.position)
    return replace(line, characters=tuple(characters))


def _as_container_number(column: Column, line: ReadLine) -> ReadLine | None:
    """Return a column as a line of its own, in the groups of a container's number; None where it is none."""
    characters = [one for one in line.characters if not one.text.isspace()]
    characters = [_as_position_demands(one, place) for place, one in enumerate(characters)]
    number = _CONTAINER.match("".join(fold(one.text) for one in characters))
    if number is None or not intermodal(number.group()):
        return None
    spelled: list[Character] = []
    for place, one in enumerate(characters):
        if place in _GROUPS:
            spelled.append(Character(" ", one.confidence, one.position))
        spelled.append(one)
    text = "".join(one.text for one in spelled)
    return replace(line, region=column.upright, text=text, characters=tuple(spelled))


def _as_position_demands(character: Character, place: int) -> Character:
    """Return a character of a container's number as what it can only be at its place: O or 0, I or 1."""
    replacements = _AS_LETTER if place < _LETTERS else _AS_DIGIT if place < _NUMBER else {}
    meant = replacements.get(fold(character.text))
    return character if meant is None else character._replace(text=meant)


class _TextAxes:
    """The directions of a page's text: `turn`, [2, 2], takes a place on the page to (right, down) of its text."""

    def __init__(self, turn: Floats) -> None:
        self.turn = turn

    @classmethod
    def of(cls, regions: Sequence[TextRegion]) -> "_TextAxes":
        """Take the angle, within a quarter turn, at which the longest of the regions lie."""
        edges = np.array([region.quad[1] - region.quad[0] for region in regions])
        angles = (np.arctan2(edges[:, 1], edges[:, 0]) + np.pi / 4) % (np.pi / 2) - np.pi / 4
        angle = weighted_quantile(angles, np.hypot(edges[:, 0], edges[:, 1]))
        c, s = float(np.cos(angle)), float(np.sin(angle))
        return cls(np.array([[c, -s], [s, c]]))

    def turned(self, slope: float) -> "_TextAxes":
        """Return the frame turned clockwise by the angle of a slope."""
        length = float(np.hypot(1.0, slope))
        c, s = 1.0 / length, slope / length
        return _TextAxes(np.asarray(self.turn @ np.array([[c, -s], [s, c]]), dtype=np.float64))

    def boxes(self, regions: Sequence[TextRegion]) -> Floats:
        """Return (left, top, right, bottom) of each region in the frame, [n, 4]."""
        placed = np.array([region.quad for region in regions]) @ self.turn
        return np.concatenate([placed.min(axis=1), placed.max(axis=1)], axis=1)

    def extent(self, page: PageImage, *, down: bool) -> tuple[float, float]:
        """Return how far the page reaches in the frame, down it or along."""
        corners = np.array([(0, 0), (page.width, 0), (page.width, page.height), (0, page.height)]) @ self.turn
        return float(corners[:, int(down)].min()), float(corners[:, int(down)].max())

    def quad(self, left: float, top: float, right: float, bottom: float) -> Points:
        """Return the corners on the page of a rectangle in the frame, from its top left."""
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return np.asarray(corners @ self.turn.T, dtype=np.float64)


def _columns(
    page: PageImage, regions: Sequence[TextRegion], frame: _TextAxes, boxes: Floats, *, down: bool
) -> Iterator[Column]:
    inks = list(_inks(page, boxes, frame, down=down))
    for seed in _seeds(inks)[:_MAX_SEEDS]:
        own, straight = _straightened(seed, frame, down=down)
        chain = _grown_to_its_ends(straight, page, own, down=down)
        if _MIN_CHARACTERS <= len(chain) <= _MAX_CHARACTERS and _stands_upright(chain):
            yield _column(chain, regions, own, down=down)


def _straightened(seed: list[_Ink], frame: _TextAxes, *, down: bool) -> tuple[_TextAxes, list[_Ink]]:
    """Turn the frame to where the characters lead: of single ones the detector does not tell well how they lie."""
    if len(seed) < _MIN_SLOPE_CHARACTERS:
        return frame, seed
    along, across = np.array([ink.along for ink in seed]), np.array([ink.across for ink in seed])
    slope = float(np.polyfit(along, across, 1)[0])
    if abs(slope) < _MIN_SLOPE:
        return frame, seed
    own = frame.turned(-slope if down else slope)
    placed = np.column_stack([across, along] if down else [along, across]) @ frame.turn.T @ own.turn
    first, side = (placed[:, 1], placed[:, 0]) if down else (placed[:, 0], placed[:, 1])
    middles = zip(first.tolist(), side.tolist(), seed, strict=True)
    return own, [ink._replace(along=there, across=aside) for there, aside, ink in middles]


def _inks(page: PageImage, boxes: Floats, frame: _TextAxes, *, down: bool) -> Iterator[_Ink]:
    """Yield the ink of what may be characters of a column that runs down or along; `boxes` are the regions' own."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    lengths, breadths = (heights, widths) if down else (widths, heights)
    ratios = lengths / np.maximum(breadths, 1.0)
    possible = np.flatnonzero((ratios > 1 / _LONGISH) & (ratios < _MAX_LENGTH_RATIO))
    # Of a page full of text that runs this way nothing is a column; characters alone may be, as in a form.
    if np.count_nonzero(ratios[possible] > _LONGISH) > _MAX_LINES:
        possible = possible[ratios[possible] <= _LONGISH]
    if possible.size > _MAX_REGIONS:
        return
    middles = (boxes[possible, 0] + boxes[possible, 2] if down else boxes[possible, 1] + boxes[possible, 3]) / 2
    possible = possible[_may_be_column(middles, breadths[possible], ratios[possible])]
    for index in possible.tolist():
        left, top, right, bottom = boxes[index].tolist()
        seen = _InkMask.of(page, frame.quad(left, top, right, bottom), down=down)
        start, middle = (top, (left + right) / 2) if down else (left, (top + bottom) / 2)
        for along, across, height, width in seen.characters(alone=ratios[index] <= _LONGISH):
            yield _Ink(start + along, middle + across, height, width)


def _may_be_column(middles: Floats, breadths: Floats, ratios: Floats) -> NDArray[np.bool_]:
    """Say which regions stand in one line with others that hold enough characters together, by their shapes."""
    broader = np.maximum(breadths[:, np.newaxis], breadths)
    in_line = np.abs(middles[:, np.newaxis] - middles) <= _IN_LINE * broader
    alike = broader <= _MAX_BREADTH_RATIO * np.minimum(breadths[:, np.newaxis], breadths)
    characters = np.maximum(1.0, ratios / _CHARACTER_RATIO)
    return np.asarray((in_line & alike) @ characters >= _MIN_CHARACTERS - _MAX_GAPS)


class _InkMask:
    """A region's ink, bool [along the column, across it], and how many page pixels each of its pixels is."""

    def __init__(self, ink: NDArray[np.bool_], scale: float) -> None:
        self._ink = ink
        self._scale = scale

    @classmethod
    def of(cls, page: PageImage, quad: Points, *, down: bool) -> "_InkMask":
        """Look at a rectangle of the page at a size that is enough to tell characters apart."""
        width, height = map(float, lengths_and_heights(quad))
        scale = max(1.0, (width if down else height) / _MASK_BREADTH_PIXELS)
        size = max(2, round(width / scale)), max(2, round(height / scale))
        gray = _gray(straightened(page.pixels, quad, *size))
        gray = gray if down else gray.T
        rim = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
        away = np.abs(gray.astype(np.int16) - int(np.median(rim)))
        most = float(np.percentile(away, 99))
        ink = away > max(_INK_SHARE * most, _MIN_CONTRAST / 2)
        return cls(ink if most >= _MIN_CONTRAST else np.zeros_like(ink), scale)

    def characters(self, *, alone: bool, least: float = 0.0) -> Iterator[tuple[float, float, float, float]]:
        """Yield (middle along, middle across from the region's middle, height, width) of each, in page pixels.

        With `alone` there is one: what else is inked belongs to its neighbors. What is not higher than `least` pixels
        of the page is none.
        """
        inked = self._ink.any(axis=1)
        if not inked.any():
            return
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(np.int8)))
        runs = edges.reshape(-1, 2).tolist()
        if alone:
            runs = [max(runs, key=lambda run: run[1] - run[0])]
        usual = statistics.median([stop - start for start, stop in runs]) if not least else 0.0
        for start, stop in runs:
            if stop - start < _SPECK * usual or self._scale * (stop - start) < least:
                continue
            columns = np.flatnonzero(self._ink[start:stop].any(axis=0))
            left, right = int(columns[0]), int(columns[-1]) + 1
            middle = (left + right - self._ink.shape[1]) / 2
            yield (
                self._scale * (start + stop) / 2,
                self._scale * middle,
                self._scale * (stop - start),
                self._scale * (right - left),
            )


def _gray(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _seeds(inks: Sequence[_Ink]) -> list[list[_Ink]]:
    """Return runs of three characters or more that stand evenly one behind another, the longest first."""
    left = sorted(inks)
    seeds = []
    while left:
        seed = [left.pop(0)]
        while (following := _following(seed, left)) is not None:
            left.remove(following)
            seed.append(following)
        if len(seed) >= _MIN_SEED_CHARACTERS or (
            len(seed) > 1 and _in_line(seed[0], inks) >= _MIN_CHARACTERS - _MAX_GAPS
        ):
            seeds.append(seed)
    upright = [seed for seed in seeds if all(ink.width <= _MAX_WIDTH_RATIO * ink.height for ink in seed[:2])]
    return sorted(upright, key=len, reverse=True)


def _in_line(one: _Ink, inks: Sequence[_Ink]) -> int:
    """Count the characters of one print that stand in one line with a character."""
    return sum(
        abs(ink.across - one.across) <= _MAX_OFFSET * one.height
        and 1 / _MAX_HEIGHT_RATIO <= ink.height / one.height <= _MAX_HEIGHT_RATIO
        for ink in inks
    )


def _following(seed: Sequence[_Ink], left: Sequence[_Ink]) -> _Ink | None:
    """Return the nearest character further along, of the same print, at the pitch of those before it."""
    last = seed[-1]
    step = seed[-1].along - seed[-2].along if len(seed) > 1 else None
    for ink in left:
        away = ink.along - last.along
        if away > _MAX_PITCH * last.height:
            return None
        if (
            away >= _MIN_PITCH * min(last.height, ink.height)
            and abs(ink.across - last.across) <= _MAX_OFFSET * last.height
            and 1 / _MAX_HEIGHT_RATIO <= ink.height / last.height <= _MAX_HEIGHT_RATIO
        ):
            return ink if step is None or abs(away - step) <= _MAX_PITCH_DEVIATION * max(step, away) else None
    return None


def _grown_to_its_ends(seed: list[_Ink], page: PageImage, frame: _TextAxes, *, down: bool) -> list[_Ink]:
    """Grow a run of characters until it grows no more: each time it is seen some way beyond its ends."""
    grown = _grown(seed, page, frame, down=down)
    while len(seed) < len(grown) <= _MAX_CHARACTERS:
        seed, grown = grown, _grown(grown, page, frame, down=down)
    return grown


def _grown(seed: Sequence[_Ink], page: PageImage, frame: _TextAxes, *, down: bool) -> list[_Ink]:
    """Return the characters of the whole column by the ink in its strip of the page, which goes on beyond the seed."""
    height = float(np.median([ink.height for ink in seed]))
    pitch = float(np.median(np.diff([ink.along for ink in seed])))
    across = float(np.median([ink.across for ink in seed]))
    half = max(*(ink.width / 2 for ink in seed), _HALF_WIDTH * height) + _MARGIN * height
    reach = _MAX_GAP * height + _LOOKAHEAD_PITCHES * pitch
    low, high = frame.extent(page, down=down)
    start, stop = max(low, seed[0].along - reach), min(high, seed[-1].along + reach)
    box = (across - half, start, across + half, stop) if down else (start, across - half, stop, across + half)
    strip = _InkMask.of(page, frame.quad(*box), down=down)
    seen = [
        _Ink(start + along, across + aside, tall, wide)
        for along, aside, tall, wide in strip.characters(alone=False, least=_SPECK * height)
    ]
    # What fills the strip from side to side, and is no frame around a character, is a line of text that the strip cuts.
    found = [
        one
        for ink in seen
        if ink.width < _FULL_BREADTH * 2 * half or ink.height > _MAX_HEIGHT_RATIO * height
        for one in _split_touching(ink, pitch, height)
    ]
    middles = [abs(ink.along - seed[len(seed) // 2].along) for ink in found]
    if not found or min(middles) > height / 2:
        return []
    begin = int(np.argmin(middles))
    ahead = _walk(found[begin:], pitch, height)
    behind = _walk(found[begin::-1], pitch, height)
    return [*behind[:0:-1], *ahead]


def _split_touching(ink: _Ink, pitch: float, height: float) -> list[_Ink]:
    """Return the characters of ink that touch one another, as a Q and what stands below it do."""
    more = round((ink.height - height) / pitch)
    if more < 1 or abs(ink.height - height - more * pitch) > _TOUCHING * height:
        return [ink]
    first = ink.along - ink.height / 2 + height / 2
    step = (ink.height - height) / more
    return [_Ink(first + place * step, ink.across, height, ink.width) for place in range(more + 1)]


def _walk(inks: Sequence[_Ink], pitch: float, height: float) -> list[_Ink]:
    """Return the first of the characters, and those after it for as long as they are of the column."""
    chain, gaps = [inks[0]], 0
    for ink in inks[1:]:
        step = abs(ink.along - chain[-1].along)
        is_gap = step > (1 + _MAX_PITCH_DEVIATION) * pitch
        gaps += is_gap
        if (
            step < (1 - _MAX_PITCH_DEVIATION) * pitch
            or (is_gap and (gaps > _MAX_GAPS or step > pitch + _MAX_GAP * height))
            or abs(ink.across - chain[-1].across) > _MAX_OFFSET * height
            or not height / _MAX_HEIGHT_RATIO <= ink.height <= _MAX_FRAMED_RATIO * height
        ):
            break
        chain.append(ink)
    return chain


def _stands_upright(members: Sequence[_Ink]) -> bool:
    """Say whether characters are of one height, and no wider than characters that stand below one another."""
    heights = np.array([ink.height for ink in members])
    height = float(np.median(heights))
    pitch = float(np.median(np.diff([ink.along for ink in members])))
    alike = np.count_nonzero(heights <= _MAX_HEIGHT_RATIO * height)
    widths = np.array([ink.width for ink in members])
    return bool(
        _MIN_PITCH <= pitch / height <= _MAX_PITCH
        and alike >= len(members) - 1
        and float(np.median(widths)) <= _MAX_WIDTH_RATIO * height
    )


def _column(chain: Sequence[_Ink], regions: Sequence[TextRegion], frame: _TextAxes, *, down: bool) -> Column:
    """Return a column with the regions whose middles lie in it."""
    height = float(np.median([ink.height for ink in chain]))
    width = float(np.median([ink.width for ink in chain]))
    margin = _MARGIN * height
    cells, spans = [], []
    for ink in chain:
        # What is higher than the others stands in a frame, which is left out.
        framed = ink.height > _MAX_HEIGHT_RATIO * height
        half_width = (width if framed else ink.width) / 2 + _SIDE_MARGIN * height
        half_height = height / 2 + margin
        spans.append(
            (ink.along - half_height, ink.across - half_width, ink.along + half_height, ink.across + half_width)
        )
        cells.append(_upright(frame, *spans[-1], down=down))
    low, high = np.min(spans, axis=0), np.max(spans, axis=0)
    upright = _upright(frame, low[0], low[1], high[2], high[3], down=down)
    corners = upright @ frame.turn
    boxes = frame.boxes(regions)
    members = [region for region, box in zip(regions, boxes, strict=True) if _lies_within(box, corners)]
    score = min((region.score for region in members), default=1.0)
    return Column(
        TextRegion(np.roll(upright, -1, axis=0), score),
        TextRegion(upright, score),
        cells,
        members,
    )


def _lies_within(box: Floats, corners: Floats) -> bool:
    """Say whether a box's middle lies within a rectangle of the frame."""
    middle = (box[:2] + box[2:]) / 2
    return bool((middle >= corners.min(axis=0)).all() and (middle <= corners.max(axis=0)).all())


def _upright(frame: _TextAxes, first: float, side: float, last: float, other: float, *, down: bool) -> Points:
    """Return the corners of a stretch of a column as its characters stand, if it begins where it is named first.

    A column that runs along the page has its characters' right at the page's top.
    """
    if down:
        return frame.quad(side, first, other, last)
    return np.roll(frame.quad(first, side, last, other), 1, axis=0)
