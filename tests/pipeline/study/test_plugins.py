"""Methods of plugins: found, checked, swept, identified and pickled."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_study import METHODS, install, plan_in, write_study
from tiny_study import tiny_plan

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.plugin_copies import keep_copies
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.study.plugins.plugin_files import find_module, load_plugin

BALL = {"name": "heavy_ball", "step_size": 1e-3}
MLP = {"name": "mlp", "width": 8, "blocks": 1}
LANGEVIN = {"name": "annealed_langevin", "step_size": 2e-3}


def test_a_plugin_is_swept_with_built_in_methods(tmp_path):
    grid = {"sampler": [LANGEVIN, BALL], "sampler.step_size": [1e-3, 4e-3]}
    plan = plan_in(tmp_path, sample={"grid": grid})
    samplers = [s.sample.sampler for s in plan.settings]
    assert [s.name for s in samplers] == ["annealed_langevin"] * 2 + ["heavy_ball"] * 2
    assert [s.step_size for s in samplers] == [1e-3, 4e-3] * 2
    assert samplers[2].momentum == 0.5
    fields = type(samplers[2]).model_fields
    assert fields["momentum"].description == "share of the last step that is added."
    assert list(fields) == ["label", "name", "denoise", "step_size", "momentum"]


@pytest.mark.parametrize(
    ("sampler", "named"),
    [
        ({"name": "heavy_bal"}, ["sample.sampler.name", "heavy_ball", "annealed_langevin"]),
        (BALL | {"momentun": 1.0}, ["sample.sampler.momentun", "'momentum'"]),
        (BALL | {"step_size": -1.0}, ["sample.sampler.step_size", "greater than 0"]),
        (BALL | {"momentum": "much"}, ["sample.sampler.momentum", "a number"]),
    ],
)
def test_options_of_a_plugin_are_checked_like_built_in_ones(tmp_path, sampler, named):
    with pytest.raises(InputError) as error:
        plan_in(tmp_path, sample={"sampler": sampler, "grid": {}})
    assert all(word in str(error.value) for word in named)


def ids(plan):
    return [p.id for p in (*plan.runs, *plan.settings)], [s.store for s in plan.settings]


def test_a_plugin_that_is_not_used_changes_no_id(tmp_path):
    assert ids(plan_in(tmp_path)) == ids(tiny_plan(tmp_path))


def test_an_edited_plugin_changes_the_ids_of_what_uses_it_only(tmp_path):
    grid = {"sampler": [LANGEVIN, BALL]}
    networks = {"grid": {"network": [{"name": "mlp"}, {"name": "Small"}]}}
    before = plan_in(tmp_path, sample={"grid": grid}, train=networks)
    same = plan_in(tmp_path, sample={"grid": grid}, train=networks)
    after = plan_in(tmp_path, METHODS + "\n# edited\n", sample={"grid": grid}, train=networks)
    assert ids(before) == ids(same)
    for kind in ("runs", "settings"):
        (built_in, own), (built_in_after, own_after) = (getattr(p, kind) for p in (before, after))
        assert built_in.id == built_in_after.id
        assert own.id != own_after.id
    assert before.settings[1].store != after.settings[1].store


def test_a_version_stands_for_the_content_of_the_file(tmp_path):
    versions = [METHODS.replace("@sampler", f"@sampler(version='{n}')") for n in (1, 2)]
    sample = {"sample": {"sampler": BALL, "grid": {}}}
    first = plan_in(tmp_path, versions[0], **sample)
    edited = plan_in(tmp_path, versions[0] + "\n# edited\n", **sample)
    second = plan_in(tmp_path, versions[1], **sample)
    assert first.settings[0].id == edited.settings[0].id != second.settings[0].id


def run_code(code, folder):
    """Run Python code in a fresh process in `folder`."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_runs_and_settings_are_unpickled_in_a_process_that_has_not_loaded_the_plugin(tmp_path):
    plan = plan_in(
        tmp_path, sample={"sampler": BALL, "grid": {}}, train={"network": {"name": "Small"}}
    )
    things = plan.runs[0], plan.settings[0], plan.study
    assert pickle.loads(pickle.dumps(things)) == things
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps(things))
    code = (
        "import pickle; run, setting, _ = pickle.load(open('plan.pickle', 'rb'));"
        "print(run.train.network.channels, setting.sample.sampler.load().__name__)"
    )
    done = run_code(code, tmp_path)
    assert done.stdout == "4 heavy_ball\n", done.stderr
    (tmp_path / "my_methods.py").write_text(METHODS + "# edited\n")
    done = run_code(code, tmp_path)
    assert "InputError: my_methods.py" in done.stderr
    assert plan.runs[0].train.network.plugin in done.stderr


