"""Dynamics as Diffrax terms: what a memory or a diffusion model does in time."""

from ._base import AbstractFlow as AbstractFlow
from ._base import AbstractODEFlow as AbstractODEFlow
from ._base import AbstractSDEFlow as AbstractSDEFlow
from ._gradient import GradientFlow as GradientFlow
from ._interpolant import Interpolant as Interpolant
from ._lagrangian import LagrangianFlow as LagrangianFlow
from ._langevin import Langevin as Langevin
from ._map import Map as Map
from ._oscillators import OscillatorFlow as OscillatorFlow
from ._probability import ProbabilityFlow as ProbabilityFlow
from ._reverse import ReverseSDE as ReverseSDE
