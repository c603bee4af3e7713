"""Flags, flagfiles and grids, generated: what is refused, and what is accepted all the same."""

import itertools
import math
import re

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from train import flag_text, options
from train.errors import UsageError
from train.sweeps import grid

properties = settings(max_examples=250, deadline=None)

# What Python takes for a number, nearly does, or should not have been given.
NEAR = [
    *("0", "1", "2", "5", "-1", "+1", "-0", "-0.0", " 1", "1 ", "\n1", "1_000", "1__0", "01", "1."),
    *("1e3", "1e400", "-1e400", "1e-400", "4e38", "0x10", "0b1", "१", "½", "1e", "0.1", "1e-1"),
    *("nan", "NaN", "inf", "-inf", "Infinity", "2147483647", "2147483648", "9" * 400, "9" * 5000),
    *("", " ", "True", "true", "f", "None", "none", "--", "-", "=", "1,2", "2,1", "1,,2", "0.999"),
    *("__main__:f", "math:f", "math.x:f", "no_such:f", ":", "a:b:c", "\0", "\u2028", "\ufeff1"),
]
# Values that every flag takes by itself, if not beside all others.
SENSIBLE = {
    "dataset": st.sampled_from(["digits", "cifar10", "image_folder"]),
    "data_dir": st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=9),
    "image_size": st.integers(32, 300).map(str),
    "train_examples": st.integers(1, 10**6).map(str),
    "validation_fraction": st.floats(0.0, 0.99).map(str),
    "model": st.sampled_from(["vgg16", "vgg16_9", "vgg11", "mobilenet", "resnet20", "vit_dyt"]),
    "activation": st.sampled_from(["tanh", "erf", "relu", "math:tanh"]),
    "order": st.sampled_from(["swap", "convention", "nobn"]),
    "width": st.floats(1e-3, 99.0).map(str),
    "epochs": st.integers(6, 400).map(str),
    "batch_size": st.sampled_from(["2", "32", "1_024", "१२"]),
    "learning_rate": st.floats(1e-300, 1e30).map(str),
    "learning_rate_drops": st.sampled_from(["", "1", "2,5", " 3, 4", "0.5", "0.1,.9"]),
    "optimizer": st.sampled_from(["sgd", "adamw", "lamb", "muon"]),
    "learning_rate_schedule": st.sampled_from(["steps", "cosine"]),
    "warmup_fraction": st.floats(1e-9, 0.999).map(str),
    "label_smoothing": st.floats(0.0, 0.999).map(str),
    "momentum": st.floats(0.0, 0.999).map(str),
    "weight_decay": st.floats(0.0, 3.0).map(str),
    "beta_weight_decay": st.sampled_from(["-0", "1e-400", "1e-4"]),
    "early_stopping_patience": st.integers(1, 9).map(str),
    "seed": st.integers(0, 2**31 - 1).map(str),
    "strategy": st.sampled_from(["auto", "single", "mirrored"]),
    "replicas": st.sampled_from(["1", "2"]),
    "precision": st.sampled_from(["tf32", "float32", "bfloat16", "float64"]),
    "deterministic": st.sampled_from(["true", "0", "t"]),
    "export": st.sampled_from(["none", "saved_model", "tflite,tflite_dynamic"]),
}
# Just outside of what flags take.
EDGES = {
    "learning_rate": ["0", "-1e-9", "1e-400"],
    "learning_rate_drops": [
        "1,1",
        "5,2",
        "0",
        "6",
        "10",
        "400",
        "0.5,0.5",
        "0.9,0.1",
        "0.5,1.5",
        "nan",
    ],
    "validation_fraction": ["1", "-1e-9", "0.99999999999999999999"],
    "momentum": ["1", "-1e-9"],
    "warmup_fraction": ["0", "1"],
    "label_smoothing": ["-1e-9", "1"],
    "width": ["0", "100"],
    "epochs": ["0", "1", "3"],
    "batch_size": ["1", "3"],
    "seed": ["-1", str(2**31)],
    "order": ["Swap"],
}
FLAGS = [*options.define()]
BOOLEANS = [name for name in FLAGS if options.define()[name].boolean]
text = st.text(max_size=12)