def test_planning_with_a_plugin_without_torch_imports_no_torch(tmp_path):
    methods = "from scoresweep.plugins import sampler\n@sampler\ndef f(score, x, sigmas): ...\n"
    write_study(tmp_path, methods, sample={"sampler": {"name": "f"}, "grid": {}})
    code = (
        "import sys; from pathlib import Path; from scoresweep.pipeline.study import *;"
        "plan = plan_study(load_study(Path('study.yaml'))); print('torch' in sys.modules)"
    )
    done = run_code(code, tmp_path)
    assert done.stdout == "False\n", done.stderr


HEAD = (
    "import torch; from typing import Annotated; from pydantic import Field\n"
    "from scoresweep.plugins import *\n"
)

BAD = {
    "def f(:": "my_methods.py:3: SyntaxError",
    "import nonsuch": "my_methods.py:3: ModuleNotFoundError",
    "1 / 0": "my_methods.py:3: ZeroDivisionError",
    "raise SystemExit(3)": "my_methods.py:3: SystemExit",
    "": "my_methods.py: declares no method",
    "@sampler\ndef langevin(score, x, sigmas): ...": "my_methods.py:3: the sampler 'langevin'",
    "@sampler\ndef f(score, x, sigmas, *, a): ...": "my_methods.py:3: the sampler 'f': option 'a'",
    "@sampler\ndef f(score, x, sigmas, *, a: torch.Tensor): ...": "option 'a': Tensor",
    "@sampler\ndef f(score, x, sigmas, *, a: float = 'b'): ...": "option 'a': the default 'b'",
    "@sampler\ndef f(score, x, sigmas, *, a: 'nonsuch'): ...": "option 'a': nonsuch",
    "@sampler\ndef f(score, x, sigmas, *, model_dump: int): ...": "option 'model_dump'",
    "@sampler(name='a b')\ndef f(score, x, sigmas): ...": "my_methods.py:3: the sampler 'a b'",
    "@sampler\ndef f(score, x): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\ndef f(score, x, *, sigmas): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\ndef f(x, score, sigmas): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\ndef f(score, x, a: float, *, sigmas=0): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\ndef f(*args): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\ndef f(score, x, sigmas, *args): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\ndef f(score, x, sigmas, generator, /): ...": "my_methods.py:3: the sampler 'f'",
    "@sampler\nclass F: ...": "my_methods.py:3: the sampler 'F'",
    "@network\nclass N(torch.nn.Module): ...": "my_methods.py:3: the network 'N'",
    "@network\nclass N(torch.nn.Module):\n def forward(self, x): ...": "py:3: the network 'N'",
    "@network\nclass N(torch.nn.Module):\n def forward(self, x, *, s): ...": "py:3: the network",
    "@sampler\ndef f(score, x, sigmas, *, a: float = Field(1.0, gt=0)): ...": (
        "`a: Annotated[float, Field(...)] = 1.0`"
    ),
    "@sampler\ndef f(score, x, sigmas, *, a: Annotated[float, Field(alias='b')] = 1.0): ...": (
        "option 'a': has a Field"
    ),
    "@sampler\ndef f(score, x, sigmas, *, a: Annotated[float, Field(1.0)]): ...": (
        "`name: Annotated[float, Field(gt=0)] = 1.0`"
    ),
    "@network(predicts='eps')\nclass N(torch.nn.Module): ...": "py:3: TypeError: @network: predic",
    "@sampler(denoise='no')\ndef f(score, x, sigmas): ...": "py:3: TypeError: @sampler: denoise",
    "@sampler(check=3)\ndef f(score, x, sigmas): ...": "py:3: TypeError: @sampler: check",
    "@sampler(is_langevin=True)\ndef f(score, x, sigmas): ...": "py:3: TypeError: @sampler",
    "@sampler\ndef f(score, x, sigmas, *, noise: float = 0.5): ...": "option 'noise'",
    "@objective\ndef f(score, x, sigma, z, *, projections: int = 3): ...": "option 'projections'",
    "@dataset\ndef f(*, source: str): ...": "option 'source'",
    "@dataset\ndef f(*, title: str): ...": "option 'title'",
    "@dataset\ndef f(*, subset: int = 3): ...": "option 'subset'",
    "@dataset(shape=(1, 8), count=3)\ndef f(): ...": "py:3: TypeError: @dataset: shape",
    "@dataset(count=3)\ndef f(): ...": "py:3: TypeError: @dataset",
    "@sampler('f')\ndef f(score, x, sigmas): ...": "my_methods.py:3: TypeError",
    "@metric\ndef frechet(real, generated): ...": "my_methods.py:3: the metric 'frechet'",
    "@metric\ndef bits_per_dimension(real, generated): ...": "the metric 'bits_per_dimension'",
    "@metric\ndef run(real, generated): ...": "my_methods.py:3: the metric 'run'",
    "@metric(better={'rate': 'lower'})\ndef learning(real, generated): ...": "'learning_rate'",
    "@metric\ndef gap_real(real, generated): ...": "my_methods.py:3: the metric 'gap_real'",
    "@metric\ndef f(real): ...": "my_methods.py:3: the metric 'f'",
    "@metric\ndef f(generated, real): ...": "my_methods.py:3: the metric 'f'",
    "@metric\nclass F: ...": "my_methods.py:3: the metric 'F'",
    "@metric\ndef f(real, generated, *, a): ...": "my_methods.py:3: the metric 'f': option 'a'",
    "@metric(on='pixels')\ndef f(real, generated): ...": "py:3: TypeError: @metric: on",
    "@metric(better='small')\ndef f(real, generated): ...": "py:3: TypeError: @metric: better",
    "@metric(minimum='0')\ndef f(real, generated): ...": "py:3: TypeError: @metric: minimum",
    "@metric(minimum=1, maximum=0)\ndef f(real, generated): ...": "TypeError: @metric: minimum: 1",
    "@extractor\ndef pixels(x): ...": "my_methods.py:3: the extractor 'pixels'",
    "@extractor\ndef f(): ...": "my_methods.py:3: the extractor 'f'",
    "@extractor\ndef f(x, *, a: torch.Tensor): ...": "my_methods.py:3: the extractor 'f': option",
    "@metric(name=5)\ndef f(real, generated): ...": "py:3: TypeError: @metric: name: 5",
    "@sampler(version=1)\ndef f(score, x, sigmas): ...": "py:3: TypeError: @sampler: version: 1",
    "@dataset(shape=3, count=3)\ndef f(): ...": "py:3: TypeError: @dataset: shape: 3",
    "@extractor\n@metric\ndef f(real, generated): ...": "py:3: TypeError: @extractor",
    "@extractor(batch_size=0)\ndef f(x): ...": "py:3: TypeError: @extractor: batch_size",
    "@extractor\nclass F(torch.nn.Module): ...": "my_methods.py:3: the extractor 'F'",
    "@extractor\nclass F(torch.nn.Module):\n def forward(self, x, y): ...": "the extractor 'F'",
    "@sampler\ndef f(score, x, sigmas): ...\n@sampler(name='f')\ndef g(score, x, sigmas): ...": (
        "my_methods.py:5: the sampler 'f': has the name of my_methods.py:3"
    ),
}


