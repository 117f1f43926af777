"""What adapters may raise while they write a request, and nothing else, whatever the client sent.

    AdapterFault     the client's: what of the request cannot be given to the upstream, and why
    RunIncomplete    what a run that goes on by itself would lack

The law: values first; the message is made from them in one place.
"""


class AdapterFault(ValueError):  # noqa: N818 - the client's fault, said as it is
    """What of a request cannot be given to the upstream; `path` names the member."""

    def __init__(self, path: str, sentence: str) -> None:
        """Keep the member and the sentence."""
        super().__init__(f"{path} {sentence}")
        self.path = path
        self.sentence = sentence


class RunIncomplete(Exception):  # noqa: N818 - a state, said to the client
    """Everything that a run would lack."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        """Keep the names."""
        super().__init__(f"a run needs {', '.join(missing)}")
        self.missing = missing
