"""Graphs do what the model does, without vaelab; and say why where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaelab
from command_line import EXPERIMENT, call
from core.models import bits
from vaelab.errors import BuildError, ConfigError
from vaelab.export import export_run
from vaelab.export.noise import Counter, Given, Noise
from vaelab.registry import DECODERS
from vaelab.runs import Run

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")

SMALL: dict[str, Any] = {
    **EXPERIMENT,
    "training": {"steps": 5},
    "evaluation": {"metrics": ["negative_elbo"], "figures": ["samples"]},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    vaelab.train(SMALL, folder / "runs", device="cpu")
    done = call("export", "tiny", "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(place: Path) -> Run:
    return vaelab.load_run(next((place / "runs/tiny").iterdir()), "cpu")


def test_onnxruntime_gives_what_the_model_gives(run: Run) -> None:
    x = run.data.test.fetch(torch.arange(7)).x
    encoder = onnxruntime.InferenceSession(run.path / "export" / "encoder.onnx")
    names = [entry.name for entry in encoder.get_outputs()]
    found = dict(zip(names, encoder.run(None, {"x": x.numpy()}), strict=True))
    q = run.model.infer(vaelab.types.Batch(x)).groups[0].q
    np.testing.assert_allclose(found["z0_loc"], q.mean[0].detach(), atol=1e-5)
    np.testing.assert_allclose(found["z0_scale"], q.variance[0].sqrt().detach(), atol=1e-5)
    decoder = onnxruntime.InferenceSession(run.path / "export" / "decoder.onnx")
    assert [entry.shape[1:] for entry in decoder.get_inputs()] == [[2]]
    mean = decoder.run(["mean"], {"z0": found["z0"]})[0]
    np.testing.assert_allclose(mean, run.decode(torch.from_numpy(found["z0"])), atol=1e-5)
    logits = decoder.run(["x_logits"], {"z0": found["z0"]})[0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), mean, atol=1e-5)


def test_the_sampler_draws_from_the_model(run: Run) -> None:
    """Its latents are standard normal, and its data those of the decoder for them."""
    sampler = onnxruntime.InferenceSession(run.path / "export" / "sampler.onnx")
    rng = np.random.default_rng(0)
    sizes = {entry.name: entry.shape[1] for entry in sampler.get_inputs()}
    assert sizes == {"normal": 2, "uniform": 64}
    noise = {"normal": rng.normal(size=(4000, 2)), "uniform": rng.random((4000, 64))}
    mean, x, z = sampler.run(["mean", "x", "z0"], {name: value.astype("float32") for name, value in noise.items()})
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    np.testing.assert_allclose(mean, run.decode(torch.from_numpy(z)), atol=1e-5)
    assert set(np.unique(x)) == {0.0, 1.0}
    error = np.sqrt((mean * (1 - mean)).mean() / x.size)
    assert abs(x.mean() - mean.mean()) < 5 * error


def test_the_card_shows_code_that_runs_without_vaelab(run: Run) -> None:
    """The blocks of the card that need no vaelab, run where it cannot be imported."""
    text = (run.path / "README.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    assert len(blocks) == 3
    code = "import sys; sys.modules['vaelab'] = None\n" + "\n".join(
        f"{block}\nassert len(outputs) == 3, outputs" for block in blocks[1:]
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=run.path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_export_json_describes_the_graphs(run: Run) -> None:
    content = json.loads((run.path / "export" / "export.json").read_text())
    graphs = {(graph["part"], graph["format"]): graph for graph in content["graphs"]}
    assert set(graphs) == {(part, form) for part in ("encoder", "decoder", "sampler") for form in ("onnx", "torch")}
    assert graphs["encoder", "onnx"]["inputs"] == {"x": ["N", 1, 8, 8]}
    assert graphs["decoder", "torch"]["outputs"]["mean"] == ["N", 1, 8, 8]
    assert all(graph["difference"] < 1e-5 for graph in content["graphs"])


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    model = {**SMALL["model"], "likelihood": "bernoulli", "prior": {"kind": "standard_normal", "dim": 2}}
    model["decoder"] = DECODERS["pixelcnn"].config.example().model_dump(mode="json")
    data = {"kind": "digits", "binarisation": "threshold"}
    quick = {"metrics": ["negative_elbo"], "figures": []}
    run = vaelab.train({**SMALL, "data": data, "model": model, "evaluation": quick}, tmp_path)
    with pytest.raises(
        BuildError, match="decoder cannot be exported: AutoregressivePixels draws one number after another"
    ):
        export_run(run, tmp_path / "out", parts=["decoder"], formats=["torch"])
    found = {graph.part: graph for graph in export_run(run, tmp_path / "out", formats=["torch"])}
    assert found["encoder"].file == "encoder.pt2"
    assert found["decoder"].file is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["encoder.pt2", "export.json"]
    with pytest.raises(ConfigError, match="no part 'encoders'"):
        export_run(run, parts=["encoders"])
    with pytest.raises(ConfigError, match="no format 'onnxx'"):
        export_run(run, formats=["onnxx"])


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (lambda: torch.randn(1, 3000, 4), 0, 1),
        (lambda: torch.rand_like(torch.zeros(3000, 4)), 1 / 2, 1 / 12),
        (lambda: torch.empty(3000, 4).exponential_(), 1, 1),
        (lambda: torch.bernoulli(torch.full((3000, 4), 0.3)), 0.3, 0.21),
        (lambda: torch.multinomial(torch.tensor([[1.0, 2.0, 1.0]]).expand(3000, 3), 1).float(), 1, 0.5),
        (lambda: torch.randint(5, (3000, 4)).float(), 2, 2),
    ],
)
def test_draws_made_of_noise_have_their_distribution(draw: Any, mean: float, variance: float) -> None:
    with Noise(counter := Counter(3000)):
        counted = draw()
    noise = {
        "normal": torch.randn(3000, counter.total("normal")),
        "uniform": torch.rand(3000, counter.total("uniform")),
    }
    with Noise(Given(noise, counter.draws)):
        x = draw()
    assert x.shape == counted.shape
    with Noise(Given(noise, counter.draws)):
        assert torch.equal(draw(), x), "a function of the noise"
    assert float(x.mean()) == pytest.approx(mean, abs=5 * (variance / x.numel()) ** 0.5)
    assert float(x.var()) == pytest.approx(variance, rel=0.15)


def test_draws_that_reject_are_refused() -> None:
    with pytest.raises(BuildError, match="_standard_gamma"), Noise(Counter(2)):
        torch.distributions.Gamma(torch.ones(2), torch.ones(2)).sample()


def test_the_model_is_loaded_where_the_data_are_not(tmp_path: Path) -> None:
    """The manifest says what the model knows of its data, so that a run can be given away without them."""
    np.save(tmp_path / "x.npy", bits().x.numpy())
    experiment = {**SMALL, "data": {"kind": "arrays", "path": str(tmp_path / "x.npy"), "layout": "as_is"}}
    run = vaelab.train({**experiment, "evaluation": {"metrics": ["negative_elbo"], "figures": []}}, tmp_path)
    (tmp_path / "x.npy").unlink()
    assert vaelab.load_run(run.path).sample(2).shape == (2, 1, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("hierarchical_vae", set()),
        ("ladder_conv", set()),
        ("deep_markov", set()),
        ("vq_vae", set()),
        ("vamp_vae", set()),
        ("zoo/tabular_vae", set()),
        ("zoo/iaf_vae", set()),
        ("zoo/spherical_vae", set()),
        ("zoo/cvae", set()),
        ("zoo/student_t_vae", {"sampler"}),
        ("zoo/vq_vae_autoregressive", {"sampler"}),
        ("zoo/semi_amortised_vae", {"encoder"}),
    ],
)
def test_models_of_many_kinds(name: str, refused: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from docs.blocks import ROOT
    from vaelab.build import build_model
    from vaelab.registry import DATASETS
    from vaelab.runs import RunDirectory

    experiment = vaelab.load_experiment(ROOT / "experiments" / f"{name}.json")
    run = Run(RunDirectory.create(tmp_path, experiment), experiment, torch.device("cpu"))
    run.__dict__["model"] = build_model(experiment.model, DATASETS.build(experiment.data).spec)
    found = export_run(run, tmp_path / "out", formats=["onnx"])
    assert {graph.part for graph in found if graph.file is None} == refused
    assert all(graph.difference is None or graph.difference < 1e-4 for graph in found)
