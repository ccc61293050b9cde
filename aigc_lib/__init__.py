"""Generative models from scratch, in layers: a module imports what stands below it.

show          figures, players, widgets
exercises     checks for the reader's answers
recipes       one file per published checkpoint
training      what all recipes share
fit  sample  evaluate     receive networks and features as arguments
models        the networks
diffusion  losses         tensor in, tensor out
nn            layers that two or more networks share
data          the data sets that ship with the course
runtime       seed, device, precision, budget
"""

from importlib.metadata import version

__version__ = version("aigc-lib")
