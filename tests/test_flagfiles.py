"""The flagfiles against the paper's tables, typed in here once more."""

import re

import pytest
from conftest import ROOT

from analysis.paper.published import numbers
from train import options
from train.sweeps import grid

FOLDER = ROOT / "train" / "flagfiles"
EXPERIMENTS = sorted(
    path
    for path in FOLDER.glob("*/*.flags")
    if path.parent.name not in ("shared", "grid_search", "small", "long", "studies")
)
DATASETS = ("cifar10", "cifar100", "tiny_imagenet", "imagenet2012")

# Tables 3 to 6: learning rates and weight decays of Convention and then of Swap, by data set.
HYPER_PARAMETERS = {
    ("vgg16", "tanh"): """
        0.1    0.01   0.01  0.01      0.01  0.1    0.01  0.01
        0.0001 0.0005 0.001 0.0001    0.001 0.0005 0.001 0.001""",
    ("vgg16", "relu"): """
        0.01  0.01  0.1    0.1        0.01  0.01  0.01  0.01
        0.001 0.005 0.0001 0.0001     0.001 0.005 0.001 0.0005""",
    ("mobilenet", "tanh"): """
        0.1    0.1    0.01   0.1      0.1    0.1    0.1    0.1
        0.0001 0.0005 0.0001 0.0001   0.0001 0.0005 0.0001 0.0001""",
    ("mobilenet", "relu"): """
        0.01  0.01  0.01  0.01        0.01  0.01  0.01  0.1
        0.001 0.005 0.005 0.0001      0.001 0.005 0.005 0.0001""",
}
# Table 1: Convention and Swap, by data set.
ACCURACIES = {
    ("vgg16", "tanh"): "91.75 92.90  64.84 72.17  49.29 57.05  60.85 67.04",
    ("mobilenet", "tanh"): "91.54 92.48  64.47 70.63  50.85 51.79  64.26 72.07",
    ("vgg16", "relu"): "93.69 93.04  73.68 71.79  61.54 59.045  73.83 72.95",
    ("mobilenet", "relu"): "92.2 91.93  70.06 69.49  59.79 59.1  70.48 71.1",
}
# Of single experiments: the published accuracy, and the values that tell which it is.
SINGLE = {
    "table2/tanh_convention": (69.5, "vgg16_11 tanh convention 0.01 0.0005"),
    "table2/tanh_swap": (74.11, "vgg16_11 tanh swap 0.1 0.0005"),
    "table2/lecun_tanh_convention": (67.82, "vgg16_11 lecun_tanh convention 0.01 0.0005"),
    "table2/lecun_tanh_swap": (74.46, "vgg16_11 lecun_tanh swap 0.1 0.0005"),
    "table2/softsign_convention": (70.01, "vgg16_11 softsign convention 0.01 0.0005"),
    "table2/softsign_swap": (73.65, "vgg16_11 softsign swap 0.1 0.0005"),
    "figure5/nwdbn": (72.27, "vgg16_11 tanh convention 0.01 0.0005"),
    "figure10/nobn": (61.06, "vgg16 tanh nobn 0.01 0.0005"),
    "figure10/convention": (64.84, "vgg16 tanh convention 0.01 0.0005"),
    "section2/vgg11_convention": (64.55, "vgg11 tanh convention 0.01 0.0005"),
    "section2/vgg11_swap": (69.94, "vgg11 tanh swap 0.1 0.0005"),
    "table7/vgg16_16": (72.17, "vgg16 tanh swap 0.1 0.0005"),
    "table7/vgg16_15": (73.02, "vgg16_15 tanh swap 0.1 0.0005"),
    "table7/vgg16_14": (73.48, "vgg16_14 tanh swap 0.1 0.0005"),
    "table7/vgg16_13": (73.85, "vgg16_13 tanh swap 0.1 0.0005"),
    "table7/vgg16_12": (73.76, "vgg16_12 tanh swap 0.1 0.0005"),
    "table7/vgg16_11": (73.92, "vgg16_11 tanh swap 0.1 0.0005"),
    "table7/vgg16_10": (72.57, "vgg16_10 tanh swap 0.1 0.0005"),
    "table7/vgg16_9": (70.91, "vgg16_9 tanh swap 0.1 0.0005"),
    "table7/vgg16_8": (70.69, "vgg16_8 tanh swap 0.1 0.0005"),
}
SWEEPS = {
    "figure5/sweep": (33, "beta_weight_decay", [0] + [i / 10000 for i in range(1, 11)]),
    "figure7/sweep": (21, "gamma_weight_decay", [0, 1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4]),
    "figure18/sweep": (12, "gamma_weight_decay", [1e-3, 5e-3, 1e-2, 5e-2]),
}


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def flags_of(name):
    return options.parse([f"--flagfile=train/flagfiles/{name}.flags"])


