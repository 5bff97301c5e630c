"""Text for a terminal."""


def printable(text: str) -> str:
    """Escape what would move the cursor or change colours: names are data."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def counted(number: int, what: str) -> str:
    """Return a number of things in words: `1 block`, `2 blocks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
