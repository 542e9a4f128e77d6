"""The registry: what may be registered, what is found, and the messages of what is not."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from vaelab.config import ModelConfig
from vaelab.errors import ConfigError, RegistrationError
from vaelab.index import Listed, read_package
from vaelab.registry import FAMILIES, PRIORS, SCHEDULES, ComponentConfig, Registry


class AppleConfig(ComponentConfig):
    """Arguments of the apple."""

    kind: Literal["apple"] = "apple"

    weight: float = 1.0
    """Grams."""


class PearConfig(ComponentConfig):
    """Arguments of the pear."""

    kind: Literal["pear"] = "pear"

    inner: Annotated[ComponentConfig, SCHEDULES]
    """A slot of another family, without a default."""

    @classmethod
    def example(cls) -> PearConfig:
        return cls.model_validate({"inner": 1.0})


@pytest.fixture
def fruits() -> Iterator[Registry]:
    # a package without components: only what the test registers is found
    registry = Registry("fruit", "vaelab.nets")

    @registry.register(AppleConfig)
    class Apple:
        """An apple
        a day.

        More words.
        """

        def __init__(self, config: AppleConfig, *args: int, **kwargs: int) -> None:
            self.config, self.args, self.kwargs = config, args, kwargs

    yield registry
    del FAMILIES["fruit"]


def slot(registry: Registry) -> TypeAdapter[ComponentConfig]:
    return TypeAdapter(Annotated[ComponentConfig, registry])


def message_of(registry: Registry, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        slot(registry).validate_python(value)
    [error] = caught.value.errors()
    return error["msg"]


def test_build_passes_config_and_arguments(fruits: Registry):
    config = AppleConfig(weight=3.0)
    apple = fruits.build(config, 1, key=2)
    assert (apple.config, apple.args, apple.kwargs) == (config, (1,), {"key": 2})


def test_looks_like_a_collection(fruits: Registry):
    assert "apple" in fruits
    assert "pear" not in fruits
    assert len(fruits) == 1
    fruits.register(PearConfig)(lambda config: config)
    assert [entry.kind for entry in fruits] == ["apple", "pear"], "sorted by kind"


def test_summary_is_the_first_paragraph_on_one_line(fruits: Registry):
    assert fruits["apple"].summary == "An apple a day."


def test_taken_kind_names_both_modules():
    class OtherConfig(ComponentConfig):
        kind: Literal["standard_normal"] = "standard_normal"

    original = PRIORS["standard_normal"]
    with pytest.raises(RegistrationError) as caught:
        PRIORS.register(OtherConfig)(object)
    assert "standard_normal" in str(caught.value)
    assert "vaelab.priors.standard_normal" in str(caught.value)
    assert __name__ in str(caught.value)
    assert PRIORS["standard_normal"] is original, "the first one stays"


def test_unregistered_kind_may_be_registered_again(fruits: Registry):
    fruits.unregister("apple")
    assert "apple" not in fruits
    fruits.register(AppleConfig)(lambda config: config)
    assert "apple" in fruits
    fruits.unregister("no_such_kind")


class NoKind(ComponentConfig):
    pass


class TextKind(ComponentConfig):
    kind: str = "text"


class TwoKinds(ComponentConfig):
    kind: Literal["one", "two"] = "one"


class NumberKind(ComponentConfig):
    kind: Literal[3] = 3


@pytest.mark.parametrize("config", [NoKind, TextKind, TwoKinds, NumberKind])
def test_kind_must_be_a_one_valued_literal(fruits: Registry, config: type[ComponentConfig]):
    with pytest.raises(RegistrationError) as caught:
        fruits.register(config)
    assert config.__name__ in str(caught.value)
    assert "Literal" in str(caught.value)


def test_registration_errors_are_config_errors():
    assert issubclass(RegistrationError, ConfigError)


def test_unknown_kind_lists_the_known_and_the_nearest(fruits: Registry):
    for message in (message_of(fruits, {"kind": "aple"}), message_of(fruits, "aple")):
        assert message == "unknown fruit kind 'aple'. Did you mean 'apple'? Known kinds: apple."
    assert "Did you mean" not in message_of(fruits, "xyz")
    with pytest.raises(RegistrationError, match="Did you mean 'apple'"):
        fruits["aple"]


@pytest.mark.parametrize("kind", ["{kind}", "{message}", "{", "}{", "%s", "%(family)s", "{0}", "a'b", "é\n"])
def test_odd_kinds_are_quoted_as_they_are(fruits: Registry, kind: str):
    assert f"unknown fruit kind '{kind}'." in message_of(fruits, {"kind": kind})
    assert f"unknown fruit kind '{kind}'." in message_of(fruits, kind)


@pytest.mark.parametrize("kind", [3, None, ["apple"], {"kind": "apple"}, True])
def test_kind_of_another_type_is_unknown(fruits: Registry, kind: object):
    assert "unknown fruit kind" in message_of(fruits, {"kind": kind})


def test_missing_kind_has_its_own_message(fruits: Registry):
    assert message_of(fruits, {"weight": 2.0}) == ("'kind' is missing: say which fruit this is. Known kinds: apple.")


@pytest.mark.parametrize("value", [3, 2.5, None, ["apple"], True])
def test_other_types_are_refused(fruits: Registry, value: object):
    assert message_of(fruits, value).startswith("a fruit must be an object with a 'kind'")


def test_a_bare_name_is_the_component_with_its_defaults(fruits: Registry):
    assert slot(fruits).validate_python("apple") == AppleConfig()


def test_a_config_object_is_taken_as_it_is_in_its_own_family_only(fruits: Registry):
    config = AppleConfig(weight=2.0)
    assert slot(fruits).validate_python(config) is config
    assert "not registered as a prior" in message_of(PRIORS, config)


def test_a_stranger_with_a_known_kind_is_refused(fruits: Registry):
    class Impostor(ComponentConfig):
        kind: Literal["apple"] = "apple"

    assert "not registered as a fruit" in message_of(fruits, Impostor())


def test_component_registered_after_the_model_was_defined_validates(fruits: Registry):
    class Basket(BaseModel):
        first: Annotated[ComponentConfig, fruits]
        rest: tuple[Annotated[ComponentConfig, fruits], ...] = ()

    adapter = TypeAdapter(Basket)
    with pytest.raises(ValidationError):
        adapter.validate_python({"first": "pear"})
    fruits.register(PearConfig)(lambda config: config)
    basket = adapter.validate_python({"first": {"kind": "pear", "inner": 2}, "rest": ["apple"]})
    assert isinstance(basket.first, PearConfig)
    assert basket.first.inner == SCHEDULES["constant"].config(value=2.0)
    assert Basket.model_validate_json(basket.model_dump_json()) == basket


def test_prior_registered_after_the_experiment_was_defined_validates():
    from core.models import FLAT

    class LateConfig(ComponentConfig):
        """Arguments."""

        kind: Literal["late"] = "late"

        depth: int = 3
        """A number."""

    PRIORS.register(LateConfig)(lambda config, context: None)
    try:
        config = ModelConfig.model_validate({**FLAT, "prior": {"kind": "late", "depth": 4}})
        assert config.prior == LateConfig(depth=4)
    finally:
        PRIORS.unregister("late")
    with pytest.raises(ValidationError, match="unknown prior kind 'late'"):
        ModelConfig.model_validate({**FLAT, "prior": {"kind": "late", "depth": 4}})


def test_nested_locations_survive(fruits: Registry):
    fruits.register(PearConfig)(lambda config: config)

    class Basket(BaseModel):
        rest: tuple[Annotated[ComponentConfig, fruits], ...]

    with pytest.raises(ValidationError) as caught:
        Basket.model_validate(
            {"rest": ["apple", {"kind": "pear", "inner": {"kind": "linear", "start": "x"}}, {"kind": "apple", "a": 1}]}
        )
    assert [error["loc"] for error in caught.value.errors()] == [("rest", 1, "inner", "start"), ("rest", 2, "a")]


def test_nothing_but_finite_numbers(fruits: Registry):
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="finite"):
            AppleConfig(weight=value)


def test_every_family_names_its_package():
    for name, registry in FAMILIES.items():
        assert registry.family == name
        assert registry.package == f"vaelab.{registry.package.split('.')[-1]}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A family with a package of its own: two modules that are named like their kinds, and one that holds two others."""
    package = tmp_path / "fruit_shop"
    package.mkdir()
    start = "from typing import Literal\nfrom vaelab.registry import FAMILIES, ComponentConfig\nFRUITS = FAMILIES['fruit']\n"
    kinds = {"apple": ["apple"], "pear": ["pear"], "__init__": [], "berries": ["raspberry", "blackberry"]}
    for module, named in kinds.items():
        classes = [
            f"class {kind}Config(ComponentConfig):\n    kind: Literal['{kind}'] = '{kind}'\n"
            f"@FRUITS.register({kind}Config)\nclass {kind}:\n    '''A\n    {kind}.'''\n"
            for kind in named
        ]
        (package / f"{module}.py").write_text(start + "".join(classes))
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("fruit", "fruit_shop")
    del FAMILIES["fruit"]
    for name in [name for name in sys.modules if name.startswith("fruit_shop")]:
        del sys.modules[name]