@st.composite
def misspelt(draw, words):
    """One of the words, with a letter changed, left out or doubled."""
    word = draw(st.sampled_from(words))
    at = draw(st.integers(0, len(word) - 1))
    return word[:at] + draw(st.sampled_from(["", "x", word[at] * 2, "İ"])) + word[at + 1 :]


@st.composite
def sensible(draw, names=(*SENSIBLE,)):
    """A flag with a value that it takes."""
    name = draw(st.sampled_from(names))
    return f"--{name}={draw(SENSIBLE[name])}"


@st.composite
def odd(draw):
    """A flag, or nearly one, with a value that it may not take, in any form."""
    name = draw(st.sampled_from(FLAGS) | misspelt(FLAGS))
    value = draw(st.sampled_from(NEAR) | misspelt(["vgg16_11", "swap", "tanh", "digits"]) | text)
    forms = [
        *["--{}={}"] * 9,
        "-{}={}",
        "--no{}={}",
        "--{}",
        "--no{}",
        "{}={}",
        "--{} {}",
        "---{}={}",
    ]
    return draw(st.sampled_from(forms)).format(name, value)


edges = st.sampled_from([f"--{name}={value}" for name in EDGES for value in EDGES[name]])
some_flags = sensible() | sensible() | sensible() | edges | odd()
arguments = st.lists(some_flags, max_size=4) | st.lists(odd() | text, min_size=1, max_size=2)


def parsed(given, parse=options.parse):
    """What is accepted, or None; a refusal is one line."""
    try:
        return parse(given)
    except UsageError as error:
        refusal = str(error)
    assert refusal.strip()
    assert len(refusal.splitlines()) == 1
    return None


def check_sense(flags):
    """What holds of a run's flags, by itself and not as `train.options` has it."""
    values = {name: flags[name].value for name in flags}
    numbers = [value for value in values.values() if isinstance(value, int | float)]
    assert all(map(math.isfinite, numbers))
    assert all(math.copysign(1.0, number) == 1.0 for number in numbers)
    assert flags.learning_rate > 0.0
    assert 0.0 < flags.width < 100.0
    assert 0.0 <= flags.validation_fraction < 1.0
    assert 0.0 <= flags.label_smoothing < 1.0
    if flags.optimizer == "sgd":
        assert 0.0 <= flags.momentum < 1.0
    else:
        assert flags.optimizer in {"adamw", "lamb", "muon"}
        assert flags.momentum is None
        decays = {flags.gamma_weight_decay, flags.beta_weight_decay}
        assert decays <= {None, 0.0, flags.weight_decay}
    if flags.learning_rate_schedule == "cosine":
        assert flags.learning_rate_drops == []
    else:
        assert flags.learning_rate_schedule == "steps"
        assert flags.warmup_fraction is None
    for name in ("epochs", "batch_size", "seed", "replicas", "statistics_every"):
        assert values[name] is None or (type(values[name]) is int and values[name] < 2**31)
    assert flags.epochs >= 1
    assert flags.seed >= 0
    assert flags.batch_size >= 2
    assert flags.batch_size % (flags.replicas or 1) == 0
    drops = [0, *flags.learning_rate_drops, flags.epochs]
    assert all(earlier < later for earlier, later in itertools.pairwise(drops))
    networks = r"vgg16(_([89]|1[0-5]))?|vgg11|mobilenet|resnet(20|32|44|56|110)|vit_(layernorm|dyt)"
    assert re.fullmatch(networks, flags.model, re.ASCII)
    assert flags.order == "nobn" or not flags.model.startswith("vit")
    assert flags.order in {"swap", "convention", "nobn"}
    assert flags.precision in {"tf32", "float32", "bfloat16", "float64"}
    assert flags.strategy in {"auto", "single", "mirrored"}
    assert {type(values[name]) for name in BOOLEANS} <= {bool, type(None)}
    for name in ("run_dir", "data_dir"):
        assert values[name] is None or (values[name] and values[name].isprintable())