def runs_of(*names):
    sweep, common = options.parse_sweep([f"--flagfile=train/flagfiles/{n}.flags" for n in names])
    return grid.runs(grid.parse(sweep.grid), common)


def published(name):
    header = [
        line for line in (FOLDER / f"{name}.flags").read_text().splitlines() if line[0] == "#"
    ]
    return float(re.search(r"Published(?: at full scale)?: ([\d.]+) %", " ".join(header))[1])


@pytest.mark.parametrize(("model", "activation"), HYPER_PARAMETERS)
def test_tables_1_and_3_to_6(model, activation):
    rates, decays = (
        [float(x) for x in line.split()]
        for line in HYPER_PARAMETERS[model, activation].strip().splitlines()
    )
    accuracies = [float(x) for x in ACCURACIES[model, activation].split()]
    for column, order in enumerate(("convention", "swap")):
        for row, dataset in enumerate(DATASETS):
            name = f"table1/{model}_{activation}_{dataset}_{order}"
            flags = flags_of(name)
            assert (flags.model, flags.activation) == (model, activation)
            assert (flags.dataset, flags.order) == (dataset, order)
            assert flags.learning_rate == rates[4 * column + row]
            assert flags.weight_decay == decays[4 * column + row]
            assert published(name) == accuracies[2 * row + column]
            imagenet = dataset == "imagenet2012"
            late = imagenet and order == "swap"
            drops = [60, 90] if late else [30, 60] if imagenet else [100, 150]
            expected = (100, 256, drops) if imagenet else (200, 128, drops)
            assert (flags.epochs, flags.batch_size, flags.learning_rate_drops) == expected


@pytest.mark.parametrize("name", SINGLE)
def test_single_experiments(name):
    accuracy, settings = SINGLE[name]
    flags = flags_of(name)
    given = (flags.model, flags.activation, flags.order, flags.learning_rate, flags.weight_decay)
    assert " ".join(map(str, given)) == settings
    assert (flags.dataset, flags.epochs, flags.batch_size) == ("cifar100", 200, 128)
    assert flags.learning_rate_drops == [100, 150]
    assert published(name) == accuracy
    off = 0.0 if name == "figure5/nwdbn" else None
    assert (flags.gamma_weight_decay, flags.beta_weight_decay) == (off, off)


def test_the_learning_curves_have_one_set_of_hyper_parameters():
    texts = [
        options.as_text(flags_of(name)) for name in ("figure16/swap", "table2/tanh_convention")
    ]
    assert texts[0].replace("order=swap", "order=convention") == texts[1]


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps(name):
    number, varied, values = SWEEPS[name]
    runs = runs_of(name)
    assert len(runs) == number
    assert sorted({run.flags[varied].value for run in runs}) == values
    assert {run.flags.seed for run in runs} == {0, 1, 2}
    for run in runs:
        if name == "figure5/sweep":
            assert run.flags.gamma_weight_decay == 0.0
            assert run.flags.order == "convention"
        else:
            assert run.flags.gamma_weight_decay == run.flags.beta_weight_decay
            assert (run.flags.order, run.flags.weight_decay) == ("swap", 0.0005)


