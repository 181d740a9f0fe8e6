"""The parts of a docstring."""

import pytest

from pacifica.dispatcher.dashboard.docstring import parsed

GOOGLE = """Cook it.  Slowly, e.g. for hours.

Args:
    recipe (dict[str, int]): The recipe
        with its steps.
    *guests: Their names.

    salt:
        How much.

Returns:
    The dish.
"""
SPHINX = """Cook it.

:param recipe: The recipe
    with its steps.
:type recipe: dict
:param str salt: How much.
:returns: The dish.
"""


def test_descriptions_of_arguments_are_taken_out_of_the_text() -> None:
    google, sphinx = parsed(GOOGLE), parsed(SPHINX)
    assert google.arguments == {"recipe": "The recipe with its steps.", "guests": "Their names.", "salt": "How much."}
    assert sphinx.arguments == {"recipe": "The recipe with its steps.", "salt": "How much."}
    assert "salt" not in google.text + sphinx.text
    assert google.text.endswith("Returns:\n    The dish.")
    assert sphinx.text == "Cook it.\n\n:returns: The dish."


@pytest.mark.parametrize(
    "doc",
    [
        "",
        "Parameters:",
        "Args:\n    the usual ones\n    x: A number.",
        "Args: none.",
        ":param",
        ":param x",
        "Args:\n\n\nMore.",
        "Note:\n    x: not an argument",
    ],
)
def test_text_of_another_form_is_kept(doc: str) -> None:
    assert parsed(doc).arguments == {}
    assert parsed(doc).text == doc.strip()


@pytest.mark.parametrize(
    ("doc", "sentence"),
    [
        ("Cook it", "Cook it"),
        ("Cook it. And eat.", "Cook it."),
        ("Cook, e.g. soup, v1.2\nof it! (Now)", "Cook, e.g. soup, v1.2 of it!"),
        ("Cook it\n\nAnd eat.", "Cook it"),
        ("", ""),
    ],
)
def test_first_sentence(doc: str, sentence: str) -> None:
    assert parsed(doc).first_sentence == sentence


def test_paragraphs_are_separated_by_blank_lines() -> None:
    assert parsed("One\ntwo.\n\n \nThree.").paragraphs == ["One\ntwo.", "Three."]
