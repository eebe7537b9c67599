"""Whatever decides how a picture reads is part of the name under which its reading is kept."""

import asyncio
import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from tests.rollout.test_rollout_state import rollout
from tests.runtime.parts import JOBS, LIMITS, Parts
from worker import __version__
from worker.adapters.cache.memory import MemoryCache
from worker.adapters.cache.redis import RedisCache
from worker.bootstrap import Ports, build, image_limits, make_model_client, options_identity, result_cache
from worker.domain.image import PageText
from worker.domain.rollout.state import ControlState, state_key, to_json
from worker.picture_settings import FieldSettings, PipelineSettings, QualitySettings, Section
from worker.pipeline.header.reading import read_header
from worker.ports import ServingCapacity
from worker.runtime.model_client import ModelClient
from worker.runtime.stored_reading import STORED_SCHEMA, encode
from worker.settings import CacheSettings, load
from worker.testing.backend import FakeBackend, fake_models
from worker.testing.clock import ManualClock
from worker.testing.control_log import MemoryControlLog
from worker.testing.source import MemorySource

OWN_FIELDS = '[order]\npattern = "[0-9]{6}"\n'
# One other value for every setting that decides how a picture reads.
DECIDING: Mapping[str, str] = {
    "LABELWIRE_PIPELINE__DETECTION_LONG_SIDE": "960",
    "LABELWIRE_PIPELINE__TILED_FROM_PIXELS": "3000000",
    "LABELWIRE_PIPELINE__STREAMED_FROM_PIXELS": "20000000",
    "LABELWIRE_PIPELINE__TILE_SCALE": "0.5",
    "LABELWIRE_PIPELINE__DETECTION_TEXT_HEIGHT": "24",
    "LABELWIRE_PIPELINE__TILE_SIDE": "928",
    "LABELWIRE_PIPELINE__TILE_OVERLAP": "64",
    "LABELWIRE_PIPELINE__MAX_LINES_PER_REQUEST": "16",
    "LABELWIRE_PIPELINE__LINE_WIDTHS": "[320, 1280]",
    "LABELWIRE_PIPELINE__MIN_LINE_CONFIDENCE": "0.4",
    "LABELWIRE_PIPELINE__BARCODE_FORMATS": '["QRCode"]',
    "LABELWIRE_FIELDS__TYPES": '["sscc"]',
    "LABELWIRE_FIELDS__PHONE_REGION": "DE",
    "LABELWIRE_QUALITY__MODE": "off",
    "LABELWIRE_QUALITY__FLOOR": "0.5",
    "LABELWIRE_LIMITS__MAX_IMAGE_PIXELS": "1000000",
    "LABELWIRE_LIMITS__MAX_DECODED_BYTES": "100000000",
    "LABELWIRE_LIMITS__MAX_PAGES": "3",
    "LABELWIRE_LIMITS__PDF_DOTS_PER_INCH": "300",
}


async def identity(given: Mapping[str, str], backend: FakeBackend | None = None) -> str | None:
    """Return the identity of a worker with these settings."""
    with ThreadPoolExecutor(1) as executor:
        parts = Parts(executor)
        client = make_model_client(load(given), backend or parts.backend, executor, parts.clock)
        await client.refresh()
        return client.identity


async def test_each_setting_that_decides_how_a_picture_reads_changes_the_identity() -> None:
    found = {name: await identity({name: value}) for name, value in DECIDING.items()}
    assert None not in found.values()
    assert len({await identity({}), *found.values()}) == len(DECIDING) + 1


async def test_how_many_instances_serve_a_model_says_nothing_of_what_it_reads() -> None:
    backend = FakeBackend()
    before = await identity({}, backend)
    backend.models = {name: replace(model, capacity=ServingCapacity(2, 8)) for name, model in backend.models.items()}
    assert await identity({}, backend) == before is not None


def test_no_such_setting_is_forgotten_here() -> None:
    sections: list[tuple[str, type[Section]]] = [
        ("PIPELINE", PipelineSettings),
        ("FIELDS", FieldSettings),
        ("QUALITY", QualitySettings),
    ]
    settings = {f"LABELWIRE_{name}__{field.upper()}" for name, section in sections for field in section.model_fields}
    assert {name for name in DECIDING if "LIMITS" not in name} == settings - {"LABELWIRE_FIELDS__FILE"}
    changed = load({name: value for name, value in DECIDING.items() if "LIMITS" in name})
    different = [
        limit.name
        for limit in fields(image_limits(changed))
        if getattr(image_limits(changed), limit.name) != getattr(image_limits(load({})), limit.name)
    ]
    assert different == ["max_pixels", "max_decoded_bytes", "max_pages", "pdf_dots_per_inch"]