def _imported() -> set[str]:
    return {name.partition(".")[2] for name in sys.modules if name.startswith("fruit_shop.")}


def test_a_look_up_imports_the_module_that_registers_it_alone(shop: Registry):
    assert slot(shop).validate_python("apple").kind == "apple"
    assert _imported() == {"apple"}
    assert shop["raspberry"].kind == "raspberry", "which is in no module of that name"
    assert _imported() == {"apple", "berries"}


def test_what_there_is_is_listed_without_importing_it(shop: Registry):
    kinds = ["apple", "blackberry", "pear", "raspberry"]
    listed = shop.listed()
    assert [(each.kind, each.summary) for each in listed] == [(kind, f"A {kind}.") for kind in kinds]
    assert listed[3].module == "fruit_shop.berries"
    assert len(shop) == 4
    assert _imported() == set()
    assert [(entry.kind, entry.summary, entry.module) for entry in shop] == [
        (each.kind, each.summary, each.module) for each in listed
    ]
    assert _imported() == {"apple", "pear", "berries"}


@pytest.mark.parametrize("registry", FAMILIES.values(), ids=list(FAMILIES))
def test_what_the_sources_say_is_what_is_registered(registry: Registry):
    package = importlib.import_module(registry.package)
    for module in pkgutil.iter_modules(package.__path__, f"{registry.package}."):
        importlib.import_module(module.name)
    own = {
        entry.kind: Listed(entry.kind, entry.summary, entry.module)
        for entry in registry
        if entry.module.startswith("vaelab.")
    }
    assert read_package(registry.package) == own


