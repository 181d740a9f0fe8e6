"""The controls of a page's form, and the fields that a browser sends for them."""

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

BUTTON = "button"


class HtmlForm(HTMLParser):
    """The controls of the form with this id, by id and by name; without those that are disabled."""

    def __init__(self, text: str, form: str) -> None:
        super().__init__()
        self._form = form
        self._inside = False
        self._off = 0
        self._name = ""
        self._text: list[str] | None = None
        self.fields: dict[str, str] = {}
        self.controls: dict[str, Mapping[str, str]] = {}
        self.options: dict[str, list[str]] = {}
        self.buttons: list[str] = []
        self.feed(text)

    @property
    def names(self) -> Sequence[str]:
        """The names of the arguments' own fields, in order."""
        return list(dict.fromkeys(name[2:] for name in self.controls if name.startswith("a:") and "#" not in name))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = own.get("id") == self._form
        if not self._inside:
            return
        if tag == "fieldset":
            self._off += "disabled" in own or self._off > 0
        elif tag == "option":
            self._option(own)
        elif own.get("name") and not self._off:
            self._control(tag, own)

    def _control(self, tag: str, own: Mapping[str, str]) -> None:
        if tag == BUTTON:
            self.buttons.append(own["value"])
            return
        self._name = own["name"]
        self.controls[self._name] = own
        if tag == "textarea":
            self._text = []
        elif tag == "select":
            self.options[self._name] = []
        elif own.get("type") != "checkbox" or "checked" in own:
            self.fields[self._name] = own.get("value", "on")

    def _option(self, own: Mapping[str, str]) -> None:
        if self._off or self._name not in self.options:  # The latter is one of a list of suggestions.
            return
        self.options[self._name].append(own["value"])
        if "selected" in own or self._name not in self.fields:
            self.fields[self._name] = own["value"]

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text is not None:
            # The line break after the start tag is not part of the text (HTML, section 13.1.2.5).
            self.fields[self._name] = "".join(self._text).removeprefix("\n")
            self._text = None
        elif tag == "fieldset" and self._off:
            self._off -= 1
        elif tag == "form":
            self._inside = False
