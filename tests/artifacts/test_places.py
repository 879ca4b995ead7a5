"""What every store of bytes must do: a folder and a bucket alike."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from artifacts.api import noise
from modelyard.auth.sealed import Box
from modelyard.storage.artifacts.objects import Exists, Objects, open_folder
from modelyard.storage.artifacts.places import INLINE, PART, Bytes, Damaged, Places

PLACE = "place_0123456789abcdef"


def places(objects: Objects, *, seals: bool = False) -> Places:
    return Places(objects, Box(b"p" * 32), seals=seals)


async def stored(one: Places, contents: list[bytes], *, sealed: bool = False) -> Bytes:
    parts = [
        await one.write(PLACE, number, content, sealed=sealed)
        for number, content in enumerate(contents, 1)
    ]
    return await one.finish(PLACE, parts, sealed=sealed)


async def whole(one: Places, made: Bytes, start: int = 0, end: int | None = None) -> bytes:
    stop = made.size if end is None else end
    return b"".join([bytes(part) async for part in one.read(made, start, stop)])


async def test_an_object_is_made_once(objects: Objects) -> None:
    await objects.put("a/b", b"first")
    with pytest.raises(Exists):
        await objects.put("a/b", b"second")
    found = await objects.get("a/b")
    assert found is not None and bytes(found) == b"first"
    assert await objects.get("a/none") is None
    assert [(one.name, one.size) async for one in objects.under("a")] == [("a/b", 5)]


async def test_of_many_at_once_one_makes_it(objects: Objects) -> None:
    tries = (objects.put("a/b", b"%d" % n) for n in range(8))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["Exists"] * 7 + ["NoneType"]
    found = await objects.get("a/b")
    assert found is not None and bytes(found) == b"%d" % results.index(None)


async def test_what_is_dropped_is_gone_and_no_more(objects: Objects) -> None:
    for name in ("a/1", "a/2", "ab/1"):
        await objects.put(name, b"x")
    await objects.drop("a")
    await objects.drop("a")
    await objects.remove("none/1")
    assert [one.name async for one in objects.under()] == ["ab/1"]
    assert await objects.folders() == ["ab"]


@pytest.mark.parametrize("sealed", [False, True])
async def test_any_range_is_what_was_written(objects: Objects, *, sealed: bool) -> None:
    data = noise(2 * PART + 1000, "ranges")
    one = places(objects)
    made = await stored(one, [data[:PART], data[PART : 2 * PART], data[2 * PART :]], sealed=sealed)
    assert made.size == len(data)
    assert hashlib.sha256(await whole(one, made)).digest() == hashlib.sha256(data).digest()
    for start, end in (
        (0, 1), (PART - 1, PART + 1), (PART, 2 * PART), (PART - 1, 2 * PART + 1),
        (len(data) - 1, len(data)),
    ):  # fmt: skip
        assert await whole(one, made, start, end) == data[start:end], (start, end)
    if sealed:
        async for stored_one in objects.under(PLACE):
            found = await objects.get(stored_one.name)
            assert found is not None and data[:64] not in bytes(found)


async def test_nothing_is_a_content_too(objects: Objects) -> None:
    one = places(objects)
    assert await whole(one, await stored(one, [])) == b""


async def test_many_parts_have_an_index(objects: Objects) -> None:
    one = places(objects)
    parts = [await one.write(PLACE, n, b"%d" % n, sealed=False) for n in range(1, INLINE + 2)]
    made = await one.finish(PLACE, parts, sealed=False)
    assert made.index and not made.parts
    assert await one.finish(PLACE, parts, sealed=False) == made, "a completion that is repeated"
    assert (await one.survey(PLACE))[0] == [
        part._replace(at=other.at)
        for part, other in zip(parts, (await one.survey(PLACE))[0], strict=True)
    ]


async def test_a_part_that_is_sent_again_takes_the_others_stead(objects: Objects) -> None:
    one = places(objects)
    await one.write(PLACE, 1, b"one", sealed=False)
    await one.write(PLACE, 1, b"one", sealed=False)
    assert [part.size for part in (await one.survey(PLACE))[0]] == [3]
    await one.write(PLACE, 2, b"next", sealed=False)
    for number in range(8):  # S3 tells whole seconds, and these are quicker
        newer = await one.write(PLACE, 1, b"other %d" % number, sealed=False)
        parts, superseded = await one.survey(PLACE)
        assert [part.name for part in parts if part.number == 1] == [newer.name]
        assert len(parts) == 2
        assert all(name.startswith("000001-") for name in superseded)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("how", ["changed", "cut", "missing", "another's"])
async def test_damage_is_seen_before_a_byte_of_it_is_given_out(
    objects: Objects, how: str, *, sealed: bool
) -> None:
    one = places(objects)
    data = noise(PART + 500, "damage")
    made = await stored(one, [data[:PART], data[PART:]], sealed=sealed)
    (second,) = [each.name async for each in objects.under(PLACE) if "/000002-" in each.name]
    found = await objects.get(second)
    assert found is not None
    before = bytes(found)
    await objects.remove(second)
    if how == "changed":
        await objects.put(second, before[:100] + bytes([before[100] ^ 1]) + before[101:])
    elif how == "cut":
        await objects.put(second, before[:-1])
    elif how == "another's":
        await objects.put(second, noise(len(before), "other"))
    given = b""
    with pytest.raises(Damaged):
        async for part in one.read(made, 0, made.size):
            given += part
    assert given == data[:PART]
    assert await whole(one, made, 0, PART) == data[:PART], "what is whole can be read"


async def test_who_looks_for_leftovers_in_a_folder_opens_no_store(tmp_path: Path) -> None:
    objects = open_folder(tmp_path / "objects")
    (tmp_path / "objects" / "place_1").mkdir()
    assert await objects.folders() == ["place_1"]
    assert await objects.sweep(0.0) == 0
    assert "_store" not in vars(objects), "obstore was loaded, which takes 6 MB for good"
