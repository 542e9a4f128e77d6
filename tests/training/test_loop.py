"""The trainer against what it replaces: loops written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vaelab.errors import DataError, VaelabError
from vaelab.objectives import MODEL
from vaelab.training import Trainer
from vaelab.training.order import epoch_order
from vaelab.types import Batch, DataSplits, StepContext

Make = Callable[..., tuple[Trainer, Any]]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_equals_a_loop_written_by_hand(make_trainer: Make) -> None:
    trainer, recorder = make_trainer(epochs=2)
    reference, _ = make_trainer(epochs=2)
    model, objective, data = reference.model, reference.objective, reference.data
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    torch.manual_seed(5)
    trainer.train()

    torch.manual_seed(5)
    losses, step = [], 0
    for epoch in range(2):
        for index in epoch_order(3, epoch, 48).split(10):
            context = StepContext(step, 5, 10, 48)
            loss = objective(model, data.train.fetch(index), context)[MODEL].value
            optimiser.zero_grad()
            loss.mean().backward()
            optimiser.step()
            losses.append(loss.detach())
            step += 1
    assert same(weights(trainer), weights(reference))
    first = recorder.lines[0]
    assert first["step"] == 2
    assert first["loss"] == pytest.approx(float(torch.cat(losses[:2]).mean()), rel=1e-6)
    # a line is the mean over the data since the last one, and the end of an epoch makes one
    third = [line for line in recorder.lines if line["split"] == "train"][2]
    assert third["step"] == 5
    assert third["loss"] == pytest.approx(float(losses[4].mean()), rel=1e-6)


def test_each_epoch_sees_each_datum_once_in_a_new_order() -> None:
    first, second = epoch_order(0, 0, 50), epoch_order(0, 1, 50)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert not torch.equal(first, second)
    assert torch.equal(first, epoch_order(0, 0, 50))
    assert not torch.equal(first, epoch_order(1, 0, 50))


def test_accumulation_gives_the_gradient_of_the_larger_batch(make_trainer: Make) -> None:
    data = make_trainer()[0].data
    trainers = []
    for batch, accumulate in ((24, 1), (12, 2)):
        trainer, _ = make_trainer(
            epochs=1, batch_size=batch, accumulate=accumulate, optimiser={"kind": "sgd", "lr": 0.01}, data=data
        )
        assert trainer.total_steps == 2
        # the noise must not depend on how the batch is cut: take the posterior's mean
        for posterior in (trainer.model.posterior,):
            plain = posterior.distribution

            def certain(parameters: torch.Tensor, spec: Any, plain: Any = plain) -> Any:
                q = plain(parameters, spec)
                q.rsample = lambda sample_shape=(): q.loc
                return q

            posterior.distribution = certain
            posterior.group = lambda i, f, s, p, post=posterior: post.distribution(
                post.heads[0](f[0], None), post.specs[0]
            )
        trainer.train()
        trainers.append(trainer)
    for left, right in zip(trainers[0].model.parameters(), trainers[1].model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-7)


def test_the_sum_is_the_mean_times_the_batch(make_trainer: Make) -> None:
    grown = {}
    for reduction, lr in (("mean", 0.01 * 48), ("sum", 0.01)):
        trainer, _ = make_trainer(epochs=1, batch_size=48, optimiser={"kind": "sgd", "lr": lr})
        object.__setattr__(trainer.objective.config, "reduction", reduction)
        torch.manual_seed(0)
        trainer.train()
        grown[reduction] = trainer.model
    for left, right in zip(grown["mean"].parameters(), grown["sum"].parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_step(make_trainer: Make) -> None:
    trainer, _ = make_trainer(steps=1, epochs=None, gradient_clip=1e-3, optimiser={"kind": "sgd", "lr": 1.0})
    before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_learning_rate_follows_its_schedule(make_trainer: Make) -> None:
    lr = {"kind": "piecewise", "values": [0.1, 0.01], "boundaries": [1], "unit": "epochs"}
    _, recorder = trained = make_trainer(epochs=2, log_every=1, optimiser={"kind": "sgd", "lr": lr})
    trained[0].train()
    rates = [line["lr"] for line in recorder.lines if line["split"] == "train"]
    assert rates == [0.1] * 5 + [0.01] * 5


def test_averaged_weights_are_the_running_mean(make_trainer: Make) -> None:
    trainer, recorder = make_trainer(epochs=2, ema=0.9)
    name, parameter = next(iter(trainer.model.named_parameters()))
    expected = parameter.detach().clone()

    def follow(step: int) -> None:
        decay = min(0.9, (1 + step) / (10 + step))
        expected.lerp_(parameter.detach(), 1 - decay)

    recorder.on_step = follow
    trainer.train()
    last = parameter.detach().clone()
    with trainer.averaged():
        torch.testing.assert_close(parameter.detach(), expected)
    assert torch.equal(parameter.detach(), last)
    trainer.finish()
    torch.testing.assert_close(parameter.detach(), expected)
    assert not torch.equal(expected, last)
    assert name


def test_early_stopping_evaluates_the_best_weights(make_trainer: Make) -> None:
    stopping = {"metric": "negative_elbo", "patience": 2}
    # a learning rate that ruins the model after the first epoch
    lr = {"kind": "piecewise", "values": [1e-3, 3.0], "boundaries": [1]}
    trainer, recorder = make_trainer(
        epochs=9, early_stopping=stopping, optimiser={"kind": "sgd", "lr": lr}, gradient_clip=1.0
    )
    trainer.train()
    values = [line["negative_elbo"] for line in recorder.lines if line["split"] == "validation"]
    best = values.index(min(values))
    assert len(values) == best + 3 < 9
    assert trainer.finish() == (best + 1) * trainer.steps_per_epoch


def test_early_stopping_needs_validation_data_and_a_known_metric(
    make_trainer: Make, tiny_splits: Callable[..., DataSplits]
) -> None:
    data = tiny_splits()
    without = DataSplits(data.train, None, data.test, {})
    with pytest.raises(DataError, match="validation"):
        make_trainer(early_stopping={"metric": "negative_elbo"}, data=without)
    trainer, _ = make_trainer(early_stopping={"metric": "fid"})
    with pytest.raises(VaelabError, match=r"'fid'.*negative_elbo"):
        trainer.train()


def test_a_batch_larger_than_the_data(make_trainer: Make) -> None:
    trainer, recorder = make_trainer(epochs=1, batch_size=1000)
    trainer.train()
    assert recorder.steps == [1]
    with pytest.raises(DataError, match="drop_last"):
        make_trainer(batch_size=1000, drop_last=True)


def test_drop_last_leaves_the_small_batch_out(make_trainer: Make) -> None:
    trainer, recorder = make_trainer(epochs=2, drop_last=True)
    sizes: list[int] = []
    fetch = trainer.objective.forward

    def watched(model: Any, batch: Batch, context: StepContext) -> Any:
        sizes.append(len(batch))
        return fetch(model, batch, context)

    trainer.objective.forward = watched
    trainer.train()
    assert sizes == [10] * 8
    assert len(recorder.steps) == 8


def test_an_adversary_is_trained_by_its_own_optimiser(make_trainer: Make) -> None:
    trainer, recorder = make_trainer("flat", "adversary", epochs=2)
    assert set(trainer.update.optimisers) == {MODEL, "adversarial_tc"}
    assert trainer.update.optimisers["adversarial_tc"].config.beta1 == 0.5
    mine = {id(p) for p in trainer.update.parameters[MODEL]}
    theirs = {id(p) for p in trainer.update.parameters["adversarial_tc"]}
    assert mine
    assert theirs
    assert not mine & theirs
    before = [p.detach().clone() for p in trainer.update.parameters["adversarial_tc"]]
    trainer.train()
    assert all(
        not torch.equal(old, new) for old, new in zip(before, trainer.update.parameters["adversarial_tc"], strict=True)
    )
    assert {"adversarial_tc", "adversarial_tc/adversary", "adversarial_tc/lr"} <= set(recorder.lines[0])


def test_half_precision_is_near_full_precision(make_trainer: Make) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        trainer, recorder = make_trainer(epochs=1, validation=[], precision=precision)
        torch.manual_seed(0)
        trainer.train()
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
        losses.append([line["loss"] for line in recorder.lines if line["split"] == "train"][-1])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_compiled_is_eager(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config

    # else the compiled code draws other numbers, from a generator of its own
    monkeypatch.setattr(torch._inductor.config, "fallback_random", True)
    losses = []
    for compile_ in (False, True):
        trainer, recorder = make_trainer(epochs=1, compile=compile_)
        torch.manual_seed(0)
        trainer.train()
        losses.append([line["loss"] for line in recorder.lines if line["split"] == "train"][-1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
