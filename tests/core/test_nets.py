"""Building blocks reach any size."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaelab.nets import ConvDown, ConvUp, Head, ResidualBlock, activation, connect, fold, halvings, mlp
from vaelab.types import Shape

SIZE = st.integers(1, 40)
DEPTH = st.integers(1, 4)
SHAPES: list[Shape] = [(3,), (1,), (2, 4, 4), (3, 4, 4), (3, 8, 8), (1, 7, 5), (2, 1, 1), (4, 5)]


@given(height=SIZE, width=SIZE, depth=DEPTH)
def test_conv_down_announces_its_shape(height: int, width: int, depth: int):
    down = ConvDown((2, height, width), (3,) * depth)
    assert down(torch.zeros(1, 2, height, width)).shape[1:] == down.out_shape
    assert down.out_shape == (3, *halvings(height, width, depth)[-1])


@given(height=SIZE, width=SIZE, depth=DEPTH, data=st.data())
def test_conv_up_reaches_any_size_from_any_level(height: int, width: int, depth: int, data: st.DataObject):
    start = data.draw(st.sampled_from(halvings(height, width, depth)))
    up = ConvUp(start, (4, 3, 2, 2)[:depth], (5, height, width))
    assert up(torch.zeros(1, 4, *start)).shape == (1, 5, height, width)


@given(height=SIZE, width=SIZE, depth=DEPTH)
def test_up_is_the_mirror_of_down(height: int, width: int, depth: int):
    down = ConvDown((2, height, width), (3,) * depth)
    up = ConvUp((down.out_shape[1], down.out_shape[2]), (3,) * depth, (2, height, width))
    x = torch.zeros(2, 2, height, width)
    assert up(down(x)).shape == x.shape


def test_conv_up_is_linear_at_its_end():
    up = ConvUp((2, 2), (4, 3), (1, 8, 8))
    assert (up(torch.randn(64, 4, 2, 2)) < 0).any()
    assert isinstance(up[-1], torch.nn.ConvTranspose2d)


def test_halvings():
    assert halvings(28, 28, 3) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert halvings(1, 5, 2) == [(1, 5), (1, 3), (1, 2)]


@given(k=st.integers(1, 4), b=st.integers(1, 5))
def test_fold_is_the_function_of_each_sample(k: int, b: int):
    x = torch.randn(k, b, 2, 3, 3)
    net = torch.nn.Conv2d(2, 4, 3, padding=1)
    torch.testing.assert_close(fold(net, x), torch.stack([net(part) for part in x]))


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SHAPES, repeat=2)), ids=str)
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)], ids=["linear", "one", "two"])
def test_connect_joins_any_two_shapes(source: Shape, target: Shape, hidden: tuple[int, ...]):
    x = torch.randn(2, 3, *source)
    net = connect(source, target, "tanh", hidden)
    y = net(x)
    assert y.shape == (2, 3, *target)
    # each datum on its own: neither samples nor the batch mix
    torch.testing.assert_close(net(x[1:, 2:]), y[1:, 2:])


@given(source=st.tuples(st.integers(1, 3), SIZE, SIZE), target=st.tuples(st.integers(1, 3), SIZE, SIZE))
def test_connect_joins_any_two_maps(source: Shape, target: Shape):
    assert connect(source, target, hidden=(2,))(torch.zeros(1, 1, *source)).shape == (1, 1, *target)


@pytest.mark.parametrize(("source", "target"), [((3,), (4,)), ((2, 4, 4), (3, 4, 4)), ((2, 4, 4), (2, 4, 4))])
def test_connect_without_hidden_layers_is_linear(source: Shape, target: Shape):
    net = connect(source, target).double()
    a, b = torch.randn(2, 1, 1, *source, dtype=torch.float64)
    zero = net(torch.zeros_like(a))
    torch.testing.assert_close(net(a + 2 * b) - zero, net(a) - zero + 2 * (net(b) - zero))


@pytest.mark.parametrize("feature", [None, *SHAPES], ids=str)
@pytest.mark.parametrize("context", [None, *SHAPES], ids=str)
@pytest.mark.parametrize("target", [(6,), (4, 4, 4)], ids=str)
def test_head_joins_features_and_context(feature: Shape | None, context: Shape | None, target: Shape):
    if feature is None and context is None:
        pytest.skip("there is nothing to start from")
    head = Head(feature, context, target, (5,), "tanh")
    features = None if feature is None else torch.randn(3, *feature)
    state = None if context is None else torch.randn(2, 3, *context)
    y = head(features, state)
    samples = 1 if state is None else 2
    assert y.shape == (samples, 3, *target)
    if features is not None and state is not None:  # a sample sees its own context and the datum's features
        torch.testing.assert_close(head(features[2:], state[1:, 2:]), y[1:, 2:])


def test_residual_block_starts_as_the_identity():
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(ResidualBlock(3, 3, activation("relu"))(x), x)


@pytest.mark.parametrize("last", [True, False])
def test_mlp(last: bool):
    net = mlp((4, 5, 6), "relu", last=last)
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["Linear", "ReLU", "Linear"] + ["ReLU"] * last
    assert net(torch.zeros(7, 4)).shape == (7, 6)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"])
def test_activation(name: str):
    x = torch.linspace(-2, 2, 9)
    slope = {"negative_slope": 0.2} if name == "leaky_relu" else {}  # the discriminators', not torch's 0.01
    assert torch.equal(activation(name)(x), getattr(torch.nn.functional, name)(x, **slope))
