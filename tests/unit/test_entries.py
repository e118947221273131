"""One entry of the list, in every form that it may come in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import entry

from renewal_watch.provider import entries
from renewal_watch.provider.entries import decode, encode, read, shallow

FIELDS = [name for name in entries._TYPES if name in entry()]
ODD = [[], {}, [1], {"value": 1}, "", "n/a", "1,50", "-", True, 10**30, -1.5, "\ud800", "9" * 5000]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:20])
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_any_form_is_that_one_field(field: str, odd: Any) -> None:
    plain, found = read(raw(entry())).parsed, read(encode(entry(**{field: odd})))
    assert {fault.field for fault in found.faults} <= {field}
    for other in set(FIELDS) - {field}:
        assert getattr(found.parsed, other) == getattr(plain, other)
    if found.faults:
        assert not getattr(found.parsed, field)


@given(changes=st.dictionaries(st.sampled_from([*FIELDS, "id", "number", "other"]), JSON, max_size=6))
def test_whatever_stands_in_an_entry_it_is_read_or_skipped_and_can_be_read_again(changes: dict[str, Any]) -> None:
    try:
        found = read(raw(entry(**changes)))
    except ValueError as error:
        assert "no id and no number" in str(error)  # noqa: PT017
        return
    kept = bytes(found.raw)
    again = read(kept)
    assert again.parsed == found.parsed
    assert {fault.field for fault in again.faults} == {fault.field for fault in found.faults}
    assert read(encode(decode(kept))).parsed == found.parsed


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        (b'{"id":"a","x":1e999}', {"id": "a", "x": "inf"}),
        (b'{"id":"a","x":NaN}', {"id": "a", "x": "nan"}),
        (b'{"id":"a","x":"\\ud800"}', {"id": "a", "x": "\ufffd"}),
        (b'{"id":"a","x":"\xff"}', {"id": "a", "x": "\ufffd"}),
        (b'{"id":"a","x":' + b"7" * 5000 + b"}", {"id": "a", "x": "7" * 5000}),
    ],
)
def test_what_json_does_not_have_is_read_as_text(text: bytes, reads: dict[str, Any]) -> None:
    assert read(text).parsed.id == "a"
    assert decode(text) == reads


@pytest.mark.parametrize("depth", [19, 20, 500, 5000])
def test_what_is_nested_too_deep_is_left_out(depth: int) -> None:
    text = b'{"id":"a","current_price":' + b"[" * depth + b"]" * depth + b',"number":"+1"}'
    found = read(text)
    assert [fault.field for fault in found.faults] == ["current_price"]
    assert found.parsed.number == "+1"
    json.loads(shallow(text, 5))


def test_brackets_in_texts_are_no_nesting() -> None:
    text = raw({"id": "a", "x": '[[["\\"', "y": [[["[{"]]]})
    assert shallow(text) == text
    assert json.loads(shallow(text, 2)) == {"id": "a", "x": '[[["\\"', "y": ["\ufffd"]}


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ({"id": 7}, 7),
        ({"id": " a "}, " a "),
        ({"id": 1.5}, "1.5"),
        ({"id": None}, "+15550000001"),
        ({"id": {}, "number": 15550000001}, "15550000001"),
    ],
)
def test_an_entry_is_known_by_its_id_else_by_its_number(identity: dict[str, Any], name: object) -> None:
    assert read(raw(entry(**identity))).parsed.id == name


@pytest.mark.parametrize("said", [None, [], 7, "text", {}, {"id": "", "number": ""}, {"id": True, "number": []}])
def test_an_entry_without_id_and_number_cannot_be_read(said: Any) -> None:
    with pytest.raises(ValueError, match="it "):
        read(raw(said))
