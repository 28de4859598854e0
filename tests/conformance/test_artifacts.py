"""An exported artifact passes the common checks, and the common checks find what is wrong with others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mtrec.errors import BundleError, GateError
from mtrec.serving import load_artifact, quiet_torchscript
from mtrec.store import Bundle
from mtrec.testing.artifact import ARTIFACT_CHECKS, check_artifact
from mtrec.testing.artifact_case import ArtifactCase, open_case
from mtrec.testing.artifact_process import torch_alone_gives_the_same_scores_and_so_does_a_fork
from tests.export.small_model import make_log, small_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conformance") / "artifact"
    small_model().export(path)
    return path


@pytest.fixture(scope="module")
def case(exported: Path) -> ArtifactCase:
    return open_case(exported)


@pytest.mark.parametrize("check", ARTIFACT_CHECKS)
def test_artifact(check: str, case: ArtifactCase) -> None:
    ARTIFACT_CHECKS[check](case)


@pytest.mark.parametrize("variant", ["null", "empty list", "unseen"])
def test_torch_alone_scores_hard_rows_too(variant: str, case: ArtifactCase) -> None:
    from mtrec.export.adversarial import hard_variants

    rows = dict(hard_variants(make_log(12, seed=6), case.artifact.inputs))[variant]
    expected = small_model().reference(rows)
    case.assert_close(case.scores(rows), {name: torch.tensor(values) for name, values in expected.items()}, variant)
    torch_alone_gives_the_same_scores_and_so_does_a_fork(case._replace(rows=rows))


def test_damage_is_found_first(exported: Path, tmp_path: Path) -> None:
    copy = sabotaged(exported, tmp_path / "artifact", lambda script: script)
    (copy / "model.pt").write_bytes(b"not a model")
    with pytest.raises(BundleError, match="damaged"):
        check_artifact(copy)


class Sabotage(nn.Module):
    """Wrong on purpose, around a right model."""

    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind
        self.num_calls = 0

    def forward(
        self, numbers: dict[str, Tensor], ids: dict[str, tuple[Tensor, Tensor]], strings: dict[str, tuple[list[str], Tensor]]
    ) -> dict[str, Tensor]:
        if self.kind == "unchecked" and "price" not in numbers:
            numbers["price"] = torch.zeros_like(numbers["age"])
        scores: dict[str, Tensor] = self.inner(numbers, ids, strings)
        click = scores["click"]
        if self.kind == "batch mates":
            click = (click - click.mean() + 0.5).clamp(0.0, 1.0) if click.numel() > 0 else click
        if self.kind == "order":
            click = click + 1e-3 * torch.arange(click.numel()) / (1 + click.numel())
        if self.kind == "above one":
            click = click + 1.0
        if self.kind == "nan":
            click = torch.where(numbers["price"].isnan(), torch.nan, click)
        if self.kind == "inference" and not torch.is_grad_enabled():
            click = click * 0.999
        if self.kind == "shape":
            click = click.unsqueeze(1)
        scores["click"] = click
        return scores


def sabotaged(exported: Path, path: Path, change: Callable[[nn.Module], nn.Module]) -> Path:
    """The artifact with another script, under a manifest that fits."""
    with Bundle.create(path, kind="artifact", meta={}) as bundle, quiet_torchscript():
        for name in ("golden.parquet", "signature.json"):
            (bundle.path / name).write_bytes((exported / name).read_bytes())
        script = torch.jit.load(str(exported / "model.pt"))
        torch.jit.save(torch.jit.script(change(script)), str(bundle.path / "model.pt"))
    return path


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("batch mates", "rows_do_not_see_each_other"),
        ("order", "row_order_is_kept"),
        ("above one", "hard_rows_have_sound_scores"),
        ("nan", "hard_rows_have_sound_scores"),
        ("inference", "every_gradient_mode_gives_the_same"),
        ("shape", "no_row_and_one_row_are_scored"),
        ("unchecked", "wrong_requests_are_refused_by_name"),
    ],
)
def test_each_fault_is_found(kind: str, check: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ARTIFACT_CHECKS, "torch_alone_gives_the_same_scores_and_so_does_a_fork")  # it takes seconds
    path = sabotaged(exported, tmp_path / "artifact", lambda script: Sabotage(script, kind))
    seen: list[tuple[str, bool]] = []
    with pytest.raises(GateError, match=check):
        check_artifact(path, report=lambda name, ok: seen.append((name, ok)))
    assert (check, False) in seen and len(seen) == 1 + len(ARTIFACT_CHECKS)


def test_right_artifacts_pass_with_a_list_of_what_was_checked(exported: Path, tmp_path: Path) -> None:
    path = sabotaged(exported, tmp_path / "artifact", lambda script: Sabotage(script, "none"))
    passed = check_artifact(path)
    assert [name for name, ok in passed if ok] == ["files_are_those_of_the_manifest", *ARTIFACT_CHECKS]


def test_few_golden_rows_are_enough(tmp_path: Path) -> None:
    small_model().export(tmp_path / "artifact", sample=make_log(1, seed=8))
    assert all(ok for _, ok in check_artifact(tmp_path / "artifact"))
    assert json.loads((tmp_path / "artifact" / "manifest.json").read_text())["kind"] == "artifact"
    assert load_artifact(tmp_path / "artifact", self_check=True)
