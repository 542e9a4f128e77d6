"""pythae's models and trainer, around copies of vaelab's networks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.model import VAE
from vaelab.types import numel

SHAPE = (1, 28, 28)

try:
    from pythae import models as pythae
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
except ImportError:
    pythae = None


def pythae_epochs(
    kind: str, model: VAE, bits: Tensor, batch: int, folder: Path, **arguments: Any
) -> Callable[[], None] | None:
    """An epoch of pythae's trainer, or None where pythae is not installed.

    Args:
        kind: name of its model.
        model: vaelab's, whose encoder and decoder are copied.
        bits: `[N, 784]`, in memory.
        batch: data a step.
        folder: for its files.
        arguments: of its model's config.
    """
    if pythae is None:
        return None
    dim = numel(model.prior.latent.groups[0].shape)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = deepcopy(model.encoder)
            self.head = nn.Linear(numel(model.encoder.feature_shapes[0]), 2 * dim)

        def forward(self, x: Tensor) -> Any:
            features = self.net(x)
            features = features[0] if isinstance(features, tuple) else features
            mean, log_variance = self.head(features.flatten(1)).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = deepcopy(model.decoder)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z.unsqueeze(0)).squeeze(0).sigmoid().reshape(-1, *SHAPE))

    config = getattr(pythae, f"{kind}Config")(input_dim=SHAPE, latent_dim=dim, reconstruction_loss="bce", **arguments)
    x = bits.float().reshape(-1, *SHAPE)
    trainer = BaseTrainer(
        getattr(pythae, kind)(config, Encoder(), Decoder()),
        train_dataset=BaseDataset(x, torch.zeros(len(x))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder), per_device_train_batch_size=batch, num_epochs=1, no_cuda=True
        ),
    )
    trainer.prepare_training()

    def run() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            trainer.train_step(1)

    return run
