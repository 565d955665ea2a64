"""Losses as TorchRL ``LossModule`` s, and the pure functions they are made of."""

from awac_tr.objectives.awac import AWACLoss
from awac_tr.objectives.batch import BatchError
from awac_tr.objectives.bc import BCLoss

__all__ = ["AWACLoss", "BCLoss", "BatchError"]