@properties
@given(arguments)
@example(["--nodeterministic=true"])
@example(["--epochs=5", "--learning_rate_drops=5"])
@example(["--learning_rate_drops=1,1"])
@example(["--batch_size=3", "--strategy=mirrored", "--replicas=2"])
@example(["--momentum=1"])
@example(["a\nb"])
@example([f"--epochs={'9' * 400}"])
def test_what_is_given_is_refused_in_a_line_or_makes_sense(given):
    flags = parsed(given)
    if flags is not None and not flags.help:
        check_sense(flags)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a flagfile may name: all but what is generated."""
    folder = tmp_path_factory.mktemp("flagfiles")
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "seed").write_text("# nested\n--seed=3\n")
    return folder


NAMES = ("one", "two", "empty", "seed", "folder", "binary", "missing", "a\0b", "", " ")
directive = st.sampled_from(NAMES).map(lambda name: f"--flagfile=FOLDER/{name}")
between = st.sampled_from(["", "  \t", "# é\u2028", "// x", "--", "#--seed=x"])
passed_over = st.sampled_from(["--undefok=epoch", "--flagfile", "--epoch=3"])
lines = st.lists(some_flags | between | between | directive | passed_over | text, max_size=4)


@properties
@given(lines, lines, st.sampled_from(["\n", "\r\n", "\r"]), st.binary(max_size=1))
@example(one=["--undefok=epoch", "--epoch=3"], two=[], ending="\n", last=b"")
@example(one=["--flagfile=FOLDER/one"], two=[], ending="\n", last=b"")
def test_a_flagfile_is_refused_in_a_line_or_makes_sense(folder, one, two, ending, last):
    for name, content in (("one", one), ("two", two)):
        text = "".join(line.replace("FOLDER", str(folder)) + ending for line in content)
        (folder / name).write_bytes(text.encode() + last)
    flags = parsed([f"--flagfile={folder / 'one'}"])
    if flags is None or flags.help:
        return
    check_sense(flags)
    # What absl would pass over.
    assert "--undefok=epoch" not in one
    assert "--flagfile=FOLDER/one" not in one
    assert "--epoch=3" not in one


@properties
@given(
    st.lists(sensible() | sensible() | edges, max_size=6),
    st.lists(between.filter("--".__ne__), max_size=3),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "  ", "\t"]),
)
@example(given=["--data_dir=a "], between=[], ending="\n", indent="")
def test_flags_written_down_are_read_as_the_same(folder, given, between, ending, indent):
    flags = parsed(given)
    if flags is None:
        reject()
    check_sense(flags)
    text = options.as_text(flags)
    assert options.as_text(options.parse(text.splitlines())) == text
    noisy = [line for flag in text.splitlines() for line in (*between, f"{indent}{flag}  ")]
    (folder / "noisy").write_bytes(ending.join(noisy).encode())
    again = options.parse([f"--flagfile={folder / 'noisy'}"])
    assert options.as_text(again) == text
    written = flag_text.parsed(text)
    assert float(written["learning_rate"]) == flags.learning_rate
    assert written.get("data_dir") == flags.data_dir


@st.composite
def grids(draw):
    """A `--grid`, of values that go or that do not."""
    names = st.sampled_from([*SENSIBLE])
    name = draw(names | names | names | st.sampled_from(FLAGS) | misspelt(FLAGS))
    value = SENSIBLE.get(name, text)
    values = draw(st.lists(value, min_size=1, max_size=3) | st.lists(value | st.sampled_from(NEAR)))
    key = draw(st.sampled_from([*[name] * 5, f"gamma_weight_decay+{name}", f"{name}+"]))
    return f"--grid={key}={','.join(values)}"


def swept(given):
    """The runs of a sweep, as `train.sweep` finds them."""
    sweep, common = options.parse_sweep(given)
    found = grid.parse(sweep.grid)
    grid.check_not_given(given, found)
    return grid.runs(found, common)


@properties
@given(st.lists(grids(), min_size=1, max_size=2), st.lists(some_flags, max_size=2))
@example(["--grid=seed=1,01"], [])
@example(["--grid=weight_decay=0,-0"], [])
@example(["--grid=seed=\n1"], [])
def test_the_runs_of_a_grid_make_sense_and_are_others_each(given, common):
    runs = parsed([*common, *given], swept)
    if runs is None:
        return
    for run in runs:
        check_sense(run.flags)
        assert run.name.isprintable()
        assert not set(run.name) & {"/", "*"}
        for key, value in run.settings.items():
            for name in key.split("+"):
                assert run.flags[name].value == run.flags[name].parser.parse(value)
    assert len({options.as_text(run.flags) for run in runs}) == len(runs)
