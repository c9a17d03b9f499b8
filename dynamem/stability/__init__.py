"""The landscape of a flow: fixed points, spectra, basins, branches, exponents, critical times, capacity."""

from ._field import Field as Field
from ._field import field_of as field_of
