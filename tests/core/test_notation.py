"""Text forms: what is read, what is refused and in which words, and that no stack decides it."""

import sys
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof.core.notation import DEEPEST, MOST_TOKENS, Notation


@dataclass(frozen=True, kw_only=True)
class Tea:
    minutes: float
    with_: str = "nothing"


KINDS = {"tea": Tea}
NOTATION = Notation(
    kind="drink",
    whole="bill",
    form="drinks joined by '+'",
    value="number or word",
    longest=20_000,
)


def ordered(text: str) -> list[Tea]:
    return [NOTATION.read(term, KINDS) for term in NOTATION.terms(text)]


def in_little_stack(text: str) -> str:
    """What comes of `text` where the interpreter has some forty calls left, in words."""
    told = []

    def sink(calls: int) -> None:
        if calls:
            sink(calls - 1)
            return
        told.append(outcome(text))

    # A thread has a stack of its own, so that the calls of pytest do not count.
    thread = threading.Thread(target=sink, args=(sys.getrecursionlimit() - 50,))
    thread.start()
    thread.join()
    return told[0]


def outcome(text: str) -> str:
    try:
        return repr(ordered(text))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("+3", 3),
        ("-3", -3),
        ("- - 3", 3),
        ("1_000", 1000),
        ("0x10", 16),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e-3", 0.001),
        ("1E+3", 1000.0),
        ("-inf", float("-inf")),
        ("(((3)))", 3),
        ("milk", "milk"),
        ("'sweet milk'", "sweet milk"),
        ('"milk"', "milk"),
    ],
)
def test_a_value_is_a_number_or_a_word(text: str, value: object) -> None:
    (tea,) = ordered(f"tea({text})")
    assert tea.minutes == value
    assert type(tea.minutes) is type(value)


@pytest.mark.parametrize(
    "text",
    ["010", "1__0", "0x", "1.2.3", "1j", "3 * 4", "3 + 4", "-milk", "True", "x.y", "[3]", "f(3)"],
)
def test_any_other_value_is_shown_as_it_was_written(text: str) -> None:
    expected = f"cannot read {text!r} in a bill: expected number or word"
    assert outcome(f"tea( {text} )") == expected


def test_plus_joins_terms_and_is_a_sign_after_a_mark() -> None:
    assert ordered("tea(1) + tea(+2)+(tea(1e+3) + (tea(4)))") == [
        Tea(minutes=minutes) for minutes in (1, 2, 1000.0, 4)
    ]


def test_a_sign_is_no_part_of_a_drink() -> None:
    expected = "cannot read '+tea(2)' in a bill: expected drinks joined by '+'"
    assert outcome("tea(1) + +tea(2)") == expected


def test_names_of_values_may_come_in_any_order() -> None:
    assert ordered("tea(with_=milk, minutes=3,)") == [Tea(minutes=3, with_="milk")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "tea(3",
        "tea(3))",
        "tea(3]",
        "tea 3",
        "tea(3) tea(3)",
        "tea(3) +",
        "tea(,)",
        "tea(3,,)",
        "tea(with_=)",
        "tea(with_=milk, 3)",
        "tea('milk)",
        "tea('a\\'b')",
        "tea(3)\0",
        "tea(٣)",
        "tea(3) # milk",
    ],
)
def test_what_cannot_be_taken_apart_is_shown_whole(text: str) -> None:
    assert outcome(text) == f"cannot read bill {text!r}: expected drinks joined by '+'"


def test_terms_may_be_many_but_each_is_short() -> None:
    assert len(ordered(" + ".join(["tea(3)"] * 1000))) == 1000
    signs = MOST_TOKENS - len(("tea", "(", "3", ")"))
    assert ordered(f"tea({'+' * signs}3)") == [Tea(minutes=3)]
    assert outcome(f"tea({'+' * (signs + 1)}3)").startswith("cannot read bill 'tea(+++")


def test_brackets_lie_within_brackets_to_a_bounded_depth() -> None:
    assert ordered("(" * (DEEPEST - 1) + "tea(3)" + ")" * (DEEPEST - 1)) == [Tea(minutes=3)]
    assert outcome("(" * DEEPEST + "tea(3)" + ")" * DEEPEST).startswith("cannot read bill '(((")


@pytest.mark.parametrize(
    "text",
    [
        "tea(3)",
        " + ".join(["tea(3)"] * 1000),
        "(" * 5000 + "tea(3)" + ")" * 5000,
        "(" * DEEPEST + "3" + ")" * DEEPEST,
        "a." * 5000 + "a",
        "a." * 80 + "a",
        "tea(" + "-" * 5000 + "3)",
        "tea(" + "-" * 150 + "milk)",
        "tea(" + "[" * 5000,
        "tea(lambda: 3)",
    ],
    ids=lambda text: text[:8],
)
def test_what_comes_out_does_not_depend_on_the_stack_that_is_left(text: str) -> None:
    assert in_little_stack(text) == outcome(text)


@given(st.text(max_size=30) | st.text(alphabet="tea(3,=+-.)'[] \n\0", max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    assert len(outcome(text).splitlines()) == 1
