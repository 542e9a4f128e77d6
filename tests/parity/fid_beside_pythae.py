"""FID of pythae's models with the networks, data and steps of `experiments/papers/chadebec-2022`.

    python tests/parity/fid_beside_pythae.py

trains each with pythae's trainer, samples with its normal and its Gaussian-mixture sampler, and prints the FID of 10,000
pictures by vaelab's extractor as JSON. The figures in `published.toml` there are from it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from pythae import models
from pythae.data.datasets import BaseDataset
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.samplers import (
    GaussianMixtureSampler,
    GaussianMixtureSamplerConfig,
    NormalSampler,
    VAMPSampler,
)
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from vaelab.config import load_experiment
from vaelab.extractors import Extractor
from vaelab.metrics.feature_distances import frechet_distance
from vaelab.registry import EXTRACTORS
from vaelab.runs import load_data

FOLDER = Path(__file__).parents[2] / "experiments" / "papers" / "chadebec-2022"
PIXELS, HIDDEN, LATENT, NUMBER = 784, 512, 16, 10_000
BCE = {"reconstruction_loss": "bce"}
#: By the name of the experiment: model, arguments of its config, and whether posteriors have a variance.
VARIANTS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "chadebec_vae": ("VAE", BCE, True),
    "chadebec_beta_vae": ("BetaVAE", {**BCE, "beta": 0.1}, True),
    "chadebec_vamp": ("VAMP", {**BCE, "number_components": 50}, True),
    "chadebec_info_vae": ("INFOVAE_MMD", {**BCE, "alpha": 0.5, "lbd": 10.0}, True),
    "chadebec_wae": ("WAE_MMD", {"reg_weight": 10.0}, False),
    "chadebec_rae_l2": ("RAE_L2", {"embedding_weight": 0.01}, False),
}
CONFIGS = {"INFOVAE_MMD": "INFOVAE_MMD_Config", "WAE_MMD": "WAE_MMD_Config", "RAE_L2": "RAE_L2_Config"}


class Encoder(BaseEncoder):
    def __init__(self, variance: bool) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, HIDDEN), nn.ReLU())
        self.mean = nn.Linear(HIDDEN, LATENT)
        self.log_variance = nn.Linear(HIDDEN, LATENT) if variance else None

    def forward(self, x: Tensor) -> Any:
        h = self.hidden(x)
        more = {} if self.log_variance is None else {"log_covariance": self.log_variance(h)}
        return ModelOutput(embedding=self.mean(h), **more)


class Decoder(BaseDecoder):
    def __init__(self, probabilities: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))
        self.probabilities = probabilities

    def forward(self, z: Tensor) -> Any:
        x = self.net(z)
        return ModelOutput(reconstruction=(x.sigmoid() if self.probabilities else x).reshape(-1, 1, 28, 28))


def trained(name: str, train: Tensor, folder: str) -> Any:
    kind, arguments, variance = VARIANTS[name]
    training = load_experiment(FOLDER / f"{name}.json").training
    torch.manual_seed(0)
    config = getattr(models, CONFIGS.get(kind, f"{kind}Config"))(input_dim=(1, 28, 28), latent_dim=LATENT, **arguments)
    model = getattr(models, kind)(config, Encoder(variance), Decoder("reconstruction_loss" in arguments))
    trainer = BaseTrainer(
        model,
        train_dataset=BaseDataset(train, torch.zeros(len(train))),
        training_config=BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=training.batch_size,
            num_epochs=training.epochs,
            learning_rate=1e-3,
            no_cuda=True,
            keep_best_on_train=False,
        ),
    )
    trainer.prepare_training()
    for epoch in range(training.epochs):
        trainer.train_step(epoch + 1)
    return model.eval()


def main() -> None:
    torch.set_num_threads(1)
    data = load_data(load_experiment(FOLDER / "chadebec_vae.json"), torch.device("cpu"))
    train, test = (
        torch.cat([b.x for b in split.batches(torch.arange(len(split)), 1000)]) for split in (data.train, data.test)
    )
    extractor: Extractor[Any] = EXTRACTORS.build(EXTRACTORS._validate("digits")).eval()

    def features(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([extractor(part.clamp(0, 1)).features for part in pictures.split(1000)])

    real = features(test[:NUMBER])
    found: dict[str, dict[str, float]] = {}
    for name in sys.argv[1:] or VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            model = trained(name, train, folder)
        normal = (VAMPSampler if name == "chadebec_vamp" else NormalSampler)(model)
        mixture = GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=10))
        mixture.fit(train)
        found[name] = {
            word: frechet_distance(real, features(sampler.sample(NUMBER).cpu()))
            for word, sampler in (("prior", normal), ("gmm", mixture))
        }
        print(json.dumps({name: found[name]}), flush=True)


if __name__ == "__main__":
    main()
