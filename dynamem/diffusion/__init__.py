"""Diffusion paths: schedules (alpha, sigma), data laws with exact denoisers, and the energies of a path."""

from ._denoiser import AbstractDenoiser as AbstractDenoiser
from ._density import DensityEnergy as DensityEnergy
from ._empirical import Empirical as Empirical
from ._energy import AbstractPathEnergy as AbstractPathEnergy
from ._free import FreeEnergy as FreeEnergy
from ._frozen import Frozen as Frozen
from ._grid import grid_between as grid_between
from ._grid import karras_grid as karras_grid
from ._grid import times_of as times_of
from ._hopfield import HopfieldEnergy as HopfieldEnergy
from ._law import AbstractLaw as AbstractLaw
from ._law import Moments as Moments
from ._mixture import GaussianMixture as GaussianMixture
from ._path import DiffusionPath as DiffusionPath
from ._path import require_clock as require_clock
from ._point import Point as Point
from ._point import canonical as canonical
from ._schedule import AbstractSchedule as AbstractSchedule
from ._schedule import AnySchedule as AnySchedule
from ._schedules import EDM as EDM
from ._schedules import VE as VE
from ._schedules import VP as VP
from ._schedules import Cosine as Cosine
from ._schedules import FlowMatching as FlowMatching
from ._schedules import SubVP as SubVP
