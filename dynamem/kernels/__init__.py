"""Streaming retrieval: softmax averages over many patterns in one pass and a few MiB, with closed derivatives.

``tilt`` (one query, to be vmapped) and ``tilt_batch`` use natural parameters and are finite at every noise level;
``retrieve`` is their face in the usual variables.
"""

from ._carry import Carry as Carry
from ._carry import merge as merge
from ._correct import relative_entropy_density as relative_entropy_density
from ._dense import centred as centred
from ._dense import dense as dense
from ._entmax import entmax as entmax
from ._entmax import entmax_value as entmax_value
from ._entmax import require_order as require_order
from ._record import Retrieval as Retrieval
from ._record import Tilt as Tilt
from ._retrieve import retrieve as retrieve
from ._tilt import dynamem_retrieval as dynamem_retrieval
from ._tilt import log_prior as log_prior
from ._tilt import tilt as tilt
from ._tilt import tilt_batch as tilt_batch
