"""As much of a terminal as a live table needs: two screens, the cursor, styles."""

from __future__ import annotations

import re
from unicodedata import combining, east_asian_width

_SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(.)", re.DOTALL)


class Terminal:
    """`lines` are those of the screen that is seen, without blanks at their ends; `marked` the
    texts that were written in a style, by its number. Anything that it does not know is a fault."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.columns = columns
        self.height = lines
        self.cursor = True
        self.wraps = True
        self.other = False
        self._screens: dict[bool, list[dict[int, tuple[str, str]]]] = {
            other: [{} for _ in range(lines)] for other in (False, True)
        }
        self._places = {False: (0, 0), True: (0, 0)}
        self._style = "0"

    @property
    def as_it_was(self) -> bool:
        """Whether a shell finds it as it was left."""
        return self.cursor and self.wraps and not self.other and self._style == "0"

    @property
    def lines(self) -> list[str]:
        shown = [
            "".join(row.get(column, (" ", "0"))[0] for column in range(self.columns)).rstrip()
            for row in self._screens[self.other]
        ]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def marked(self, style: str) -> list[str]:
        """What is written in a style: 1 bold, 2 dim, 7 reversed."""
        found = []
        for row in self._screens[self.other]:
            chars = []
            for column in range(self.columns):
                char, written = row.get(column, (" ", "0"))
                chars.append(char if written == style else "\0")
            found += [part.strip() for part in "".join(chars).split("\0") if part.strip()]
        return found

    def feed(self, text: str) -> None:
        for match in _SEQUENCE.finditer(text):
            parameter, command, char = match.groups()
            if char is not None:
                self._put(char)
            elif parameter.startswith("?"):
                self._set(parameter[1:], {"h": True, "l": False}[command])
            elif command == "m":
                self._style = parameter or "0"
            elif (parameter, command) == ("", "H"):
                self._places[self.other] = (0, 0)
            elif (parameter, command) in (("", "K"), ("", "J")):
                self._clear(below=command == "J")
            else:
                raise AssertionError(f"an unknown sequence: {match[0]!r}")

    def _set(self, mode: str, on: bool) -> None:
        if mode == "1049":
            self.other = on
            if on:
                self._screens[True] = [{} for _ in range(self.height)]
        elif mode == "25":
            self.cursor = on
        elif mode == "7":
            self.wraps = on
        else:
            raise AssertionError(f"an unknown mode: {mode}")

    def _clear(self, below: bool) -> None:
        line, column = self._places[self.other]
        screen = self._screens[self.other]
        # In a full line the cursor stands on the last character still.
        column = min(column, self.columns - 1)
        for place in [place for place in screen[line] if place >= column]:
            del screen[line][place]
        if below:
            for row in screen[line + 1 :]:
                row.clear()

    def _put(self, char: str) -> None:
        line, column = self._places[self.other]
        screen = self._screens[self.other]
        if char == "\r":
            column = 0
        elif char == "\n":
            line += 1
            if line == self.height:
                assert not self.other, "the picture scrolls"
                screen.append({})
                del screen[0]
                line -= 1
            # A terminal's driver adds the return.
            column = 0
        elif combining(char):
            before, style = screen[line][column - 1]
            screen[line][column - 1] = (before + char, style)
        else:
            assert char.isprintable(), f"a control character: {char!r}"
            width = 2 if east_asian_width(char) in "WF" else 1
            assert column + width <= self.columns or not self.other, "a line is too long"
            screen[line][column] = (char, self._style)
            if width == 2:
                screen[line][column + 1] = ("", self._style)
            column += width
        self._places[self.other] = (line, column)
