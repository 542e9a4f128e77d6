"""What cannot work together is refused when it is built, with both names and before any data are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from core.models import CHAIN, CODES, FLAT, HIERARCHY, model_and, model_config
from vaelab.build import build_model
from vaelab.decoders import Decoder
from vaelab.distributions import DiagonalNormal
from vaelab.encoders import Encoder
from vaelab.errors import BuildError
from vaelab.likelihoods import Likelihood
from vaelab.posteriors import Posterior, PosteriorConfig
from vaelab.priors import FlatPrior
from vaelab.registry import DECODERS, ENCODERS, LIKELIHOODS, POSTERIORS, PRIORS, ComponentConfig
from vaelab.types import BuildContext, DataSpec

IMAGE = DataSpec((1, 8, 8), "binary")
ROWS = DataSpec((1, 4, 6), "binary")

REFUSED: dict[str, tuple[dict[str, Any], DataSpec, list[str]]] = {
    "features_and_groups": ({**FLAT, "encoder": "gru"}, IMAGE, ["encoder 'gru'", "prior 'standard_normal'", "8", "1"]),
    "features_and_hierarchy": ({**HIERARCHY, "encoder": "gru"}, IMAGE, ["encoder 'gru'", "prior 'top_down'", "8", "3"]),
    "normal_posterior_codes_prior": (
        {**CODES, "posterior": "diagonal_normal"},
        IMAGE,
        ["posterior 'diagonal_normal'", "prior 'uniform_codes'"],
    ),
    "code_posterior_normal_prior": ({**FLAT, "posterior": "vq"}, IMAGE, ["posterior 'vq'", "prior 'standard_normal'"]),
    "per_step_without_steps": (
        {**FLAT, "decoder": "per_step"},
        IMAGE,
        ["decoder 'per_step'", "prior 'standard_normal'"],
    ),
    "per_step_of_other_length": (
        {**CHAIN, "encoder": "mlp"},
        IMAGE,
        ["decoder 'per_step'", "'markov_chain'", "8 steps"],
    ),
    "map_of_no_level": (
        {**CODES, "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [3, 3]}},
        IMAGE,
        ["decoder 'conv'", "prior 'uniform_codes'", "3x3", "8x8, 4x4, 2x2"],
    ),
    "chain_with_features_of_two_shapes": (
        {**CHAIN, "prior": {"kind": "top_down", "top": {"kind": "markov_chain", "steps": 2}, "groups": [2]}},
        ROWS,
        ["prior 'top_down'", "'markov_chain'"],
    ),
    "codes_on_top": (
        {**HIERARCHY, "prior": {"kind": "top_down", "top": "uniform_codes", "groups": [2]}},
        IMAGE,
        ["prior 'top_down'", "'uniform_codes'", "codes"],
    ),
    "grey_bits": (FLAT, DataSpec((1, 8, 8), "unit"), ["likelihood 'bernoulli'", "grey", "binarisation"]),
    "real_bits": (FLAT, DataSpec((1, 8, 8), "real"), ["likelihood 'bernoulli'", "real numbers"]),
    "real_unit": (
        {**FLAT, "likelihood": "continuous_bernoulli"},
        DataSpec((1, 8, 8), "real"),
        ["likelihood 'continuous_bernoulli'", "real numbers"],
    ),
    "conv_encoder_of_vectors": ({**FLAT, "encoder": "conv"}, DataSpec((6,), "binary"), ["encoder 'conv'", "(6,)"]),
    "conv_decoder_of_vectors": ({**FLAT, "decoder": "conv"}, DataSpec((6,), "binary"), ["decoder 'conv'", "(6,)"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_all_that_clash(name: str):
    base, data, words = REFUSED[name]
    with pytest.raises(BuildError) as caught:
        build_model(model_config(base), data)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_grey_levels_are_allowed_where_asked_for():
    model = build_model(model_config(FLAT, likelihood={"kind": "bernoulli", "grey": True}), DataSpec((1, 8, 8), "unit"))
    assert model.data.values == "unit"


def test_closed_form_is_refused_where_there_is_none():
    term = {"kind": "kl", "estimator": "closed"}
    objective = {"kind": "elbo", "divergences": [term]}
    model_and(objective)
    with pytest.raises(BuildError) as caught:
        model_and(objective, prior={"kind": "mixture", "dim": 4})
    for word in ("divergence 'kl'", "posterior 'diagonal_normal'", "prior 'mixture'", "monte_carlo"):
        assert word in str(caught.value)
    with pytest.raises(BuildError, match="group 0"):
        model_and(
            objective,
            HIERARCHY,
            prior={"kind": "top_down", "top": {"kind": "mixture", "dim": 3}, "groups": [4]},
            encoder="mlp",
        )


def test_commitment_is_refused_without_codes():
    with pytest.raises(BuildError) as caught:
        model_and({"kind": "elbo", "divergences": ["kl", "commitment"]})
    for word in ("divergence 'commitment'", "posterior 'diagonal_normal'"):
        assert word in str(caught.value)


class LyingEncoderConfig(ComponentConfig):
    kind: Literal["lying_encoder"] = "lying_encoder"


class LyingEncoder(Encoder[LyingEncoderConfig]):
    """Announces 5 features and yields 6."""

    feature_shapes = ((5,),)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :6]


class LyingPosteriorConfig(PosteriorConfig):
    kind: Literal["lying_posterior"] = "lying_posterior"


class LyingPosterior(Posterior[LyingPosteriorConfig]):
    """Yields one component too few."""

    def distribution(self, parameters: Tensor, spec: Any) -> DiagonalNormal:
        loc, raw = parameters[:, :, :-2].chunk(2, dim=2)
        return DiagonalNormal.from_log_scale(loc, raw)


class LyingPriorConfig(ComponentConfig):
    kind: Literal["lying_prior"] = "lying_prior"
    dim: int = 4


class LyingPrior(FlatPrior[LyingPriorConfig]):
    """Announces a readout of another length."""

    def __init__(self, config: LyingPriorConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.readout_shape = (3,)

    def distribution(self) -> DiagonalNormal:
        return DiagonalNormal.from_log_scale(torch.zeros(4), torch.zeros(4))


class LyingDecoderConfig(ComponentConfig):
    kind: Literal["lying_decoder"] = "lying_decoder"


class LyingDecoder(Decoder[LyingDecoderConfig]):
    """Yields pictures of another size."""

    def __init__(self, config: LyingDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.bias = nn.Parameter(torch.zeros(1, 8, 7))

    def forward(self, code: Tensor) -> Tensor:
        return self.bias.expand(*code.shape[:2], 1, 8, 7)


class LyingLikelihoodConfig(ComponentConfig):
    kind: Literal["lying_likelihood"] = "lying_likelihood"


class LyingLikelihood(Likelihood[LyingLikelihoodConfig]):
    """Sums over the last axis only."""

    def forward(self, parameters: Tensor) -> DiagonalNormal:
        return DiagonalNormal.from_log_scale(parameters, torch.zeros_like(parameters), 1)


LIARS = {
    "encoder": (ENCODERS, LyingEncoderConfig, LyingEncoder),
    "posterior": (POSTERIORS, LyingPosteriorConfig, LyingPosterior),
    "prior": (PRIORS, LyingPriorConfig, LyingPrior),
    "decoder": (DECODERS, LyingDecoderConfig, LyingDecoder),
    "likelihood": (LIKELIHOODS, LyingLikelihoodConfig, LyingLikelihood),
}


@pytest.fixture
def liars() -> Iterator[None]:
    for registry, config, component in LIARS.values():
        registry.register(config)(component)
    yield
    for axis, (registry, _, _) in LIARS.items():
        registry.unregister(f"lying_{axis}")


@pytest.mark.parametrize("axis", LIARS)
def test_a_component_that_breaks_its_word_is_refused(liars: None, axis: str):
    """Its author is told at build time which component announced one shape and yielded another."""
    with pytest.raises(BuildError) as caught:
        build_model(model_config({**FLAT, axis: f"lying_{axis}"}), IMAGE)
    assert f"{axis} 'lying_{axis}'" in str(caught.value)


def test_the_model_is_known_only_when_it_runs():
    context = BuildContext(IMAGE)
    with pytest.raises(BuildError, match="still being built"):
        _ = context.model


def test_no_tensor_is_saved_twice():
    """A prior that uses the model's encoder holds it outside of its own parameters."""
    model = model_and("elbo", prior={"kind": "vamp", "dim": 4, "pseudo_inputs": 3})[0]
    names = [name for name in model.state_dict() if name.startswith("prior.")]
    assert names == ["prior.pseudo_inputs"]


def test_a_built_model_is_not_kept_alive():
    import gc
    import weakref

    model = model_and("elbo", prior={"kind": "vamp", "dim": 4, "pseudo_inputs": 3})[0]
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None
