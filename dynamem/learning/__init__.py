"""Learned denoisers: networks, their training and files, and what is measured on any denoiser."""

from ._asymmetry import Asymmetry as Asymmetry
from ._asymmetry import asymmetry as asymmetry
from ._asymmetry import skewness as skewness
from ._concave import ConcaveDenoiser as ConcaveDenoiser
from ._energy import AbstractPotential as AbstractPotential
from ._energy import EnergyDenoiser as EnergyDenoiser
from ._energy import LearnedEnergy as LearnedEnergy
from ._files import load_denoiser as load_denoiser
from ._files import pretrained as pretrained
from ._files import save_denoiser as save_denoiser
from ._likelihood import LogLikelihood as LogLikelihood
from ._likelihood import log_likelihood as log_likelihood
from ._margin import Margin as Margin
from ._margin import margin as margin
from ._mlp import MLPDenoiser as MLPDenoiser
from ._network import AbstractNetwork as AbstractNetwork
from ._recipe import Recipe as Recipe
from ._recipe import loss as loss
from ._tracked import Track as Track
from ._tracked import Tracked as Tracked
from ._train import Training as Training
from ._train import loss_on as loss_on
from ._train import train as train
from ._unet import UNetDenoiser as UNetDenoiser
