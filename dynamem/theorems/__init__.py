r"""Theorems: statements proved about the code that runs, one a file, collected as pytest collects tests.

    @theorem("D4", "The free energy falls along every probability flow", domain="all N, D; the code at N = 3, D = 2")
    def restoring_energy(proof, *, factor=2):
        y, ... = symbols("y", 2), ...
        rate, move, kl = traced(function, y, ...)          # SymPy expressions of what the code computes
        proof.zero("its rate", rate + dot(move, move) + factor * s**2 * kl)

The constants of a statement are keyword arguments, so that a test can move each of them and see the proof fail.
`prove` runs files and folders of such functions and returns one `Outcome` for each.
"""

from ._collect import STOPPED as STOPPED
from ._collect import Found as Found
from ._collect import collect as collect
from ._collect import own as own
from ._collect import own_folder as own_folder
from ._collect import prove as prove
from ._collect import prove_named as prove_named
from ._collect import select as select
from ._field import Field as Field
from ._field import NotAlgebraicError as NotAlgebraicError
from ._proof import NotProvedError as NotProvedError
from ._proof import Proof as Proof
from ._proof import Step as Step
from ._record import Outcome as Outcome
from ._record import Theorem as Theorem
from ._record import theorem as theorem
from ._signs import Sign as Sign
from ._signs import divergence as divergence
from ._signs import log_gap as log_gap
from ._signs import product as product
from ._signs import square as square
from ._symbols import Region as Region
from ._symbols import dot as dot
from ._symbols import symbols as symbols
from ._symbols import traced as traced
