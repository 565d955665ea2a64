"""The doctor: everything is looked at for real, and each kind of trouble comes with what to do."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from awac_tr import doctor
from awac_tr.doctor import Check, examine, usable
from awac_tr.envs import gl


@pytest.fixture(scope="module")
def healthy() -> dict[str, Check]:
    return {check.name: check for check in examine()}


def test_this_machine_is_usable(healthy: dict[str, Check]) -> None:
    assert usable(list(healthy.values())), [check for check in healthy.values() if check.level == "broken"]


def test_everything_is_looked_at(healthy: dict[str, Check]) -> None:
    packages = {
        "torch",
        "torchrl",
        "tensordict",
        "gymnasium",
        "gymnasium-robotics",
        "mujoco",
        "h5py",
        "minari",
        "wandb",
    }
    machine = {
        "GL",
        "GPU",
        "CPU features",
        "cores",
        "video encoder",
        "simulator",
        "torchrl C++ extension",
        "requirements",
    }
    assert packages | machine | {"awac-tr", "python", "datasets", "runs"} <= set(healthy)
    assert healthy["mujoco"].finding == version("mujoco")
    assert "AMX" in healthy["CPU features"].finding
    assert "AVX-512 BF16" in healthy["CPU features"].finding


def test_what_is_not_right_says_what_to_do(healthy: dict[str, Check]) -> None:
    assert all(check.remedy for check in healthy.values() if check.level in ("warning", "broken"))
    assert not any(check.remedy for check in healthy.values() if check.level == "ok")


def test_drawing_is_what_the_films_use(healthy: dict[str, Check]) -> None:
    choice = gl.choose_backend()
    assert healthy["GL"].level == ("ok" if choice.backend else "warning")
    assert choice.renderer in healthy["GL"].finding


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = dict(os.environ)
    examine()
    assert list(tmp_path.iterdir()) == []
    assert {name: os.environ.get(name) for name in before} == before


def found(look: str) -> dict[str, Check]:
    return {check.name: check for check in getattr(doctor, look)()}


def test_a_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ESSENTIAL", {"torchrl": "no_such_module"})
    check = found("_packages")["torchrl"]
    assert (check.level, check.remedy) == ("broken", "pip install torchrl")
    assert not usable([check])


def test_a_package_that_does_not_import_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "split_in_two.py").write_text("raise RuntimeError('compiled against another numpy')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "ESSENTIAL", {"h5py": "split_in_two"})
    check = found("_packages")["h5py"]
    assert check.level == "broken"
    assert "another numpy" in check.finding
    assert "force-reinstall" in check.remedy


def test_a_backend_that_keeps_mujoco_from_importing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "no_egl.py").write_text("raise AttributeError('eglQueryString')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "ESSENTIAL", {"mujoco": "no_egl"})
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert found("_packages")["mujoco"].remedy.startswith("unset MUJOCO_GL (now 'egl'")


def test_an_optional_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OPTIONAL", {"no-such-package": "something is off"})
    check = found("_packages")["no-such-package"]
    assert check == Check("no-such-package", "note", "not installed: something is off", "pip install no-such-package")


def test_versions_outside_of_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["numpy<1", "absent-package>=2", "numpy; python_version < '3'", "torch>=2"]
    monkeypatch.setattr(doctor, "requires", lambda owner: wanted if owner == "torchrl" else None)
    check = found("_requirements")["requirements"]
    assert check.level == "warning"
    assert (
        f"torchrl needs numpy<1, found {version('numpy')}; torchrl needs absent-package>=2, found none" in check.finding
    )
    assert check.remedy == 'pip install "numpy<1" "absent-package>=2"'


def test_an_extension_for_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(f"{name}.so: undefined symbol: _ZN5torch")

    monkeypatch.setattr("importlib.import_module", refuse)
    check = found("_extension")["torchrl C++ extension"]
    assert check.level == "note"
    assert version("torch") in check.finding
    assert "prioritised replay" in check.finding


def test_a_simulator_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(env_id: str) -> None:
        raise OSError("libmujoco.so")

    monkeypatch.setattr("awac_tr.envs.make.make_env", refuse)
    assert found("_simulator")["simulator"].level == "broken"


def test_no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gl, "_in_use", gl.GLChoice(None, None, (gl.GLProbe("egl", False, "", "libEGL is not installed", 0),))
    )
    check = found("_drawing")["GL"]
    assert check.level == "warning"
    assert "libEGL is not installed" in check.finding
    assert check.remedy == gl.install_hint(gl.choose_backend())


def test_no_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(tmp_path / "no-ffmpeg"))
    assert found("_films")["video encoder"].level == "warning"


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1000)
    check = found("_processor")["cores"]
    assert check.level == "warning"
    assert "OMP_NUM_THREADS=" in check.remedy


def test_a_processor_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cpu_flags", lambda: {"avx2"})
    checks = found("_processor")
    assert checks["CPU features"].finding.startswith("AVX2 yes, AVX-512 no")
    assert checks["bfloat16"].level == "note"


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    # nobody, root included, makes files here
    monkeypatch.setenv("AWAC_TR_DATA", "/proc/datasets")
    check = found("_places")["datasets"]
    assert check.level == "broken"
    assert "AWAC_TR_DATA" in check.remedy


@pytest.mark.parametrize(("free", "level"), [(1e7, "broken"), (1e9, "warning"), (1e10, "ok")])
def test_room_on_the_disk(monkeypatch: pytest.MonkeyPatch, free: float, level: str) -> None:
    class Usage:
        pass

    usage = Usage()
    usage.free = free  # type: ignore[attr-defined]
    monkeypatch.setattr("shutil.disk_usage", lambda _place: usage)
    assert {check.level for check in found("_places").values()} == {level}


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def _gpu() -> None:
        raise ZeroDivisionError("what?")

    monkeypatch.setattr(doctor, "_gpu", _gpu)
    checks = {check.name: check for check in examine()}
    assert checks["gpu"] == Check("gpu", "warning", "could not be examined: what?", checks["gpu"].remedy)
    assert "datasets" in checks
