"""Objects with init, advance and result, which ``Job.drive`` takes from their start to their end.

:mod:`phasegrok.protocols.protocol` says what each of their methods must do.
"""