def test_the_headers_say_what_the_analysis_compares_with():
    rows = [row for row in numbers() if row["flagfile"] and row["quantity"] == "accuracy"]
    assert {row["flagfile"] for row in rows} >= {*SINGLE}
    for row in rows:
        # VGG16's run is that of VGG16_16, too, for which table 7 has the same number.
        assert published(row["flagfile"]) == float(row["value"]), row


def test_grid_searches():
    runs = runs_of("table1/mobilenet_relu_cifar10_swap", "grid_search/cifar_and_tiny_imagenet")
    found = {(run.flags.learning_rate, run.flags.weight_decay, run.flags.seed) for run in runs}
    decays = (0.005, 0.001, 0.0005, 0.0001)
    assert found == {(r, w, s) for r in (0.1, 0.01) for w in decays for s in (0, 1, 2)}
    assert {(run.flags.model, run.flags.order) for run in runs} == {("mobilenet", "swap")}
    runs = runs_of("table1/vgg16_tanh_imagenet2012_swap", "grid_search/imagenet")
    found = {(run.flags.learning_rate, run.flags.weight_decay) for run in runs}
    assert found == {(r, w) for r in (0.1, 0.01) for w in decays[1:]}
    assert {(run.flags.seed, run.flags.early_stopping_patience) for run in runs} == {(0, 10)}


# The reproductions at a scale for two cores, and what they reproduce.
SMALL = {
    "vgg16_11_tanh_convention": "table2/tanh_convention",
    "vgg16_11_tanh_nwdbn": "figure5/nwdbn",
    "vgg16_11_tanh_swap": "table2/tanh_swap",
    "vgg16_11_lecun_tanh_convention": "table2/lecun_tanh_convention",
    "vgg16_11_lecun_tanh_swap": "table2/lecun_tanh_swap",
    "vgg16_11_softsign_convention": "table2/softsign_convention",
    "vgg16_11_softsign_swap": "table2/softsign_swap",
    "mobilenet_tanh_convention": "table1/mobilenet_tanh_cifar100_convention",
    "mobilenet_tanh_swap": "table1/mobilenet_tanh_cifar100_swap",
}
LONG = {
    name.removeprefix("vgg16_11_"): experiment
    for name, experiment in SMALL.items()
    if name.startswith("vgg16_11_tanh")
}
REPRODUCTIONS = {
    **{f"small/{name}": experiment for name, experiment in SMALL.items()},
    **{f"long/{name}": experiment for name, experiment in LONG.items()},
}


# Sweeps at small scale, with three seeds: how many runs, what varies, and what else they have in
# common: learning rate, weight decay, and those of gamma and beta.
SMALL_SWEEPS = {
    "figure5": (12, "beta_weight_decay", {0, 0.01, 0.03, 0.06}, (0.01, 0.0005)),
    "figure7_and_18": (18, "gamma_weight_decay", {0, 1e-4, 5e-4, 1e-3, 0.01, 0.1}, (0.01, 0.001)),
    "figure16_and_17": (6, "order", {"convention", "swap"}, (0.01, 0.001)),
}


@pytest.mark.parametrize("name", SMALL_SWEEPS)
def test_sweeps_at_small_scale(name):
    number, varied, values, common = SMALL_SWEEPS[name]
    runs = [run.flags for run in runs_of(f"small/{name}")]
    assert len(runs) == number
    assert {run[varied].value for run in runs} == values
    assert {run.seed for run in runs} == {0, 1, 2}
    scale = runs_of("small/vgg16_11_tanh_swap")[0].flags
    alike = ("width", "train_examples", "epochs", "learning_rate_drops", "batch_size", "model")
    for run in runs:
        assert (run.learning_rate, run.weight_decay) == common
        assert run.validation_fraction == 0.0
        assert all(run[flag].value == scale[flag].value for flag in (*alike, "activation"))
        if varied == "gamma_weight_decay":
            assert (run.order, run.beta_weight_decay) == ("swap", run.gamma_weight_decay)
        if varied == "beta_weight_decay":
            assert (run.order, run.gamma_weight_decay) == ("convention", 0.0)
    assert f"Cost: {number} runs" in (FOLDER / f"small/{name}.flags").read_text()


