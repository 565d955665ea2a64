"""How much memory the process holds."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

__all__ = ["peak_bytes", "resident_bytes"]

_STATUS: Final = Path("/proc/self/status")


def resident_bytes() -> int:
    """Resident now; where the system does not say (no ``/proc``), the peak.

    Example:
        >>> 0 < resident_bytes() <= peak_bytes() * 1.01
        True
    """
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return peak_bytes()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), peak_bytes())


def peak_bytes() -> int:
    """Most that was resident at any time since the process began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
