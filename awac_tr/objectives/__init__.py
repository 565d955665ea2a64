"""Losses as TorchRL ``LossModule`` s, and the pure functions they are made of."""

from awac_tr.objectives.abm import ABMLoss
from awac_tr.objectives.awac import AWACLoss
from awac_tr.objectives.batch import BatchError
from awac_tr.objectives.bc import BCLoss
from awac_tr.objectives.bcq import BCQLoss
from awac_tr.objectives.bear import BEARLoss
from awac_tr.objectives.behaviour import BehaviourModel
from awac_tr.objectives.brac import BRACLoss
from awac_tr.objectives.mpo import MPOLoss
from awac_tr.objectives.sac import SACLoss

__all__ = [
    "ABMLoss",
    "AWACLoss",
    "BCLoss",
    "BCQLoss",
    "BEARLoss",
    "BRACLoss",
    "BatchError",
    "BehaviourModel",
    "MPOLoss",
    "SACLoss",
]
