"""What reading and writing dialects may raise, and nothing else, whatever the bytes.

    DialectFault     what came is not of the dialect: the member at fault and a sentence
    CannotCarry      what came is sound, but the other dialect has no place for it

The law: values first; the message is made from them in one place.
"""


class DialectFault(ValueError):  # noqa: N818 - a fault of what came, said as it is
    """Bytes that are not of their dialect. `path` names the member at fault, empty for the whole."""

    def __init__(self, path: str, sentence: str) -> None:
        """Keep the member's path and what is wrong with it."""
        super().__init__(f"{path} {sentence}" if path else sentence)
        self.path = path
        self.sentence = sentence


class CannotCarry(Exception):  # noqa: N818 - a decision, not an error
    """A request that would mean something else if it were translated. `name` is the loss."""

    def __init__(self, name: str) -> None:
        """Keep the name of what would be lost."""
        super().__init__(f"{name} cannot be carried to the upstream's format")
        self.name = name
