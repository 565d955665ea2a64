"""Acting in environments: a fast collector of TorchRL's kind, online rounds, and whole episodes.

TorchRL's own multi-process collectors take the fast collector as their ``collector_class``. Our online phase,
``collect`` and evaluation use one small process pool instead, :mod:`awac_tr.collectors.workers`, which says why.
"""

from awac_tr.envs.gl import import_mujoco

# before torchrl.envs does, which fails where MUJOCO_GL names a backend that is not there
import_mujoco()
