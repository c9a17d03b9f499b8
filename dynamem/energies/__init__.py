"""Associative memories, one a file: an energy ``E(t, x)`` whose descent is recall."""

from ._base import AbstractEnergy as AbstractEnergy
from ._base import AbstractLagrangianEnergy as AbstractLagrangianEnergy
from ._base import magnitude as magnitude
from ._dense import DenseMemory as DenseMemory
from ._elementwise import Elementwise as Elementwise
from ._hopfield import Hopfield as Hopfield
from ._lagrangian import AbstractLagrangian as AbstractLagrangian
from ._lagrangian import Lagrangian as Lagrangian
from ._logsumexp import LogSumExp as LogSumExp
from ._norms import LayerNorm as LayerNorm
from ._norms import SphericalNorm as SphericalNorm
from ._softmax import Softmax as Softmax
