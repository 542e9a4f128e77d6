"""What the page is told, of every kind of model, against the model itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import distributions as td

import vaelab
from explorer.conftest import MODELS, Page
from vaelab.errors import ConfigError
from vaelab.explorer import Explorer
from vaelab.inference import infer_latents

Served = Callable[..., Page]
Trained = Callable[[str], vaelab.Run]

DATUM = {"kind": "datum", "index": 3}


def pixels(item: dict[str, Any]) -> np.ndarray:
    """The grey levels in [0, 1] of a picture, read as a browser reads them."""
    head, _, content = item["source"].partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.size == (item["width"], item["height"])
    return np.asarray(image) / 255


def same(item: dict[str, Any], x: torch.Tensor) -> bool:
    return bool(np.allclose(pixels(item), x.detach().squeeze().numpy(), atol=0.51 / 255))


def means(run: vaelab.Run, index: int = 3) -> tuple[torch.Tensor, ...]:
    x = run.data.test.fetch(torch.tensor([index])).x
    return run.model.encode(x, mean=True)


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model_answers_every_request(served: Served, kind: str):
    """A unit that is moved stands where it was put, and the others stay or follow from the space that they live in."""
    page = served(kind)
    run = page.ask("describe")["runs"][0]
    last = run["groups"][-1]["group"]
    units = page.ask("group", group=last)
    information = [unit["information"] for unit in units["units"]]
    assert information == sorted(information, reverse=True)
    assert sorted(unit["number"] for unit in units["units"]) == list(range(len(information)))
    before = page.ask("latents", base=DATUM, group=last)
    values = before["values"]
    unit = units["units"][0]
    goal = unit["high"] if values[unit["number"]] != unit["high"] else unit["low"]
    moved = [{"group": last, "unit": unit["number"], "value": goal}]
    after = page.ask("latents", base=DATUM, group=last, moves=moved)
    assert after["values"][unit["number"]] == pytest.approx(goal, abs=1e-3)
    assert after["item"] != before["item"]
    if kind == "sphere":
        assert np.linalg.norm(after["values"]) == pytest.approx(1, abs=1e-3)
    elif kind == "ball":
        assert np.linalg.norm(after["values"]) < 1
    else:
        others = [i for i in range(len(values)) if i != unit["number"]]
        assert [after["values"][i] for i in others] == [values[i] for i in others]
    noise = page.ask("latents", base={"kind": "prior"}, seed=2)
    assert noise["item"] == page.ask("latents", base={"kind": "prior"}, seed=2)["item"]
    way = page.ask("walk", start=DATUM, end={"kind": "datum", "index": 5}, places=[0.0, 0.4, 1.0])
    assert len(way["items"]) == 3
    assert way["items"][0] == page.ask("latents", base=DATUM)["item"], "a walk begins at its first datum"
    assert way["items"][2] == page.ask("latents", base={"kind": "datum", "index": 5})["item"] or kind in (
        "conditional",  # the label stays that of the first datum
        "ball",  # rounding
    )
    code = page.ask("encode", source=DATUM)
    assert [group["name"] for group in code["groups"]] == [group["name"] for group in run["groups"]]
    drawn = page.ask("sample", number=3, seed=4)["items"]
    assert len(drawn) == 3
    assert drawn == page.ask("sample", number=3, seed=4)["items"]
    assert drawn != page.ask("sample", number=3, seed=5)["items"]
    assert [datum["index"] for datum in page.ask("data", number=2, seed=1)["data"]]


def test_a_slider_does_what_the_decoder_does(served: Served, trained: Trained):
    run, page = trained("flat"), served("flat")
    z = means(run)[0].clone()
    assert page.ask("latents", base=DATUM)["values"] == pytest.approx(z[0].tolist(), abs=1e-4)
    z[0, 2], z[0, 4] = 1.5, -2.0
    moves = [{"group": 0, "unit": 2, "value": 9.0}, {"group": 0, "unit": 4, "value": -2}]
    moves.append({"group": 0, "unit": 2, "value": 1.5})
    assert same(page.ask("latents", base=DATUM, moves=moves)["item"], run.model.decode(z))


def test_units_are_sorted_by_their_kl(served: Served, trained: Trained):
    run, page = trained("flat"), served("flat")
    test = run.data.test
    assert len(test) <= 500, "all data are surveyed, so that their order does not count"
    with torch.no_grad():
        q = infer_latents(run.model, test.fetch(torch.arange(len(test))))[0][0].q
    kl = td.kl_divergence(td.Normal(q.mean[0], q.variance[0].sqrt()), td.Normal(0.0, 1.0)).mean(0)
    units = page.ask("group", group=0)
    assert [unit["number"] for unit in units["units"]] == kl.argsort(descending=True).tolist()
    assert [unit["information"] for unit in units["units"]] == pytest.approx(
        sorted(kl.tolist(), reverse=True), abs=1e-4
    )
    assert page.ask("describe")["runs"][0]["groups"][0]["rate"] == pytest.approx(float(kl.sum()), rel=1e-4)


def test_groups_below_follow_with_the_same_noise_or_stay(served: Served):
    page = served("hierarchy")
    top = [{"group": 0, "unit": 0, "value": 2.5}]
    stay, moved = (page.ask("latents", base=DATUM, group=0, moves=m, seed=1) for m in ([], top))
    below = [page.ask("latents", base=DATUM, group=2, moves=m)["values"] for m in ([], top)]
    assert below[0] == below[1]
    assert moved["item"] != stay["item"]
    first, again, other = (
        page.ask("latents", base=DATUM, group=0, moves=top, follow=True, seed=seed)["item"] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first != moved["item"]


def test_sampling_below_kept_groups(served: Served, trained: Trained):
    run, page = trained("hierarchy"), served("hierarchy")
    whole = page.ask("sample", number=2, keep=3, base=DATUM)["items"]
    assert all(same(item, run.model.decode(means(run))) for item in whole), "nothing is left to draw"
    some = page.ask("sample", number=4, keep=1, base=DATUM)["items"]
    assert len({item["source"] for item in some}) == 4
    # all of the model's own draws at a low temperature come close to one another
    cold, warm = (
        np.stack([pixels(item) for item in page.ask("sample", number=16, temperature=t)["items"]]).std(0).mean()
        for t in (0.05, 1.0)
    )
    assert cold < 0.5 * warm
    bits = pixels(page.ask("sample", number=1, draw=True)["items"][0])
    assert set(np.unique(bits)) <= {0.0, 1.0}
    assert page.refused("sample", keep=4) == (422, "the model has 3 latent groups, counted from 0, and there is no 3")


def test_codes_are_chosen_at_their_positions(served: Served, trained: Trained):
    run, page = trained("codes"), served("codes")
    units = page.ask("group", group=0)
    assert (units["control"], units["choices"], units["grid"]) == ("code", 6, [2, 2])
    chosen = page.ask("latents", base=DATUM, moves=[{"group": 0, "unit": i, "value": i + 1} for i in range(4)])
    assert chosen["values"] == [1, 2, 3, 4]
    vectors = run.model.posterior.lookup(0, torch.tensor([[[1, 2], [3, 4]]]))
    assert same(chosen["item"], run.model.decode(vectors))
    # those that differ are switched from the first to the last
    way = page.ask("walk", start=DATUM, end={"kind": "datum", "index": 5}, places=[i / 8 for i in range(9)])["items"]
    different = sum(
        a != b
        for a, b in zip(
            *(page.ask("latents", base={"kind": "datum", "index": i})["values"] for i in (3, 5)), strict=True
        )
    )
    assert len({item["source"] for item in way}) <= different + 1
    status, sentence = page.refused("latents", base=DATUM, moves=[{"group": 0, "unit": 0, "value": 6}])
    assert (status, sentence) == (422, "unit 0 of group 0 takes whole numbers from 0 to 5, not 6")


def test_the_code_of_a_datum_and_its_bound(served: Served, trained: Trained):
    run, page = trained("flat"), served("flat")
    code = page.ask("encode", source=DATUM)
    x = run.data.test.fetch(torch.tensor([3])).x
    with torch.no_grad():
        q = infer_latents(run.model, vaelab.types.Batch(x))[0][0].q
        kl = td.kl_divergence(td.Normal(q.mean[0, 0], q.variance[0, 0].sqrt()), td.Normal(0.0, 1.0))
        z = q.mean[0] + q.variance[0].sqrt() * torch.randn(4000, 5)
        p = run.model.decode(z)
        log_px = td.Bernoulli(probs=p).log_prob(x).flatten(1).sum(1)
    [group] = code["groups"]
    assert {row["unit"]: row["rate"] for row in group["rows"]} == pytest.approx(dict(enumerate(kl.tolist())), abs=1e-4)
    bound = code["bound"]
    assert bound["rate"] == pytest.approx(float(kl.sum()), rel=1e-4)
    error = 4 * float(log_px.std()) / bound["draws"] ** 0.5
    assert bound["distortion"] == pytest.approx(-float(log_px.mean()), abs=error)
    assert bound["negative_elbo"] == pytest.approx(bound["distortion"] + bound["rate"])
    assert bound["importance"] < bound["negative_elbo"]
    assert same(code["datum"], x)
    assert same(code["item"], run.model.decode(q.mean[0]))
    by_hand = page.ask("encode", source={"kind": "drawn", "values": x.flatten().tolist()})
    assert by_hand["groups"] == code["groups"]
    assert by_hand["bound"] == code["bound"]
    grey = page.ask("encode", source={"kind": "drawn", "values": [0.49, 0.51] * 32})
    assert set(np.unique(pixels(grey["datum"]))) == {0.0, 1.0}, "a model of bits gets bits"
    assert page.refused("encode", source={"kind": "drawn", "values": [0.0] * 63})[0] == 422


def test_no_bound_where_there_is_no_density(served: Served):
    assert served("autoencoder").ask("encode", source=DATUM)["bound"] is None


def test_a_label_is_chosen(served: Served, trained: Trained):
    run, page = trained("conditional"), served("conditional")
    assert page.ask("describe")["runs"][0]["labels"] == 10
    pictures = {page.ask("latents", base={"kind": "prior"}, condition=label)["item"]["source"] for label in range(10)}
    assert len(pictures) > 5
    z = run.model.encode(
        run.data.test.fetch(torch.tensor([3])).x,
        mean=True,
        condition=torch.nn.functional.one_hot(torch.tensor([4]), 10).float(),
    )
    expected = run.model.decode(z, condition=torch.nn.functional.one_hot(torch.tensor([4]), 10).float())
    assert same(page.ask("latents", base=DATUM, condition=4)["item"], expected)
    drawn = {"kind": "drawn", "values": [0.0] * 64}
    assert page.refused("encode", source=drawn) == (
        422,
        "this model is conditioned on more than the picture. Choose a label.",
    )
    assert page.ask("encode", source=drawn, condition=1)["bound"]["rate"] > 0
    assert page.refused("sample", condition=10) == (422, "the labels are 0 to 9, and 10 is none of them")
    assert served("flat").refused("sample", condition=1) == (422, "this model is not conditioned on labels")


def test_a_table_is_shown_by_its_columns(served: Served, trained: Trained):
    run, page = trained("table"), served("table")
    described = page.ask("describe")["runs"][0]
    assert described["form"] == "table"
    assert [column["levels"] for column in described["columns"]] == [[]] * 4 + [["0", "1", "2"]]
    seen = [page.ask("encode", source={"kind": "datum", "index": i})["datum"]["cells"] for i in range(6)]
    observed = [run.data.test.fetch(torch.tensor([i])).observed[0].tolist() for i in range(6)]
    assert [[not cell["hidden"] for cell in cells] for cells in seen] == observed
    drawn = page.ask("encode", source={"kind": "drawn", "values": [0.5, -1, 0.25, 2, 1]})
    assert [cell["value"] for cell in drawn["datum"]["cells"]] == ["0.5", "-1", "0.25", "2", "1"]
    assert drawn["item"]["cells"][4]["value"] in "012"


def test_data_are_chosen_by_label(served: Served, trained: Trained):
    run, page = trained("flat"), served("flat")
    found = page.ask("data", number=9, label=4, seed=3)["data"]
    assert len({datum["index"] for datum in found}) == 9
    assert {datum["label"] for datum in found} == {4}
    for datum in found:
        batch = run.data.test.fetch(torch.tensor([datum["index"]]))
        assert int(batch.y[0]) == 4
        assert same(datum["item"], batch.x)
    assert page.refused("data", label=11) == (422, "there are no test data of label 11")
    number = len(run.data.test)
    status, sentence = page.refused("data", index=number)
    assert (status, f"0 to {number - 1}" in sentence) == (422, True)


def test_two_runs_share_data_and_noise(served: Served, trained: Trained):
    page = served("flat", "flat")
    for path, content in {
        "sample": {"number": 4, "seed": 7},
        "latents": {"base": {"kind": "prior"}, "seed": 7},
        "encode": {"source": DATUM, "seed": 7},
    }.items():
        answers = [page.ask(path, run=run, **content) for run in (0, 1)]
        for answer in answers:
            del answer["milliseconds"]
        assert answers[0] == answers[1], path
    assert served("flat").refused("sample", run=1) == (422, "there is one run alone")
    other = served("flat", "hierarchy")
    assert [len(run["groups"]) for run in other.ask("describe")["runs"]] == [1, 3]
    with pytest.raises(ConfigError, match=r"cannot be compared: the shape of their data is \[1, 8, 8\] and \[5\]"):
        Explorer([trained("flat"), trained("table")])


def test_new_latents_come_from_a_sampler(trained: Trained):
    from vaelab.generation import sampler_config

    said: list[str] = []
    with Explorer([trained("conditional")], sampler=sampler_config("gmm", ["components=2"]), report=said.append) as one:
        page = Page(one)
        assert said[0].startswith("fitted 'gmm': ")
        assert page.ask("describe")["runs"][0]["sampler"] == "gmm"
        fitted = page.ask("sample", number=4, seed=1)["items"]
        assert fitted == page.ask("sample", number=4, seed=1)["items"]
        assert fitted != page.ask("sample", number=4, seed=2)["items"]
        noise = page.ask("latents", base={"kind": "prior"}, seed=1)
        labels = [page.ask("latents", base={"kind": "prior"}, seed=1, condition=label)["item"] for label in range(10)]
        assert noise["item"] in labels, "the label is one, for the latents and for the decoder"
