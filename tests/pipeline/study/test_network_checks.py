"""Networks that do not fit the data, ladder or sampler are errors."""

import pytest
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

LADDER = {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.1, "levels": 5}
NO_EMBEDDING = "has no embedding"


def plan(
    network,
    noise=None,
    dataset="digits",
    trained=None,
    extractors=("pixels",),
    law=None,
    objective=None,
    metrics=None,
    **sampler,
):
    content = parse_yaml(TINY, "tiny.yaml")
    content["dataset"] = {"name": dataset} if isinstance(dataset, str) else dataset
    network = {"name": network} if isinstance(network, str) else network
    content["train"] |= {"network": network, "noise": trained or LADDER, "noise_sampling": law}
    content["train"]["objective"] = objective or {"name": "dsm"}
    content["evaluate"]["extractors"] = list(extractors)
    content["evaluate"]["metrics"] = metrics or content["evaluate"]["metrics"]
    content["sample"] |= {"noise": noise, "grid": {}}
    content["sample"]["sampler"] = sampler or content["sample"]["sampler"]
    return plan_study(parse_study(content, "tiny.yaml"))


@pytest.mark.parametrize("levels", [4, 6])
def test_ncsn_cannot_sample_on_another_ladder(levels):
    with pytest.raises(InputError, match=rf"sample.noise: geometric: .*'ncsn' {NO_EMBEDDING}"):
        plan("ncsn", LADDER | {"levels": levels})
    plan("ncsnv2", LADDER | {"levels": levels})


def test_ncsn_samples_on_levels_of_its_ladder():
    plan("ncsn")
    plan("ncsn", LADDER)
    plan("ncsn", {"name": "explicit", "sigmas": [8.0, 8.0 * (0.1 / 8.0) ** 0.5, 0.1]})
    with pytest.raises(InputError, match=NO_EMBEDDING):
        plan("ncsn", {"name": "explicit", "sigmas": [8.0, 1.0, 0.1]})


def test_ncsnpp_takes_levels_outside_its_ladder_only_with_fourier_features():
    network = {"name": "ncsnpp", "channels": 4}
    positional = network | {"embedding": "positional"}
    plan(positional, LADDER | {"levels": 6})
    for end in ({"sigma_max": 8.1}, {"sigma_min": 0.09}, {"sigma_max": "max_rms"}):
        plan(network, LADDER | end)
        with pytest.raises(
            InputError, match=rf"sample.noise: geometric: .*'ncsnpp' {NO_EMBEDDING}"
        ):
            plan(positional, LADDER | end)


def test_a_control_variate_is_not_combined_with_dropout():
    network = {"name": "ncsnpp", "channels": 4, "dropout": 0.2}
    objective = {"name": "dsm", "control_variate": True}
    with pytest.raises(InputError, match=r"train.network.dropout: 0.2: .*control_variate"):
        plan(network, objective=objective)
    plan(network | {"dropout": 0.0}, objective=objective)
    plan(network)


NCSNPP = {"name": "ncsnpp", "channels": 4}


@pytest.mark.parametrize(
    ("unused", "used"),
    [
        (NCSNPP | {"data_std": 0.25}, {"preconditioning": "edm"}),
        (
            NCSNPP | {"embedding": "positional", "fourier_scale": 4.0},
            {"embedding": "fourier"},
        ),
    ],
)
def test_options_of_a_network_without_effect_are_refused(unused, used):
    with pytest.raises(InputError, match=rf"train\.network: .*{list(unused)[-1]}"):
        plan(unused)
    plan(unused | used)


@pytest.mark.parametrize("name", ["dsm", "ism", "ssm", "ssm_vr"])
def test_a_standard_deviation_that_the_weighting_does_not_use_is_refused(name):
    objective = {"name": name, "data_std": 0.25}
    with pytest.raises(InputError, match=r"train\.objective: .*data_std"):
        plan("ncsnv2", objective=objective)
    plan("ncsnv2", objective=objective | {"weighting": "edm"})


