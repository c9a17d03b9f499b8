"""The errors that dynamem raises on purpose.

One tree, so that `except DynamemError` catches all of them and nothing else. A verdict is never an error: a memory
that is not Lyapunov is an answer, and answers are data.
"""

from typing import Any


class DynamemError(Exception):
    """Anything that dynamem itself refuses or cannot do."""


class InputError(DynamemError, ValueError):
    """Input that cannot be used.

    Its message is one line: which argument with which value (`name=value!r`), what is wrong with it, what to do.
    """


class ContradictionError(DynamemError, RuntimeError):
    """Two rungs of rigour that contradict each other: a defect of dynamem.

    Attributes:
        proof: what the one rests on.
        witness: the point, or the certificate, that the other rests on.
    """

    def __init__(self, message: str, proof: Any, witness: Any) -> None:
        self.args, self.proof, self.witness = (f"{message}: a defect of dynamem, please report it",), proof, witness
