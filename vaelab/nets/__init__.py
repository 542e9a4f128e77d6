"""Building blocks that components share. Nothing here is registered."""

from vaelab.nets.blocks import Activation, Head, Unflatten, activation, connect, mlp
from vaelab.nets.conv import ConvDown, ConvUp, ResidualBlock, halvings
from vaelab.nets.folding import fold

__all__ = [
    "Activation",
    "ConvDown",
    "ConvUp",
    "Head",
    "ResidualBlock",
    "Unflatten",
    "activation",
    "connect",
    "fold",
    "halvings",
    "mlp",
]