@pytest.mark.parametrize("network", [NCSNPP | {"preconditioning": "edm"}, {"name": "unet"}])
def test_network_and_weighting_assume_the_same_standard_deviation(network):
    objective = {"name": "dsm", "weighting": "edm"}
    plan(network, objective=objective)
    with pytest.raises(
        InputError, match=r"train\.objective\.data_std: 0\.25: .*network\.data_std, 0.5"
    ):
        plan(network, objective=objective | {"data_std": 0.25})
    plan(network | {"data_std": 0.25}, objective=objective | {"data_std": 0.25})
    plan(network | {"data_std": 0.25})


@pytest.mark.parametrize(
    "network", ["ncsn", {"name": "ncsnpp", "channels": 4, "embedding": "positional"}]
)
def test_a_law_of_the_noise_level_needs_a_network_for_every_level(network):
    law = {"name": "log_normal", "mean": -1.9, "std": 1.2}
    with pytest.raises(InputError, match=rf"train.noise_sampling: log_normal: .*{NO_EMBEDDING}"):
        plan(network, law=law)
    plan("ncsnv2", law=law)
    plan("oracle", law=law)


def test_a_uniform_law_needs_two_ends():
    one, law = {"name": "explicit", "sigmas": [0.5]}, {"name": "log_uniform"}
    with pytest.raises(InputError, match=r"train\.noise_sampling: log_uniform: .* 0\.5 "):
        plan("ncsnv2", trained=one, law=law)
    plan("ncsnv2", trained=one | {"sigmas": [0.5, 0.1]}, law=law)
    plan("oracle", trained=one, law=law)
    plan("ncsnv2", trained=one, law={"name": "log_normal", "mean": -1.0, "std": 1.0})


def test_a_positional_embedding_can_be_another_one():
    network, mend = NCSNPP | {"embedding": "positional"}, r"network\.embedding: fourier"
    with pytest.raises(InputError, match=rf"train\.noise_sampling: .*{mend}"):
        plan(network, law={"name": "log_uniform"})
    with pytest.raises(InputError, match=rf"sample\.noise: .*{mend}"):
        plan(network, LADDER | {"sigma_max": 9.0})
    with pytest.raises(InputError, match=rf"bits_per_dimension: .*{mend}"):
        plan(network, metrics=["bits_per_dimension"])


def test_ladders_that_depend_on_data_are_compared_by_options():
    measured = LADDER | {"sigma_max": "max_distance"}
    plan("ncsn", measured, trained=measured)
    with pytest.raises(InputError, match=NO_EMBEDDING):
        plan("ncsn", LADDER, trained=measured)


def test_ncsn_has_no_intermediate_levels():
    consistent = {"name": "consistent", "step_size": 0.009}
    plan("ncsn", **consistent)
    with pytest.raises(InputError, match=r"sample.sampler: consistent: .* no embedding"):
        plan("ncsn", **consistent, steps_per_level=2)
    plan("ncsnv2", **consistent, steps_per_level=2)
    plan("ncsn", name="edm")
    with pytest.raises(InputError, match=r"sample.sampler: edm: .* no embedding.* s_churn"):
        plan("ncsn", name="edm", s_churn=1.0)


@pytest.mark.parametrize("network", ["ncsn", "ncsnv2", "ncsnpp", "unet"])
def test_image_networks_need_images(network):
    points = {"name": "gaussian_mixture", "means": [[0.0, 1.0]], "stds": [1.0], "weights": [1.0]}
    with pytest.raises(InputError, match=rf"train.network: {network}: needs images"):
        plan(network, dataset=points)
    plan("mlp", dataset=points)


POINTS = {"name": "gaussian_mixture", "means": [[0.0, 1.0]], "stds": 1.0}


@pytest.mark.parametrize("dataset", ["digits", {"name": "moons"}])
def test_mixture_oracle_needs_data_of_a_mixture(dataset):
    oracle = {"name": "oracle", "of": "mixture"}
    with pytest.raises(InputError, match=r"train.network.of: mixture: the dataset .* is not drawn"):
        plan(oracle, dataset=dataset)
    plan(oracle, dataset=POINTS)
    plan(oracle | {"of": "auto"}, dataset=dataset)


def test_image_extractors_need_images():
    with pytest.raises(InputError, match=r"evaluate.extractors: classifier: needs images, but gau"):
        plan("mlp", dataset=POINTS, extractors=["pixels", "classifier"])
    plan("mlp", dataset="digits", extractors=["classifier"])