@pytest.mark.parametrize("command", [["list"], ["list", "prior"], ["show", "prior"], ["show", "vampp"]])
def test_what_only_needs_names_does_not_wait_for_torch(command: list[str]):
    code = """
import sys, vaelab.cli
try: vaelab.cli.main()
except SystemExit: pass
print([name for name in ("torch", "numpy") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("wrong", ["os", "..apple", "apple.pear", "a b", "", "\0", "é", "x" * 5000])
def test_a_kind_that_is_not_there_imports_nothing(shop: Registry, wrong: str):
    before = set(sys.modules)
    assert "Known kinds: apple, blackberry, pear, raspberry" in message_of(shop, wrong)
    assert {name for name in set(sys.modules) - before if name != "fruit_shop"} == set()


def test_a_user_cannot_take_the_kind_of_a_component_that_nobody_has_asked_for_yet(shop: Registry):
    with pytest.raises(RegistrationError, match="'apple' is registered twice: by fruit_shop"):
        shop.register(AppleConfig)(AppleConfig)
    assert _imported() == {"apple"}


def test_an_unregistered_component_is_listed_no_more(shop: Registry):
    assert "berries" in shop["raspberry"].module
    shop.unregister("raspberry")
    assert [entry.kind for entry in shop] == ["apple", "blackberry", "pear"]
    assert "raspberry" not in shop
    assert len(shop) == 3
