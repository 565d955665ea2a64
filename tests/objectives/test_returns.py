"""TD(lambda) and GAE along episodes, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from awac_tr.objectives.returns import gae_advantages, td_lambda_returns, whitened

VALUES = torch.tensor([-4.0, -3, -2, -1, -0.5, -0.2], dtype=torch.float64)


def episode(rewards: list[float], *, terminated: bool, done: bool = True) -> TensorDict:
    flags = torch.zeros(len(rewards), 1, dtype=torch.bool)
    end, over = flags.clone(), flags.clone()
    end[-1], over[-1] = terminated, done
    reward = torch.tensor(rewards, dtype=torch.float64)[:, None]
    return TensorDict({"next": {"reward": reward, "terminated": end, "done": over}}, [len(rewards)])


def column(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


CUT = column(-3.285942, -2.272665, -1.247916, -0.210969, -0.198)
TERMINATED = column(-3.131024, -2.107947, -1.072777, -0.024750, 0)


@pytest.mark.parametrize(("terminated", "expected"), [(False, CUT), (True, TERMINATED)])
def test_td_lambda(terminated: bool, expected: torch.Tensor) -> None:
    rows = episode([-1, -1, -1, 0, 0], terminated=terminated)
    found = td_lambda_returns(rows, VALUES[1:, None], gamma=0.99, lmbda=0.95)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize("last_is_done", [True, False])
def test_episodes_do_not_reach_into_each_other(last_is_done: bool) -> None:
    """Whichever end the first has, what the second holds must not count; a last row that is not done is cut."""
    rows = torch.cat(
        [
            episode([-1, -1, -1, 0, 0], terminated=False),
            episode([-1, -1, -1, 0, 0], terminated=True),
            episode([-1, -1, -1, 0, 0], terminated=False, done=last_is_done),
        ]
    )
    following = VALUES[1:, None].repeat(3, 1)
    found = td_lambda_returns(rows, following, gamma=0.99, lmbda=0.95)
    torch.testing.assert_close(found, torch.cat([CUT, TERMINATED, CUT]), rtol=0, atol=5e-7)


@pytest.mark.parametrize(
    ("terminated", "expected"),
    [(True, column(0.760740, 0.583060, 0.4)), (False, column(1.316855, 1.159255, 0.997))],
)
def test_gae(terminated: bool, expected: torch.Tensor) -> None:
    """gamma .995, lambda .97; where it is cut, the value of the last state stands for what follows."""
    rows, value = episode([0, 0, 1], terminated=terminated), column(0.2, 0.4, 0.6)
    following = column(0.4, 0.6, 0.6)
    found = gae_advantages(rows, value, following, gamma=0.995, lmbda=0.97)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-7)


def test_whitening_of_awr() -> None:
    advantage = CUT - VALUES[:-1, None]
    expected = column(0.714058, 0.727335, 0.752084, 0.789031, 0.302)
    torch.testing.assert_close(advantage, expected, rtol=0, atol=5e-7)
    assert float(advantage.mean()) == pytest.approx(0.656902, abs=5e-7)
    assert float(advantage.std(unbiased=False)) == pytest.approx(0.179277, abs=5e-7)
    weights = whitened(advantage, 1e-5).exp()
    torch.testing.assert_close(weights, column(1.375477, 1.481199, 1.700451, 2.089601, 0.138136), rtol=0, atol=5e-6)


def test_whitening_of_dapg_and_of_a_single_number() -> None:
    found = whitened(column(1.0, -1.0, 2.0), 1e-6)
    torch.testing.assert_close(found, column(0.267261, -1.336305, 1.069044), rtol=0, atol=2e-6)
    assert whitened(column(3.0), 1e-5).tolist() == [[0.0]]