@pytest.mark.parametrize(("code", "message"), BAD.items())
def test_a_wrong_plugin_is_named_with_its_line(tmp_path, monkeypatch, code, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        plan_in(tmp_path, HEAD + code + "\n")
    assert message in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("source", ["my_method.py", "folder/methods.py", "nonsuch_module"])
def test_a_plugin_that_does_not_exist_is_named(tmp_path, source):
    path = write_study(tmp_path, plugins=[source])
    with pytest.raises(InputError) as error:
        load_study(path)
    assert f"plugins: {source}: " in str(error.value)
    assert ("my_methods.py" in str(error.value)) == (source == "my_method.py")


def test_a_folder_without_init_is_named(tmp_path):
    (tmp_path / "mine").mkdir()
    path = write_study(tmp_path, plugins=["mine"])
    with pytest.raises(InputError, match=r"__init__\.py"):
        load_study(path)


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_file_that_is_imported_like_an_installed_module_is_named(tmp_path, is_folder, is_late):
    """It would not count for ids, or not be found by jobs."""
    folder = tmp_path / "mine" if is_folder else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "my_steps.py").write_text("")
    indent = "    " if is_late else ""
    code = f"@noise_ladder\ndef f():\n    pass\n{indent}import my_steps\n"
    noise = {"train": {"noise": {"name": "f"}}}
    path = write_study(tmp_path, HEAD + code, plugins=["mine"] if is_folder else ["a.py"], **noise)
    (tmp_path / "my_methods.py").rename(folder / ("__init__.py" if is_folder else "a.py"))
    with pytest.raises(InputError, match=r":6: .*ModuleNotFoundError.*from \. import my_steps"):
        plan_study(load_study(path), tmp_path)


