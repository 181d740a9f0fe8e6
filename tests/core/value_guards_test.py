"""Values that are read as their text says: every digit of a decimal is kept, and no digits are taken for a time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, NaiveDatetime, PastDate, RootModel
from typing_extensions import TypeAliasType, TypedDict

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.json_values import plain_arguments
from pacifica.dispatcher.core.registry import TaskSpec

T = TypeVar("T")
DIGITS = "0.1234567890123456789012345"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Price(BaseModel):
    amount: Decimal
    weight: float = 0.0
    metadata: dict[str, Decimal] = {}


class Visit(BaseModel):
    at: datetime
    metadata: list[date] = []
    inner: "Visit | None" = None


class Deferred(BaseModel):
    model_config = ConfigDict(defer_build=True)

    at: datetime
    amount: Decimal = Decimal(0)


class Box(BaseModel, Generic[T]):
    content: T


class Moments(RootModel[list[datetime]]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"]
    born: date


class Dog(BaseModel):
    kind: Literal["dog"]
    weight: Decimal


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


@dataclass
class Slot:
    start: AwareDatetime


class Stay(TypedDict):
    days: timedelta


Money = TypeAliasType("Money", Annotated[Decimal, Field(max_digits=30)])


def taking(annotation: Any) -> TaskSpec:
    """A task with one parameter ``x`` of this type."""

    def function(x):  # type: ignore[no-untyped-def]
        return x

    function.__annotations__ = {"x": annotation}
    return TaskSpec("it", function)


def loaded(annotation: Any, body: str) -> Any:
    """The value that the function gets for a JSON text in a request, by way of the row."""
    own = taking(annotation)
    call = own.bind([strict_json.loads(body, exact=True)], {})
    stored = strict_json.loads(call.encoded.args)
    assert stored == call.args
    return own.load(stored, {})[0][0]


def faults(bind: Callable[[], object]) -> dict[str, str]:
    """The fault of each place."""
    with pytest.raises(BadArguments) as caught:
        bind()
    return {fault.where: fault.message for fault in caught.value.faults}


# Decimals


@pytest.mark.parametrize("digits", [DIGITS, "1.10", "5", "-0.0", "1e-7", "12345678901234567890.5", "1E+3", "9" * 40])
def test_decimal_keeps_all_its_digits(digits: str) -> None:
    for found in (loaded(Decimal, digits), loaded(Decimal, f'"{digits}"')):
        assert found.as_tuple() == Decimal(digits).as_tuple()
    call = taking(Decimal).bind_text([digits]) if digits != "1E+3" else taking(Decimal).bind_text(["1e3"])
    assert taking(Decimal).load(call.args, {})[0][0] == Decimal(digits)


@pytest.mark.parametrize(
    ("annotation", "body", "expected"),
    [
        (list[Decimal], f"[{DIGITS}, 1, 1.10]", [Decimal(DIGITS), Decimal(1), Decimal("1.10")]),
        (Decimal | None, DIGITS, Decimal(DIGITS)),
        (Decimal | str, DIGITS, Decimal(DIGITS)),
        (int | Decimal, "5", 5),
        (Money, DIGITS, Decimal(DIGITS)),
        (Box[Decimal], f'{{"content": {DIGITS}}}', Box[Decimal](content=Decimal(DIGITS))),
        (Pet, f'{{"kind": "dog", "weight": {DIGITS}}}', Dog(kind="dog", weight=Decimal(DIGITS))),
        (frozenset[Decimal], f"[{DIGITS}]", frozenset([Decimal(DIGITS)])),
        (dict[str, list[Decimal]], f'{{"decimal": [{DIGITS}]}}', {"decimal": [Decimal(DIGITS)]}),
        (Fraction, DIGITS, Fraction(DIGITS)),
        (dict[str, bytes | Decimal], f'{{"a": "aGk=", "b": {DIGITS}}}', {"a": b"hi", "b": Decimal(DIGITS)}),
        (tuple[Base64Bytes, Decimal], f'["aGk=", {DIGITS}]', (b"hi", Decimal(DIGITS))),
        (float, DIGITS, float(DIGITS)),
        (Any, DIGITS, float(DIGITS)),
        (int, "9" * 400, int("9" * 400)),
    ],
)
def test_number_is_read_exactly_where_the_type_can_hold_it(annotation: Any, body: str, expected: Any) -> None:
    found = loaded(annotation, body)
    assert found == expected
    assert type(found) is type(expected)


def test_decimals_of_a_model_keep_their_digits_and_floats_stay_floats() -> None:
    body = f'{{"amount": {DIGITS}, "weight": {DIGITS}, "metadata": {{"amount": {DIGITS}}}}}'
    expected = Price(amount=Decimal(DIGITS), weight=float(DIGITS), metadata={"amount": Decimal(DIGITS)})
    assert loaded(Price, body) == expected
    (bound,) = taking(Price).bind_text([body]).args
    assert bound["amount"] == DIGITS
    assert taking(Price).load([bound], {})[0] == [expected]


def test_wrong_decimal_is_refused_with_its_place() -> None:
    assert faults(lambda: taking(list[Money]).bind([[1.5, "x"]], {})) == {"x[1]": "should be a valid decimal"}
    assert faults(lambda: taking(Decimal).bind([[]], {})) == {"x": "should be a valid decimal"}
    over = taking(Annotated[Decimal, Field(le=1)])
    assert faults(lambda: over.bind_text(["1.0000000000000000000001"])) == {"x": "should be less than or equal to 1"}


def test_row_of_an_older_version_with_a_number_still_loads() -> None:
    assert taking(Decimal).load([1.5], {})[0] == [Decimal("1.5")]


def test_decimal_from_python_keeps_its_digits() -> None:
    args, _ = plain_arguments([[Decimal(DIGITS), Fraction(1, 3)]], {})
    assert taking(tuple[Decimal, Fraction]).load(args, {})[0] == [(Decimal(DIGITS), Fraction(1, 3))]


@given(st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number.adjusted()) < 300))
def test_any_decimal_in_json_is_read_exactly(number: Decimal) -> None:
    text = str(number)
    assert loaded(Decimal, text if "e" in text or "." in text or "E" in text else f"{text}.0") == number


def test_long_list_of_decimals_is_accepted() -> None:
    numbers = [place / 8 for place in range(2000)]
    assert taking(list[Decimal]).load([numbers], {})[0] == [[Decimal(repr(number)) for number in numbers]]


# Times

ISO = {
    datetime: "should be a valid datetime in ISO 8601, such as 2026-01-31T12:00:00Z",
    date: "should be a valid date in ISO 8601, such as 2026-01-31",
    time: "should be a valid time in ISO 8601, such as 12:30:00",
    timedelta: "should be a valid duration in ISO 8601, such as PT1H30M or P2D",
}


@pytest.mark.parametrize("text", ["20260131", "86400", "-86400", "1.5", "0"])
@pytest.mark.parametrize("annotation", [datetime, date, time, timedelta])
def test_digits_are_never_taken_for_a_time(annotation: Any, text: str) -> None:
    own = taking(annotation)
    expected = {"x": ISO[annotation]}
    assert faults(lambda: own.bind_text([text])) == expected
    assert faults(lambda: own.bind([text], {})) == expected
    assert faults(lambda: own.bind([float(text)], {})) == expected
    assert faults(lambda: own.load([text], {})) == expected


@pytest.mark.parametrize(
    ("annotation", "body", "where", "kind"),
    [
        (Visit, '{"at": "20260131"}', "x.at", datetime),
        (Visit, '{"at": "2026-01-31T12:00:00Z", "metadata": ["86400"]}', "x.metadata[0]", date),
        (
            Visit,
            '{"at": "2026-01-31T12:00:00Z", "inner": {"at": "2026-01-31T12:00:00Z", "inner": {"at": "1"}}}',
            "x.inner.inner.at",
            datetime,
        ),
        (Slot, '{"start": "20260131"}', "x.start", datetime),
        (Deferred, '{"at": "20260131"}', "x.at", datetime),
        (list[Deferred], '[{"at": "20260131"}]', "x[0].at", datetime),
        (Box[datetime], '{"content": "20260131"}', "x.content", datetime),
        (Moments, '["20260131"]', "x[0]", datetime),
        (Pet, '{"kind": "cat", "born": "86400"}', "x.born", date),
        (Stay, '{"days": 2}', "x.days", timedelta),
        (list[datetime], '["20260131"]', "x[0]", datetime),
        (dict[date, int], '{"86400": 1}', "x['86400']", date),
        (datetime | int, '"20260131"', "x", datetime),
        (PastDate, '"86400"', "x", date),
        (AwareDatetime, '"20260131"', "x", datetime),
        (NaiveDatetime, '"20260131"', "x", datetime),
    ],
)
def test_digits_are_never_taken_for_a_time_at_any_depth(annotation: Any, body: str, where: str, kind: Any) -> None:
    found = faults(lambda: taking(annotation).bind([strict_json.loads(body)], {}))
    assert {place.removesuffix("['[key]']"): message for place, message in found.items()} == {where: ISO[kind]}


def test_digits_are_a_number_where_the_type_allows_one() -> None:
    assert taking(datetime | int).bind_text(["20260131"]).args == [20260131]
    assert taking(datetime | str).bind_text(["20260131"]).args == ["20260131"]


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (datetime, "2026-01-31T13:00:00+01:00", NOON),
        (datetime, "2026-01-31 12:00:00Z", NOON),
        (Visit, '{"at": "2026-01-31T12:00Z"}', Visit(at=NOON)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (time, "12:30", time(12, 30)),
        (timedelta, "PT1H30M", timedelta(minutes=90)),
        (datetime | str, "2026-01-31T12:00:00Z", NOON),
    ],
)
def test_time_in_iso_8601_is_accepted(annotation: Any, text: str, value: Any) -> None:
    own = taking(annotation)
    assert own.load(own.bind_text([text]).args, {})[0] == [value]


NO_OFFSET = "should be a valid datetime with an offset, such as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00"


def test_datetime_in_a_request_needs_an_offset() -> None:
    assert faults(lambda: taking(datetime).bind_text(["2026-01-31T12:00:00"])) == {"x": NO_OFFSET}
    assert faults(lambda: taking(Visit).bind([{"at": "2026-01-31T12:00:00"}], {})) == {"x.at": NO_OFFSET}


def test_naive_datetime_from_python_is_in_utc() -> None:
    naive = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - the test is about it
    for annotation, given_, expected in ((datetime, naive, NOON), (Visit, {"at": naive}, Visit(at=NOON))):
        own = taking(annotation)
        call = own.bind(*plain_arguments([given_], {}), naive=True)
        assert own.load(call.args, {})[0] == [expected]


def test_naive_datetime_stays_naive_where_the_annotation_says_so() -> None:
    naive = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - the test is about it
    assert loaded(NaiveDatetime, '"2026-01-31T12:00:00"') == naive


def test_datetime_without_annotation_is_text() -> None:
    assert loaded(Any, '"20260131"') == "20260131"
