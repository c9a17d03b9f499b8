"""The errors that dynamem raises on purpose.

One tree, so that `except DynamemError` catches all of them and nothing else. A verdict is never an error: a memory
that is not Lyapunov is an answer, and answers are data.
"""


class DynamemError(Exception):
    """Anything that dynamem itself refuses or cannot do."""


class InputError(DynamemError, ValueError):
    """Input that cannot be used.

    Its message is one line: which argument with which value (`name=value!r`), what is wrong with it, what to do.
    """
