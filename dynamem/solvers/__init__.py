"""Diffrax solvers that the field uses and Diffrax lacks."""

from ._ancestral import EulerAncestral as EulerAncestral
from ._ancestral import ancestral_levels as ancestral_levels
from ._annealed import AnnealedLangevin as AnnealedLangevin
from ._blind import BlindSampler as BlindSampler
from ._controller import LyapunovController as LyapunovController
from ._convex_splitting import ConvexSplitting as ConvexSplitting
from ._corrector import PredictorCorrector as PredictorCorrector
from ._ddim import DDIM as DDIM
from ._ddpm import DDPM as DDPM
from ._discrete_gradient import DiscreteGradient as DiscreteGradient
from ._discrete_gradient import discrete_gradient as discrete_gradient
from ._dpm_2m import DPMSolver2M as DPMSolver2M
from ._dpm_2s import DPMSolver2S as DPMSolver2S
from ._dpm_sde import DPMSolverSDE as DPMSolverSDE
from ._edm import EDMHeun as EDMHeun
from ._exponential_ab import ExponentialAB as ExponentialAB
from ._proximal import Proximal as Proximal
from ._relaxed import Relaxed as Relaxed
from ._sampler import AbstractSampler as AbstractSampler
from ._scan import scan_solve as scan_solve
from ._stabilised import Stabilised as Stabilised