def test_a_folder_with_several_files_is_one_plugin(tmp_path):
    path = write_study(tmp_path, plugins=["mine"], sample={"sampler": BALL, "grid": {}})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text("from .balls import heavy_ball\n")
    (tmp_path / "mine/balls.py").write_text(METHODS)
    first = plan_study(load_study(path), tmp_path)
    assert first.settings[0].sample.sampler.momentum == 0.5
    (tmp_path / "mine/balls.py").write_text(METHODS.replace("= 0.5", "= 0.7"))
    second = plan_study(load_study(path), tmp_path)
    assert second.settings[0].sample.sampler.momentum == 0.7
    assert second.settings[0].id != first.settings[0].id


def test_an_installed_module_is_a_plugin(tmp_path, monkeypatch):
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/balls_of_a_package.py").write_text(METHODS)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    sample = {"sampler": BALL, "grid": {}}
    plan = plan_in(tmp_path, plugins=["balls_of_a_package"], sample=sample)
    assert plan.settings[0].sample.sampler.load().__module__ == "balls_of_a_package"
    assert plan.settings[0].id == plan_in(tmp_path, sample=sample).settings[0].id


CHECKED = METHODS.replace(
    "@sampler\n",
    """
def check(sigmas, *, step_size, **_):
    if step_size > sigmas[-1]:
        raise ValueError(f"step_size: {step_size}: expected at most {sigmas[-1]:g}")


@sampler(
    check=check,
    num_score_evaluations=lambda levels, momentum: levels * (1 + round(2 * momentum)),
    is_langevin=True,
    level_step_sizes=lambda sigmas, step_size: step_size * sigmas,
)
""",
)