def test_every_reproduction_is_here():
    found = {
        str(p.relative_to(FOLDER)) for part in ("small", "long") for p in FOLDER.glob(f"{part}/*")
    }
    sweeps = {f"small/{name}" for name in SMALL_SWEEPS}
    assert found == {f"{name}.flags" for name in {*REPRODUCTIONS, *sweeps}}


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_reproductions_at_a_scale_for_two_cores(name):
    small = name.startswith("small/")
    sweep, flags = options.parse_sweep([f"--flagfile=train/flagfiles/{name}.flags"])
    nwdbn = name.endswith("nwdbn")
    order = "nwdbn" if nwdbn and flags.order == "convention" else flags.order
    model = f"{flags.model}_" if small else ""
    assert f"{model}{flags.activation}_{order}" == name.split("/")[1]
    assert flags.model == "vgg16_11" or small
    off = 0.0 if nwdbn else None
    assert (flags.gamma_weight_decay, flags.beta_weight_decay) == (off, off)
    assert (flags.width, flags.validation_fraction, flags.dataset) == (0.25, 0.1, "cifar100")
    assert (flags.train_examples, flags.epochs) == ((20_000, 8) if small else (None, 60))
    assert (flags.learning_rate_drops, flags.batch_size) == ([4, 6] if small else [30, 45], 128)
    # The paper's (A.1).
    grids = ["learning_rate=0.1,0.01", "weight_decay=0.0001,0.0005,0.001,0.005"]
    assert (sweep.grid, sweep.final) == (grids, ["seed=0,1,2"])
    assert sweep.search_epochs == ([] if small else [15])
    assert published(name) == published(REPRODUCTIONS[name])
    header = (FOLDER / f"{name}.flags").read_text()
    assert re.search(r"Cost: 11 runs, about \d+ minutes", header)


@pytest.mark.parametrize(
    ("name", "optimizer", "rates", "decays"),
    [
        ("search", "sgd", {0.1, 0.03, 0.01, 0.003}, {1e-4, 5e-4, 1e-3, 5e-3}),
        ("sgd", "sgd", {0.1, 0.03, 0.01, 0.003}, {1e-4, 5e-4, 1e-3, 5e-3}),
        ("adamw", "adamw", {0.003, 0.001, 0.0003, 0.0001}, {0.0, 0.05, 0.5, 5.0}),
    ],
)
def test_the_studies_search_as_widely(name, optimizer, rates, decays):
    runs = runs_of(f"studies/{name}")
    sweep, _ = options.parse_sweep([f"--flagfile=train/flagfiles/studies/{name}.flags"])
    assert (sweep.search_epochs, sweep.final) == ([2, 8], ["seed=0,1,2"])
    names = ("learning_rate", "weight_decay")
    assert len({tuple(run.flags[name].value for name in names) for run in runs}) == 16
    assert {run.flags.learning_rate for run in runs} == rates
    assert {run.flags.weight_decay for run in runs} == decays
    assert {run.flags.validation_fraction for run in runs} == {0.1}
    assert {run.flags.optimizer for run in runs} == {optimizer}


def test_every_file_is_tested_states_itself_and_has_a_header():
    tested = {
        f"table1/{m}_{a}_{d}_{o}"
        for m, a in HYPER_PARAMETERS
        for d in DATASETS
        for o in ("convention", "swap")
    }
    tested |= {*SINGLE, *SWEEPS, "figure16/swap"}
    names = {str(path.relative_to(FOLDER))[: -len(".flags")] for path in EXPERIMENTS}
    assert names == tested
    for path in FOLDER.glob("*/*.flags"):
        text = path.read_text()
        assert text.startswith("# ")
        if path in EXPERIMENTS and path.name != "sweep.flags":
            assert re.search(r"Cost: [\d.,]+ PFLOP", text.replace("\n# ", " "))
            for flag in ("model", "activation", "order", "dataset"):
                assert re.search(rf"^--{flag}=\w+$", text, re.MULTILINE), path
