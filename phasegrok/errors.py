"""What is the user's to mend: one sentence, and no traceback."""


class InputError(Exception):
    """Bad input: ``messages`` has one line a mistake, each saying how to mend it."""

    def __init__(self, *messages: str):
        super().__init__("\n".join(messages))
        self.messages = list(messages)
