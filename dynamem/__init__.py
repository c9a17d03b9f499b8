"""Associative memories and diffusion models as dynamical systems, and which energy each of them descends.

Names are resolved on first use (PEP 562), so that importing this package does not import JAX: the command line and
the pytest plugin start at once. `_ROOMS` is the list of public names; the imports under `TYPE_CHECKING` repeat it
for type checkers and editors, and a test compares the two.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._errors import ContradictionError as ContradictionError
    from .catalog import Recall as Recall
    from .catalog import System as System
    from .catalog import overlap as overlap
    from .catalog import recall_rate as recall_rate
    from .comparison import Comparison as Comparison
    from .comparison import Method as Method
    from .comparison import Problem as Problem
    from .comparison import compare as compare
    from .comparison import largest_safe_step as largest_safe_step
    from .comparison import optimise_schedule as optimise_schedule
    from .diffusion import EDM as EDM
    from .diffusion import VE as VE
    from .diffusion import VP as VP
    from .diffusion import AbstractDenoiser as AbstractDenoiser
    from .diffusion import AbstractLaw as AbstractLaw
    from .diffusion import AbstractPathEnergy as AbstractPathEnergy
    from .diffusion import AbstractSchedule as AbstractSchedule
    from .diffusion import AnySchedule as AnySchedule
    from .diffusion import BetaTable as BetaTable
    from .diffusion import ClassifierFreeGuidance as ClassifierFreeGuidance
    from .diffusion import ClassifierGuidance as ClassifierGuidance
    from .diffusion import Cosine as Cosine
    from .diffusion import DensityEnergy as DensityEnergy
    from .diffusion import DiffusionPath as DiffusionPath
    from .diffusion import Empirical as Empirical
    from .diffusion import FlowMatching as FlowMatching
    from .diffusion import FreeEnergy as FreeEnergy
    from .diffusion import Frozen as Frozen
    from .diffusion import GaussianMixture as GaussianMixture
    from .diffusion import GuidedEnergy as GuidedEnergy
    from .diffusion import HopfieldEnergy as HopfieldEnergy
    from .diffusion import HostModel as HostModel
    from .diffusion import Prediction as Prediction
    from .diffusion import SubVP as SubVP
    from .diffusion import Trigonometric as Trigonometric
    from .diffusion import convert as convert
    from .diffusion import geometric_grid as geometric_grid
    from .diffusion import index_grid as index_grid
    from .diffusion import karras_grid as karras_grid
    from .diffusion import time_grid as time_grid
    from .diffusion import torch_model as torch_model
    from .energies import HAM as HAM
    from .energies import AbstractEnergy as AbstractEnergy
    from .energies import AbstractLagrangian as AbstractLagrangian
    from .energies import AbstractLagrangianEnergy as AbstractLagrangianEnergy
    from .energies import AbstractSynapse as AbstractSynapse
    from .energies import AttentionSynapse as AttentionSynapse
    from .energies import BinaryHopfield as BinaryHopfield
    from .energies import ConvSynapse as ConvSynapse
    from .energies import Cycle as Cycle
    from .energies import DenseMemory as DenseMemory
    from .energies import DenseSynapse as DenseSynapse
    from .energies import Effective as Effective
    from .energies import Elementwise as Elementwise
    from .energies import EnergyTransformer as EnergyTransformer
    from .energies import FenchelYoung as FenchelYoung
    from .energies import GolesEnergy as GolesEnergy
    from .energies import Hopfield as Hopfield
    from .energies import KrotovHopfield as KrotovHopfield
    from .energies import Lagrangian as Lagrangian
    from .energies import Layer as Layer
    from .energies import LayerNorm as LayerNorm
    from .energies import LogSumExp as LogSumExp
    from .energies import LogSumReLU as LogSumReLU
    from .energies import MemorySynapse as MemorySynapse
    from .energies import Oscillators as Oscillators
    from .energies import RandomFeatureMemory as RandomFeatureMemory
    from .energies import Softmax as Softmax
    from .energies import SphericalNorm as SphericalNorm
    from .energies import Synapse as Synapse
    from .energies import UniversalHopfield as UniversalHopfield
    from .energies import hebb as hebb
    from .energies import pseudo_inverse as pseudo_inverse
    from .energies import storkey as storkey
    from .flows import AbstractFlow as AbstractFlow
    from .flows import GradientFlow as GradientFlow
    from .flows import Interpolant as Interpolant
    from .flows import LagrangianFlow as LagrangianFlow
    from .flows import Langevin as Langevin
    from .flows import Map as Map
    from .flows import OscillatorFlow as OscillatorFlow
    from .flows import ProbabilityFlow as ProbabilityFlow
    from .flows import ReverseSDE as ReverseSDE
    from .kernels import Retrieval as Retrieval
    from .kernels import entmax as entmax
    from .kernels import retrieve as retrieve
    from .learning import AbstractNetwork as AbstractNetwork
    from .learning import AbstractPotential as AbstractPotential
    from .learning import Asymmetry as Asymmetry
    from .learning import ConcaveDenoiser as ConcaveDenoiser
    from .learning import EnergyDenoiser as EnergyDenoiser
    from .learning import LearnedEnergy as LearnedEnergy
    from .learning import LogLikelihood as LogLikelihood
    from .learning import Margin as Margin
    from .learning import MLPDenoiser as MLPDenoiser
    from .learning import Recipe as Recipe
    from .learning import Track as Track
    from .learning import Tracked as Tracked
    from .learning import Training as Training
    from .learning import UNetDenoiser as UNetDenoiser
    from .learning import asymmetry as asymmetry
    from .learning import load_denoiser as load_denoiser
    from .learning import log_likelihood as log_likelihood
    from .learning import margin as margin
    from .learning import pretrained as pretrained
    from .learning import save_denoiser as save_denoiser
    from .learning import train as train
    from .lyapunov import Rate as Rate
    from .lyapunov import Verdict as Verdict
    from .lyapunov import Witness as Witness
    from .lyapunov import check as check
    from .lyapunov import falsify as falsify
    from .lyapunov import generator as generator
    from .programs import TranslationError as TranslationError
    from .programs import UnknownPrimitive as UnknownPrimitive
    from .rigour import RateMap as RateMap
    from .rigour import certify as certify
    from .rigour import plane as plane
    from .rigour import prove as prove
    from .rigour import rate_map as rate_map
    from .solvers import DDIM as DDIM
    from .solvers import DDPM as DDPM
    from .solvers import AbstractSampler as AbstractSampler
    from .solvers import AnnealedLangevin as AnnealedLangevin
    from .solvers import BlindSampler as BlindSampler
    from .solvers import ConvexSplitting as ConvexSplitting
    from .solvers import DiscreteGradient as DiscreteGradient
    from .solvers import DPMSolver2M as DPMSolver2M
    from .solvers import DPMSolver2S as DPMSolver2S
    from .solvers import DPMSolverSDE as DPMSolverSDE
    from .solvers import EDMHeun as EDMHeun
    from .solvers import EulerAncestral as EulerAncestral
    from .solvers import ExponentialAB as ExponentialAB
    from .solvers import LyapunovController as LyapunovController
    from .solvers import PredictorCorrector as PredictorCorrector
    from .solvers import Proximal as Proximal
    from .solvers import Relaxed as Relaxed
    from .solvers import Stabilised as Stabilised
    from .solvers import scan_solve as scan_solve
    from .stability import BasinMap as BasinMap
    from .stability import Basins as Basins
    from .stability import Capacity as Capacity
    from .stability import CriticalTime as CriticalTime
    from .stability import CriticalTimes as CriticalTimes
    from .stability import Diagram as Diagram
    from .stability import Enclosures as Enclosures
    from .stability import Exponents as Exponents
    from .stability import FixedPoint as FixedPoint
    from .stability import FixedPoints as FixedPoints
    from .stability import Landscape as Landscape
    from .stability import Measures as Measures
    from .stability import Memorisation as Memorisation
    from .stability import Shock as Shock
    from .stability import SublevelSet as SublevelSet
    from .stability import Tree as Tree
    from .stability import basin_map as basin_map
    from .stability import basins as basins
    from .stability import branches as branches
    from .stability import capacity as capacity
    from .stability import certified_basin as certified_basin
    from .stability import certify_contraction as certify_contraction
    from .stability import clone_overlap as clone_overlap
    from .stability import clones as clones
    from .stability import collapse_time as collapse_time
    from .stability import contraction_rate as contraction_rate
    from .stability import critical_times as critical_times
    from .stability import enclose_fixed_points as enclose_fixed_points
    from .stability import excess_entropy as excess_entropy
    from .stability import exponent as exponent
    from .stability import finite_size as finite_size
    from .stability import finite_time_contraction as finite_time_contraction
    from .stability import fixed_point as fixed_point
    from .stability import fixed_points as fixed_points
    from .stability import landscape as landscape
    from .stability import lyapunov_exponents as lyapunov_exponents
    from .stability import measures as measures
    from .stability import memorisation as memorisation
    from .stability import memory_tree as memory_tree
    from .stability import minimal_shock as minimal_shock
    from .stability import overlap_curve as overlap_curve
    from .stability import recovery_time as recovery_time
    from .stability import speciation_time as speciation_time
    from .stability import violation_onset as violation_onset

    __version__: str

_ROOMS = {
    "kernels": "Retrieval entmax retrieve",
    "energies": "AbstractEnergy AbstractLagrangian AbstractLagrangianEnergy AbstractSynapse AttentionSynapse "
    "BinaryHopfield ConvSynapse Cycle DenseMemory DenseSynapse Effective Elementwise EnergyTransformer "
    "FenchelYoung GolesEnergy HAM Hopfield KrotovHopfield Lagrangian Layer LayerNorm LogSumExp LogSumReLU "
    "MemorySynapse Oscillators RandomFeatureMemory Softmax SphericalNorm Synapse UniversalHopfield hebb "
    "pseudo_inverse storkey",
    "diffusion": "AbstractDenoiser AbstractLaw AbstractPathEnergy AbstractSchedule AnySchedule BetaTable "
    "ClassifierFreeGuidance ClassifierGuidance Cosine DensityEnergy DiffusionPath EDM Empirical "
    "FlowMatching FreeEnergy Frozen GaussianMixture GuidedEnergy HopfieldEnergy HostModel Prediction "
    "SubVP Trigonometric VE VP convert geometric_grid index_grid karras_grid time_grid torch_model",
    "flows": "AbstractFlow GradientFlow Interpolant LagrangianFlow Langevin Map OscillatorFlow ProbabilityFlow "
    "ReverseSDE",
    "solvers": "AbstractSampler AnnealedLangevin BlindSampler ConvexSplitting DDIM DDPM DiscreteGradient DPMSolver2M "
    "DPMSolver2S DPMSolverSDE EDMHeun EulerAncestral ExponentialAB LyapunovController PredictorCorrector Proximal "
    "Relaxed Stabilised scan_solve",
    "lyapunov": "Rate Verdict Witness check falsify generator",
    "learning": "AbstractNetwork AbstractPotential Asymmetry ConcaveDenoiser EnergyDenoiser LearnedEnergy "
    "LogLikelihood Margin MLPDenoiser Recipe Track Tracked Training UNetDenoiser asymmetry load_denoiser "
    "log_likelihood margin pretrained save_denoiser train",
    "programs": "TranslationError UnknownPrimitive",
    "rigour": "RateMap certify plane prove rate_map",
    "catalog": "Recall System overlap recall_rate",
    "comparison": "Comparison Method Problem compare largest_safe_step optimise_schedule",
    "stability": "BasinMap Basins Capacity CriticalTime CriticalTimes Diagram Enclosures Exponents FixedPoint "
    "FixedPoints Landscape Measures Memorisation Shock SublevelSet Tree basin_map basins branches "
    "capacity certified_basin certify_contraction clone_overlap clones collapse_time contraction_rate "
    "critical_times enclose_fixed_points excess_entropy exponent finite_size finite_time_contraction "
    "fixed_point fixed_points landscape lyapunov_exponents measures memorisation memory_tree "
    "minimal_shock overlap_curve recovery_time speciation_time violation_onset",
    "_errors": "ContradictionError",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = ["__version__", *_ROOM_OF]  # pyright: ignore[reportUnsupportedDunderAll] (checkers read the imports above)


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version(__name__)
    else:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
