"""What ends a run without a traceback: what is the user's to mend, and a signal."""


class InputError(Exception):
    """Bad input: ``messages`` has one line a mistake, each saying how to mend it."""

    def __init__(self, *messages: str):
        super().__init__("\n".join(messages))
        self.messages = list(messages)


class Stopped(KeyboardInterrupt):
    """A signal came while another process worked for this one, which has nothing without it."""
