"""``python -m awac_tr`` is ``awac-tr``."""

from __future__ import annotations

from awac_tr.cli.main import main

main(prog_name="awac-tr")
