"""Associative memories, one a file: an energy ``E(t, x)`` whose descent is recall."""

from ._base import AbstractEnergy as AbstractEnergy
from ._base import AbstractLagrangianEnergy as AbstractLagrangianEnergy
from ._base import magnitude as magnitude
from ._dense import DenseMemory as DenseMemory
from ._hopfield import Hopfield as Hopfield
from ._logsumexp import LogSumExp as LogSumExp
from ._units import Units as Units