async def test_the_content_of_the_file_of_fields_counts_and_not_where_it_is(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one.toml", "same.toml", "other.toml"))
    one.write_text(OWN_FIELDS)
    same.write_text(OWN_FIELDS)
    other.write_text(OWN_FIELDS.replace("6", "7"))
    found = [await identity({"LABELWIRE_FIELDS__FILE": str(path)}) for path in (one, same, other)]
    assert found[0] == found[1]
    assert len({await identity({}), *found}) == 3


async def test_a_file_of_fields_that_changes_later_changes_neither_fields_nor_identity(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN_FIELDS)
    with ThreadPoolExecutor(1) as executor:
        parts = Parts(executor)
        client = make_model_client(load({"LABELWIRE_FIELDS__FILE": str(file)}), parts.backend, executor, parts.clock)
        await client.refresh()
        before = client.identity
        file.write_text("no TOML")
        parts.backend.models = fake_models(max_batch_size=4)
        await client.refresh()
        assert client.identity not in (before, None)
        parts.backend.models = fake_models()
        await client.refresh()
        assert client.identity == before


async def test_a_promoted_model_set_reads_with_the_fields_that_the_worker_began_with(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN_FIELDS)
    with ThreadPoolExecutor(1) as executor:
        parts = Parts(executor)
        parts.backend.models |= fake_models(model_set="v2")
        parts.broker.create_topic("rollouts")
        begun = ControlState().started(rollout())
        for state in (begun, begun.promoted(now_ms=2)):
            parts.broker.append("rollouts", to_json(state), key=state_key(state, "person").encode())
        control, source = MemoryControlLog(parts.broker, "rollouts"), MemorySource(parts.broker, [JOBS])
        ports = Ports(
            source,
            parts.sink,
            parts.backend,
            parts.isolation,
            parts.clock,
            parts.events,
            parts.blobs,
            control=control,
        )
        worker = build(load({"LABELWIRE_FIELDS__FILE": str(file)}), ports, executor)
        file.write_text("no TOML")
        stopping = asyncio.Event()
        running = asyncio.create_task(worker.lifecycle.run(stopping))
        router = worker.router
        assert router is not None
        async with asyncio.timeout(10):
            while not router.models_used:  # noqa: ASYNC110 - the worker runs beside
                await asyncio.sleep(0.01)
        stopping.set()
        await running
        await control.close()

    assert router.model_set == "v2"


def test_the_version_of_the_worker_and_of_the_stored_form_count() -> None:
    named = json.loads(options_identity(load({}), "a digest"))
    assert named["worker"] == __version__
    assert named["stored"] == STORED_SCHEMA
    kept = json.loads(zlib.decompress(encode((PageText(1, 1),), 1000)))
    assert kept["schema"] == STORED_SCHEMA


async def test_each_part_of_the_options_changes_the_identity() -> None:
    with ThreadPoolExecutor(1) as executor:
        parts, header_of = Parts(executor), partial(read_header, limits=LIMITS)
        clients = [ModelClient(parts.backend, parts.pipeline_maker(), header_of, name) for name in ("a", "b", "b")]
        found = []
        for client in clients:
            await client.refresh()
            found.append(client.identity)
        unnamed = ModelClient(parts.backend, parts.pipeline_maker(), header_of)
        await unnamed.refresh()
    assert found[0] != found[1] == found[2]
    assert unnamed.identity is None


async def test_what_does_not_decide_how_a_picture_reads_does_not_count() -> None:
    given = {"LABELWIRE_KAFKA__GROUP_ID": "other", "LABELWIRE_LIMITS__MAX_JOBS": "3", "LABELWIRE_TRITON__URL": "x:1"}
    assert await identity(given) == await identity({})


async def test_all_that_a_model_says_of_itself_counts() -> None:
    found = {await identity({}, FakeBackend(max_batch_size=size)) for size in (4, 8)}
    found.add(await identity({}, FakeBackend(buckets=(96, 1280))))
    found.add(await identity({}, FakeBackend(reads_by_ensemble=True)))
    assert None not in found
    assert len(found) == 4


def test_a_cache_is_made_where_one_is_set() -> None:
    clock = ManualClock()
    assert result_cache(CacheSettings(), clock) is None
    assert isinstance(result_cache(CacheSettings(backend="memory"), clock), MemoryCache)
    redis = {"backend": "redis", "url": "redis://127.0.0.1:1", "secret": "sixteen letters, or more"}
    assert isinstance(result_cache(CacheSettings.model_validate(redis), clock), RedisCache)
