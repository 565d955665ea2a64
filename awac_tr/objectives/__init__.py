"""Losses as TorchRL ``LossModule`` s, and the pure functions they are made of."""

from awac_tr.objectives.awac import AWACLoss

__all__ = ["AWACLoss"]
