"""Numbers in English text: recognised, and written as words."""

from __future__ import annotations

import re

SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ("thousand", "million", "billion", "trillion")
IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
LARGEST = 10 ** (3 * (len(SCALES) + 1)) - 1

NUMERAL = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_WITH_DIGITS = re.compile(r"\b\w*\d(?:[\w.,:]*\w)?", re.UNICODE)


def cardinal(number: int) -> str:
    """English words for a whole number: 1234 is "one thousand, two hundred and thirty-four"."""
    if number > LARGEST:
        return " ".join(SMALL[int(digit)] for digit in str(number))
    groups = []
    rest = number
    for scale in ("", *SCALES):
        rest, group = divmod(rest, 1000)
        if group:
            groups.append(f"{_below_thousand(group)} {scale}".strip())
    if not groups:
        return SMALL[0]
    groups.reverse()
    if len(groups) > 1 and 0 < number % 1000 < 100:
        return ", ".join(groups[:-1]) + f" and {groups[-1]}"
    return ", ".join(groups)


def ordinal(number: int) -> str:
    """English words for a place in an order: 21 is "twenty-first"."""
    words = cardinal(number)
    head, last = re.fullmatch(r"(.*?)([a-z]+)", words, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    if last in IRREGULAR_ORDINALS:
        return head + IRREGULAR_ORDINALS[last]
    return head + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def spell_numerals(text: str) -> str:
    """Replace digits by words: "3 dogs, 2.5 s" becomes "three dogs, two point five s"."""
    text = ORDINAL.sub(lambda match: f" {ordinal(int(match[1]))} ", text)
    return " ".join(NUMERAL.sub(lambda match: f" {_spell(match[0])} ", text).split())


def drop_numbers(text: str) -> str:
    """Remove every word that holds a digit or is a number word, cardinal or ordinal."""
    return _NUMBER_WORD.sub(" ", _WITH_DIGITS.sub(" ", text))


def _spell(numeral: str) -> str:
    whole, _, fraction = numeral.replace(",", "").partition(".")
    words = cardinal(int(whole))
    if fraction:
        words += " point " + " ".join(SMALL[int(digit)] for digit in fraction)
    return words


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = f"{SMALL[hundreds]} hundred" if hundreds else ""
    if rest == 0:
        return words
    if rest < len(SMALL):
        small = SMALL[rest]
    else:
        tens, ones = divmod(rest, 10)
        small = TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")
    return f"{words} and {small}" if words else small


_CARDINALS = [*SMALL, *TENS, "hundred", *SCALES]
_ORDINALS = [ordinal(number) for number in [*range(20), *range(20, 100, 10)]]
_ORDINALS += [f"{word}th" for word in ("hundred", *SCALES)]
_PLURALS = [f"{word}s" for word in ("hundred", *SCALES)]
_NUMBER_WORD = re.compile(
    rf"\b(?:{'|'.join(sorted([*_CARDINALS, *_ORDINALS, *_PLURALS], key=len, reverse=True))})\b",
    re.IGNORECASE,
)