def test_hooks_of_a_sampler(tmp_path):
    import torch

    sample = {"sampler": BALL, "grid": {}}
    sampler = plan_in(tmp_path, CHECKED, sample=sample).settings[0].sample.sampler
    assert sampler.num_score_evaluations(10) == 21  # the final step denoises
    assert sampler.is_langevin
    sigmas = torch.tensor([4.0, 2.0], dtype=torch.float64)
    assert sampler.load_step_sizes()(sigmas, **sampler.arguments()).tolist() == [4e-3, 2e-3]
    with pytest.raises(InputError, match=r"sample.sampler.step_size: 0.5: expected at most 0.1"):
        plan_in(tmp_path, CHECKED, sample={"sampler": BALL | {"step_size": 0.5}, "grid": {}})


@pytest.mark.parametrize("raised", ["SystemExit(0)", "ValueError('unknown')", "int('x')"])
def test_a_hook_that_fails_is_named_with_its_plugin(tmp_path, raised):
    code = CHECKED.replace("    if step_size >", f"    raise {raised}\n    if step_size >")
    with pytest.raises(InputError, match=r"my_methods.py:\d+: the sampler 'heavy_ball': check: "):
        plan_in(tmp_path, code, sample={"sampler": BALL, "grid": {}})


def test_a_hook_that_fails_is_named_with_the_line_that_failed(tmp_path):
    code = CHECKED.replace("    if step_size >", "    int('x')\n    if step_size >")
    line = code.splitlines().index("    int('x')") + 1
    with pytest.raises(InputError, match=rf"my_methods.py:{line}: the sampler 'heavy_ball': check"):
        plan_in(tmp_path, code, sample={"sampler": BALL, "grid": {}})


def test_a_field_and_a_docstring_describe_options(tmp_path):
    described = METHODS.replace("Field(gt=0)]", "Field(gt=0, description='As given.')]", 1)
    described = described.replace("        step_size: step size of the last level.\n", "")
    sampler = plan_in(tmp_path, described, sample={"sampler": BALL, "grid": {}}).settings[0].sample
    texts = {k: f.description for k, f in type(sampler.sampler).model_fields.items()}
    assert texts["step_size"] == "As given."
    assert texts["momentum"] == "share of the last step that is added."


def test_options_of_random_directions_have_the_text_of_the_built_in_objectives(tmp_path):
    code = "@objective\ndef f(score, x, sigma, z, *, v): return x\n"
    plan = plan_in(tmp_path, HEAD + code, train={"objective": {"name": "f"}})
    kind = type(plan.runs[0].train.objective)
    text = "Random projections per sample; one backward pass each."
    assert kind.model_json_schema()["properties"]["projections"]["description"] == text


def test_names_that_one_kind_reserves_are_options_of_another(tmp_path):
    code = "@sampler\ndef f(score, x, sigmas, *, source: str, projections: int = 2): return x\n"
    sampler = {"name": "f", "source": "a"}
    plan = plan_in(tmp_path, HEAD + code, sample={"sampler": sampler, "grid": {}})
    arguments = plan.settings[0].sample.sampler.arguments()
    assert arguments == {"source": "a", "projections": 2}


def test_studies_share_no_dataset_of_two_plugins_with_one_version(tmp_path):
    code = "@dataset(version='1')\ndef rings():\n    return 0, {}\n"
    data = {"dataset": {"name": "rings"}, "train": {"network": MLP, "grid": {}}}
    found = {plan_in(tmp_path, HEAD + code.format(k), **data).study.dataset[0].id for k in (1, 2)}
    assert len(found) == 2


@pytest.mark.parametrize("order", ["@torch.no_grad()\n@sampler\n", "@sampler\n@torch.no_grad()\n"])
def test_a_method_with_further_decorators_is_called_with_all_of_them(tmp_path, order):
    import torch

    methods = METHODS.replace("@sampler\n", order).replace(
        "    x, velocity", "    return torch.is_grad_enabled()\n    x, velocity"
    )
    sampler = plan_in(tmp_path, methods, sample={"sampler": BALL, "grid": {}}).settings[0].sample
    with torch.enable_grad():
        assert sampler.sampler.load()(None, torch.zeros(1), None, step_size=1.0) is False


