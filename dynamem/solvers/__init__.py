"""Diffrax solvers that the field uses and Diffrax lacks."""

from ._ddim import DDIM as DDIM
