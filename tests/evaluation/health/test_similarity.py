import pytest
import torch

from mtrec.evaluation.health.similarity import cka, hsic


def test_hsic_is_the_mean_over_all_fours_of_rows() -> None:
    """The U-statistic that the estimate is, from its definition: an average over ordered fours of different rows."""
    torch.manual_seed(0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    k, m = x @ x.T, y @ y.T
    terms = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i in range(6) for j in range(6) for q in range(6) for r in range(6) if len({i, j, q, r}) == 4
    ]
    assert hsic(torch.stack([x, y], dim=1))[0, 1] == pytest.approx(float(torch.stack(terms).mean()))


def test_cka_is_one_for_a_rotation_and_near_nothing_for_chance() -> None:
    torch.manual_seed(0)
    x = torch.randn(400, 5)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5))
    found = cka(hsic(torch.stack([x, 3 * x @ rotation + 2, torch.randn(400, 5), torch.ones(400, 5)], dim=1)))
    assert found[0, 1] == pytest.approx(1, abs=1e-5) and abs(float(found[0, 2])) < 0.05
    assert torch.equal(found[:3, :3], found[:3, :3].T) and bool(found[3].isnan().all())