def test_a_file_that_is_listed_twice_is_loaded_once(tmp_path):
    sample = {"sampler": BALL, "grid": {}}
    once = plan_in(tmp_path, sample=sample)
    twice = plan_in(tmp_path, sample=sample, plugins=["my_methods.py", "./my_methods.py"])
    assert ids(twice) == ids(once)
    assert twice.settings[0].sample.sampler.origin.plugin.source == "my_methods.py"


@pytest.mark.parametrize("source", ["package_of_balls.methods", "space_of_balls.package.methods"])
def test_the_package_of_an_installed_module_counts_for_ids(tmp_path, monkeypatch, source):
    """All of it, because the module may import it; a namespace around it does not count."""
    folder = tmp_path / "installed" / Path(*source.split(".")[:-1])
    (folder / "inner").mkdir(parents=True)
    for file in ("__init__.py", "inner/__init__.py", "inner/steps.py", "methods.py"):
        (folder / file).write_text("")
    (folder / "methods.py").write_text("from .inner.steps import heavy_ball\n")
    (folder / "inner/steps.py").write_text(METHODS)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    first = find_module(source, "")
    (folder / "inner/steps.py").write_text(METHODS + "# edited\n")
    second = find_module(source, "")
    assert first.path == second.path == folder
    assert first.sha256 != second.sha256


def test_two_modules_of_a_package_are_two_plugins(tmp_path, monkeypatch):
    folder = tmp_path / "installed/pair_of_balls"
    folder.mkdir(parents=True)
    for name in ("first", "second"):
        (folder / f"{name}.py").write_text(
            METHODS.replace("heavy_ball", name).replace("Small", name.title())
        )
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    samplers = [BALL | {"name": name} for name in ("first", "second")]
    plugins = ["pair_of_balls.first", "pair_of_balls.second"]
    plan = plan_in(tmp_path, plugins=plugins, sample={"grid": {"sampler": samplers}})
    assert [plugin.source for plugin in plan.plugins] == plugins


def test_an_installed_module_that_is_another_one_here_is_refused(tmp_path, monkeypatch):
    """A process that finds a module elsewhere, as on another machine."""
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "balls_of_two_places.py").write_text(f"# {place}\n{METHODS}")
    monkeypatch.syspath_prepend(tmp_path / "here")
    planned = find_module("balls_of_two_places", "")
    monkeypatch.syspath_prepend(tmp_path / "there")
    with pytest.raises(InputError) as error:
        load_plugin(planned)
    assert planned.sha256 in str(error.value)
    assert find_module("balls_of_two_places", "").sha256 in str(error.value)
    del sys.modules["balls_of_two_places"]


def test_a_loaded_module_that_has_changed_since_is_refused(tmp_path, monkeypatch):
    (tmp_path / "installed").mkdir()
    module = tmp_path / "installed/balls_that_change.py"
    module.write_text(METHODS)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    write_study(tmp_path, plugins=["balls_that_change"], sample={"sampler": BALL, "grid": {}})
    load_study(tmp_path / "study.yaml")
    module.write_text(METHODS + "# edited\n")
    with pytest.raises(InputError, match=r"balls_that_change\.py: has SHA-256 \w+ in this process"):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_code_that_runs_is_the_code_that_was_hashed(tmp_path, is_folder):
    """A plugin that edits its own file while it is loaded."""
    edit = (
        "from pathlib import Path; file = Path(__file__).with_name('my_balls.py')\n"
        "file.write_text(file.read_text().replace('= 0.5', '= 0.7'))\n"
    )
    folder = tmp_path / "mine" if is_folder else tmp_path
    folder.mkdir(exist_ok=True)
    if is_folder:
        (folder / "__init__.py").write_text(edit + "from .my_balls import heavy_ball\n")
    code = METHODS.replace("\nimport torch", f"\n{'' if is_folder else edit}import torch")
    (folder / "my_balls.py").write_text(code)
    source = "mine" if is_folder else "my_balls.py"
    path = write_study(tmp_path, plugins=[source], sample={"sampler": BALL, "grid": {}})
    assert load_study(path).sample.sampler.momentum == 0.5
    assert load_study(path).sample.sampler.momentum == 0.7
    assert not list(folder.glob("**/__pycache__"))


