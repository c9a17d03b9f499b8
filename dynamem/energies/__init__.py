"""Associative memories, one a file: an energy ``E(t, x)`` whose descent is recall.

Lagrangians, layers and synapses are what the hierarchical memories (`HAM`) are built of.
"""

from ._base import AbstractEnergy as AbstractEnergy
from ._base import AbstractLagrangianEnergy as AbstractLagrangianEnergy
from ._base import magnitude as magnitude
from ._binary import BinaryHopfield as BinaryHopfield
from ._binary import Cycle as Cycle
from ._binary import GolesEnergy as GolesEnergy
from ._dense import DenseMemory as DenseMemory
from ._effective import Effective as Effective
from ._elementwise import Elementwise as Elementwise
from ._energy_transformer import AttentionSynapse as AttentionSynapse
from ._energy_transformer import EnergyTransformer as EnergyTransformer
from ._energy_transformer import MemorySynapse as MemorySynapse
from ._epanechnikov import LogSumReLU as LogSumReLU
from ._fenchel import FenchelYoung as FenchelYoung
from ._ham import HAM as HAM
from ._hopfield import Hopfield as Hopfield
from ._krotov_hopfield import KrotovHopfield as KrotovHopfield
from ._lagrangian import AbstractLagrangian as AbstractLagrangian
from ._lagrangian import Lagrangian as Lagrangian
from ._lagrangian import negative_curvature as negative_curvature
from ._layer import Layer as Layer
from ._layer import LayersLagrangian as LayersLagrangian
from ._learning import hebb as hebb
from ._learning import pseudo_inverse as pseudo_inverse
from ._learning import storkey as storkey
from ._logsumexp import LogSumExp as LogSumExp
from ._norms import LayerNorm as LayerNorm
from ._norms import SphericalNorm as SphericalNorm
from ._oscillators import Oscillators as Oscillators
from ._random_features import RandomFeatureMemory as RandomFeatureMemory
from ._rounding import rounding_bound as rounding_bound
from ._softmax import Softmax as Softmax
from ._synapses import AbstractSynapse as AbstractSynapse
from ._synapses import ConvSynapse as ConvSynapse
from ._synapses import DenseSynapse as DenseSynapse
from ._synapses import Synapse as Synapse
from ._universal import UniversalHopfield as UniversalHopfield
