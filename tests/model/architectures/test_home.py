"""HoME from its equations, row by row; what may move what; where it starts."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures.home import Config, HoME

D, CATEGORIES = 5, [0, 1, 0]
SMALL = {"expert_width": 4, "num_meta_shared": 2, "num_meta_category": 1, "num_shared": 2, "num_category": 3, "num_task": 2, "lora_rank": 2}


def make(categories: list[int] = CATEGORIES, **options: int) -> HoME:
    torch.manual_seed(0)
    model = HoME(D, 1, len(categories), Config(**{**SMALL, **options}), categories).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name or "up" in name:
                parameter.add_(torch.randn_like(parameter))
    return model


def rows(num_rows: int = 6) -> Tensor:
    return torch.randn(num_rows, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class ByTheEquations:
    """One group, one expert at a time, sharing no code with the model; rows are kept together for the statistics of the batch only."""

    def __init__(self, model: HoME, training: bool) -> None:
        self.model, self.training = model, training

    def gated(self, gates: torch.nn.Module, g: int, v: Tensor) -> Tensor:
        score = torch.exp(v @ gates.mix[g]) if gates.mix is not None else v.new_ones(len(v), 1)
        parts = [2 / (1 + torch.exp(-(v @ gates.down[g, i] @ gates.up[g, i]))) for i in range(gates.num_loras)]
        return v * sum(score[:, i : i + 1] / score.sum(dim=1, keepdim=True) * part for i, part in enumerate(parts))

    def expert(self, experts: torch.nn.Module, e: int, v: Tensor) -> Tensor:
        a, at = v @ experts.weight[e].T, slice(e * 4, e * 4 + 4)
        mean, variance = (
            (a.mean(dim=0), ((a - a.mean(dim=0)) ** 2).mean(dim=0)) if self.training else (experts.norm.mean[at], experts.norm.variance[at])
        )
        a = (a - mean) / (variance + 1e-5) ** 0.5 * experts.norm.weight[at] + experts.norm.bias[at]
        return a / (1 + torch.exp(-a))

    def mixed(self, mixture: torch.nn.Module, r: int, g: Tensor, x: Tensor, common: list[Tensor], own: list[Tensor]) -> Tensor:
        def softmax(logits: Tensor) -> Tensor:
            return torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)

        share = softmax(g @ mixture.gates.weight[r].T + mixture.gates.bias[r])
        logits = x @ mixture.self_gates.weight[r].T + mixture.self_gates.bias[r]
        again = 1 / (1 + torch.exp(-logits)) if len(own) == 1 else softmax(logits)
        assert share.shape[1] == len(common) + len(own)
        z = sum(share[:, i : i + 1] * expert for i, expert in enumerate([*common, *own]))
        return z + sum(again[:, i : i + 1] * expert for i, expert in enumerate(own))

    def __call__(self, x: Tensor, categories: list[int], config: Config) -> Tensor:
        model, C = self.model, max(categories) + 1
        n_c, n_s, m_c, m_s, m_t = (
            config.num_meta_category, config.num_meta_shared, config.num_category, config.num_shared, config.num_task,
        )  # fmt: skip
        v = [self.gated(model.meta_inputs, g, x) for g in range(C + 1)]
        of = [[self.expert(model.meta_experts, n_c * c + i, v[c]) for i in range(n_c)] for c in range(C)]
        of_all = [self.expert(model.meta_experts, n_c * C + i, v[C]) for i in range(n_s)]
        z = [self.mixed(model.category_mixture, c, v[c], v[c], of_all, of[c]) for c in range(C)]
        z.append(self.mixed(model.shared_mixture, 0, v[C], v[C], [expert for each in of for expert in each], of_all))

        w = [self.gated(model.common_inputs, g, z[g]) for g in range(C + 1)]
        of = [[self.expert(model.common_experts, m_c * c + i, w[c]) for i in range(m_c)] for c in range(C)]
        of_all = [self.expert(model.common_experts, m_c * C + i, w[C]) for i in range(m_s)]
        outputs = []
        for task, c in enumerate(categories):
            own_input = self.gated(model.task_inputs, task, z[c])
            own = [self.expert(model.task_experts, m_t * task + i, own_input) for i in range(m_t)]
            outputs.append(self.mixed(model.task_mixture, task, torch.cat([w[c], w[C]], dim=1), own_input, [*of[c], *of_all], own))
        return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("categories", [[0, 1, 0], [0, 0], [0], [0, 1, 2, 1]])
@pytest.mark.parametrize("options", [{}, {"num_loras": 1}, {"num_task": 1, "num_meta_category": 2, "num_meta_shared": 1}])
def test_equals_its_equations(training: bool, categories: list[int], options: dict[str, int]) -> None:
    model = make(categories, **options)
    model(rows(40))  # so that the running statistics are of use
    model.train(training)
    expected = ByTheEquations(model, training)(rows(), categories, Config(**{**SMALL, **options}))
    assert_close(model(rows()), expected, rtol=1e-6, atol=1e-9)


def reached(output: Tensor, parameter: Tensor, experts: Iterable[int]) -> list[bool]:
    (gradient,) = torch.autograd.grad(output.square().sum(), [parameter], retain_graph=True)
    return [bool((gradient[e] != 0).any()) for e in experts]


def test_a_task_is_moved_by_the_experts_that_it_may_see_alone() -> None:
    """Experts of the categories 0 and 1 and then shared; one expert a group at the meta level, and two for all, two a task below."""
    model = make(num_category=1, num_shared=1)
    z_BTH = model(rows())
    for task, category in enumerate(CATEGORIES):
        z = z_BTH[:, task]
        assert reached(z, model.task_experts.weight, range(6)) == [own == task for own in (0, 0, 1, 1, 2, 2)]
        assert reached(z, model.common_experts.weight, range(3)) == [category == 0, category == 1, True]
        assert reached(z, model.meta_experts.weight, range(4)) == [True] * 4, "z_s brings the other category's experts of the meta level"


def test_a_category_is_not_moved_by_the_experts_of_another() -> None:
    model = make()
    z_CBH = model.shared(rows())[0]
    for category in (0, 1):
        assert reached(z_CBH[category], model.meta_experts.weight, range(4)) == [category == 0, category == 1, True, True]


def test_tasks_of_one_category_read_one_input_and_others_another() -> None:
    model = make()
    with torch.no_grad():
        for module in (model.task_inputs, model.task_experts, model.task_mixture):
            for parameter in module.parameters():
                halves = parameter.view(3, -1)
                halves.copy_(halves[:1].clone().expand_as(halves))
    z_BTH = model.eval()(rows())
    assert_close(z_BTH[:, 0], z_BTH[:, 2], rtol=0, atol=1e-12)
    assert not torch.allclose(z_BTH[:, 0], z_BTH[:, 1])


def test_one_task_alone_is_its_part_of_all_and_moves_no_other() -> None:
    model = make()
    shared = model.shared(rows())
    z_BTH = model.tasks(shared)
    again = make()
    shared_again = again.shared(rows())
    for task in range(3):
        z_BH = again.task_output(shared_again, task)
        assert_close(z_BH, z_BTH[:, task], rtol=0, atol=1e-12)
        (gradient,) = torch.autograd.grad(z_BH.sum(), [again.task_experts.weight], retain_graph=True)
        assert (gradient.view(3, -1) != 0).any(dim=1).tolist() == [own == task for own in range(3)]
    assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=1e-12)  # the running statistics have moved once, task by task or together


def test_the_last_batch_may_have_one_row() -> None:
    model = make()
    model(rows(40))
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    assert_close(model(rows(1)), model.eval()(rows(1)), rtol=0, atol=1e-12)
    assert_close(model.state_dict(), kept, rtol=0, atol=0)


def test_several_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match="home reads one input"):
        HoME(D, 4, 3, Config(), CATEGORIES)
    model = make([0])
    assert_close(model(rows().unsqueeze(1)), make([0])(rows()), rtol=0, atol=0)


@pytest.mark.parametrize("num_loras", [1, 2])
def test_number_of_parameters(num_loras: int) -> None:
    """C = 2, T = 3, D = 5, H = 4, r = 2, written out."""
    gate_D, gate_H = 2 * num_loras * 5 * 2 + (5 * 2 if num_loras == 2 else 0), 2 * num_loras * 4 * 2 + (4 * 2 if num_loras == 2 else 0)
    meta = 3 * gate_D + 4 * (5 * 4 + 8) + 6 * (2 + 2) + 2 * 6 * (2 + 1) + 6 * 2 + 2 * 6 * 1
    task = 6 * gate_H + (2 + 2 * 3 + 3 * 2) * (4 * 4 + 8) + 3 * 9 * (2 + 3 + 2) + 3 * 5 * 2
    assert sum(parameter.numel() for parameter in make(num_loras=num_loras).parameters()) == meta + task
    assert HoME.num_parameters(5, 1, 3, Config(**{**SMALL, "num_loras": num_loras}), CATEGORIES) == meta + task