def test_an_unknown_id_may_be_due_to_another_plugin(tmp_path):
    sample = {"sampler": BALL, "grid": {}}
    planned = plan_in(tmp_path, METHODS + "# edited\n", sample=sample).settings[0].id
    with pytest.raises(InputError, match=r"my_methods\.py") as error:
        plan_in(tmp_path, sample=sample).setting(planned)
    assert error.value.exit_code == 2
    with pytest.raises(InputError) as error:
        tiny_plan(tmp_path).setting(planned)
    assert "plugin" not in str(error.value)


def test_the_schema_of_a_study_has_the_options_of_its_plugins(tmp_path, scoresweep):
    path = write_study(tmp_path)
    done = scoresweep("schema", path)
    sampler = json.loads(done.stdout)["$defs"]["HeavyBall"]
    assert sampler["description"] == "Annealed Langevin dynamics with momentum."
    assert sampler["properties"]["step_size"]["exclusiveMinimum"] == 0
    assert sampler["properties"]["momentum"] | {"title": ""} == {
        "default": 0.5,
        "description": "share of the last step that is added.",
        "title": "",
        "type": "number",
    }
    assert "HeavyBall" not in scoresweep("schema").stdout


def test_an_installed_package_offers_its_methods_to_studies_that_use_them(tmp_path, monkeypatch):
    install(tmp_path / "site", heavy_ball="heavy_ball")
    monkeypatch.syspath_prepend(tmp_path / "site")
    plan_in(tmp_path, plugins=[])
    assert "balls_to_install" not in sys.modules
    sample = {"grid": {"sampler": [LANGEVIN, BALL]}}
    plan = plan_in(tmp_path, plugins=[], sample=sample)
    assert plan.settings[1].sample.sampler.load().__module__ == "balls_to_install"
    named = plan_in(tmp_path, plugins=["balls_to_install"], sample=sample)
    assert ids(named) == ids(plan)
    del sys.modules["balls_to_install"]


def test_an_entry_point_has_the_name_of_its_method(tmp_path, monkeypatch):
    install(tmp_path / "site", ball="heavy_ball")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(InputError, match="is offered as 'ball'"):
        plan_in(tmp_path, plugins=[], sample={"sampler": {"name": "ball"}, "grid": {}})
    del sys.modules["balls_to_install"]


def test_an_earlier_content_of_a_plugin_is_kept_and_named(tmp_path):
    sample = {"grid": {"sampler": [LANGEVIN, BALL]}}
    before = plan_in(tmp_path, sample=sample)
    (tmp_path / "my_methods.py").write_text("edited meanwhile")
    keep_copies(before.paths, *before.plugins)
    (copy,) = before.paths.plugin_copy("", "").parent.iterdir()
    assert json.loads(copy.read_text())["files"] == {"my_methods.py": METHODS}
    assert before.edited_plugins() == {}
    after = plan_in(tmp_path, METHODS + "# edited\n", sample=sample)
    (plugin,) = after.plugins
    assert after.edited_plugins() == {plugin: before.plugins[0].sha256}
    with pytest.raises(InputError) as error:
        after.setting(before.settings[1].id)
    assert plugin.sha256 in str(error.value)
    assert before.plugins[0].sha256 in str(error.value)
