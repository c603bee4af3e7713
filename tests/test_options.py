import inspect

import pytest
from absl import flags as absl_flags

from keras_bnact import exporting, layers, models
from train import names, options, run_directory
from train.errors import UsageError


def test_defaults_are_accepted():
    flags = options.parse([])
    assert (flags.dataset, flags.model, flags.activation, flags.order) == (
        "digits",
        "vgg16_11",
        "tanh",
        "swap",
    )
    assert flags.learning_rate_drops == []
    assert flags.gamma_weight_decay is None


def test_names_are_the_librarys(run_python):
    assert names.ORDERS == layers.ORDERS
    assert names.EXPORTS == (*exporting.SUFFIXES,) == (*run_directory.EXPORTS,)
    for name, file in run_directory.EXPORTS.items():
        assert file.endswith(exporting.SUFFIXES[name])
    # In a process of its own, since tests register more.
    code = "from keras_bnact import activations; print(*activations.names())"
    assert run_python("-c", code).stdout.split() == [*names.ACTIVATIONS]
    for name, (function, arguments) in names.MODELS.items():
        signature = inspect.signature(getattr(models, function))
        signature.bind(**arguments)
        assert (name in names.UNNORMALIZED) == ("order" not in signature.parameters)


def test_text_reads_back_as_the_same_flags(tmp_path):
    given = [
        "--model=mobilenet",
        "--learning_rate_drops=100,150",
        "--epochs=200",
        "--weight_decay=1e-05",
        "--beta_weight_decay=0",
        "--deterministic",
        f"--data_dir={tmp_path}/with space",
        "--run_dir=somewhere",
    ]
    text = options.as_text(options.parse(given))
    assert "run_dir" not in text
    assert "flagfile" not in text
    (tmp_path / "flags.txt").write_text(text)
    again = options.parse([f"--flagfile={tmp_path / 'flags.txt'}"])
    assert options.as_text(again) == text
    assert again.learning_rate_drops == [100, 150]
    assert again.beta_weight_decay == 0.0
    assert again.deterministic


def test_minus_zero_is_zero():
    text = options.as_text(options.parse(["--weight_decay=-0"]))
    assert text == options.as_text(options.parse(["--weight_decay=0"]))


def test_flags_after_a_flagfile_win_and_flagfiles_nest(tmp_path):
    (tmp_path / "base").write_text("# shared\n--epochs=50\n--width=0.5\n")
    (tmp_path / "cell").write_text(f"--flagfile={tmp_path / 'base'}\n--width=0.25\n")
    flags = options.parse([f"--flagfile={tmp_path / 'cell'}", "--seed=3"])
    assert (flags.epochs, flags.width, flags.seed) == (50, 0.25, 3)


MISTAKES = [
    (["--dataset=cifar"], "--dataset=cifar.*digits.*imagenet2012.*did you mean cifar10?"),
    (["--model=vgg16_7"], "--model=vgg16_7.*mobilenet.*did you mean vgg16"),
    (["--activation=softsing"], "softsing.*lecun_tanh.*did you mean softsign?"),
    (["--activation=no_such_module:f"], "activation=no_such_module:f.*no module no_such_module in"),
    (["--activation=a b:c"], "activation=a b:c: give tanh .*MODULE:FUNCTION"),
    (
        [
            *("--dataset=image_folder", "--image_size=50", "--model=vit_dyt", "--order=nobn"),
        ],
        "image_size=50: vit_dyt takes images whose sides are multiples of 8",
    ),
    (["--model=vit_dyt"], "order=swap: vit_dyt has no batch normalization .*; give --order=nobn"),
    (["--order=swapped"], "swapped.*convention.*did you mean swap?"),
    (["--export=onnix"], "export=onnix.*tflite_integer.*did you mean onnx?"),
    (["--export=onnx,none"], "export=onnx,none: give .*saved_model"),
    (["--export=onnx,onnx"], "export=onnx,onnx: give every name once"),
    (["--export=tflite", "--precision=bfloat16"], "export=tflite: .*--precision=bfloat16; give"),
    (["--export=tflite_dynamic", "--activation=erf"], "dynamic: TFLite has no --activation=erf"),
    (["--epochs=0"], "epochs=0.*at least 1"),
    (["--epochs=2.5"], "epochs=2.5.*whole number"),
    (["--learning_rate=nan"], "learning_rate=nan.*finite"),
    (["--learning_rate=-0.1"], "-0.1.*above 0"),
    (["--weight_decay=inf"], "inf.*finite"),
    (["--momentum=1"], "momentum=1.*below 1"),
    (["--optimizer=adam"], "optimizer=adam: give one of sgd, adamw.*did you mean adamw?"),
    (["--optimizer=lamb", "--momentum=0.5"], "--momentum=0.5 goes with --optimizer=sgd"),
    (
        ["--optimizer=adamw", "--beta_weight_decay=1e-4"],
        "beta_weight_decay=0.0001: --optimizer=adamw has one decay.*give 0 or .*, 0.0005",
    ),
    (
        ["--learning_rate_schedule=cosine", "--learning_rate_drops=5"],
        "drops goes with --learning_rate_schedule=steps",
    ),
    (["--warmup_fraction=0.1"], "fraction=0.1 goes with --learning_rate_schedule=cosine"),
    (["--label_smoothing=1"], "label_smoothing=1.*below 1"),
    (["--validation_fraction=1"], "validation_fraction=1.*below 1"),
    (["--image_size=8", "--dataset=image_folder"], "image_size=8.*at least 32"),
    (["--dataset_name=mine"], "dataset_name=mine goes with --dataset=image_folder; digits has"),
    (["--dataset=image_folder", "--dataset_name=mnist"], "name=mnist is another data set's: give"),
    (["--dataset_name= x"], "dataset_name= x: give a text of up to 80"),
    (["--dataset_name="], "dataset_name=: give a text of up to 80"),
    (["--skip_corrupt"], "--skip_corrupt goes with --dataset=image_folder; the files of digits"),
    (["--image_size=64"], "image_size=64 goes with --dataset=image_folder"),
    (["--learning_rate_drops=20,10", "--epochs=30"], "20,10.*increasing"),
    (["--learning_rate_drops=10,10", "--epochs=30"], "10,10.*increasing"),
    (["--learning_rate_drops=5,x"], "5,x.*increasing"),
    (["--learning_rate_drops=0.5,1.5"], "0.5,1.5.*parts of the training between 0 and 1"),
    (["--learning_rate_drops=0.5,0.5"], "0.5,0.5.*increasing"),
    (["--learning_rate_drops=10,30", "--epochs=30"], "10,30.*--epochs=30.*below 30"),
    (["digits"], "'digits' is no flag"),
    (["--epoch=3"], "--epoch is no flag.*did you mean --epochs?"),
    (["--batch_size=9", "--strategy=mirrored", "--replicas=2"], "batch_size=9.*2 replicas.*: 8"),
    (["--replicas=2"], "replicas=2 goes with --strategy=mirrored"),
    (["--early_stopping_patience=5"], "patience=5 needs.*--validation_fraction"),
    (["--flagfile=missing.txt"], "missing.txt"),
    (["--run_dir="], "names no folder"),
    (["--data_dir="], "names no folder"),
    (["--data_dir=a\nb"], "cannot be printed"),
    (["--data_dir=\udcff"], "cannot be printed"),
    (["--data_dir=a "], "'a ' ends in a space, which a flagfile does not keep"),
    (["--undefok=epoch", "--epoch=5"], "undefok=epoch is not accepted"),
    (["--flagfile="], "flagfile= is not accepted"),
    (["-flagfile= "], "flagfile=  is not accepted"),
    (["--flagfile", ""], "flagfile= is not accepted"),
    (["--width=1e308"], "width=1e308.*below 100"),
    (["--epochs=100000000000000000000"], "epochs=1.*whole number"),
    ([f"--epochs={'9' * 400}"], "epochs=9*: give a whole number"),
    (["--learning_rate=1e300"], "learning_rate=1e300.*finite"),
    (["--flagfile"], "flagfile"),
    (["--seed"], "seed"),
    (["--overwrite=perhaps"], "overwrite=perhaps: give true or false"),
    (["--nodeterministic=true"], "--nodeterministic=true: .* has no value"),
    (["a\nb"], "'a b' is no flag"),
    (["--epochs " + "9" * 5000], "--epochs 9{71}[.]{3} is no flag"),
    (["--a\nb"], "--a b is no flag"),
    (["--flagfile=a\nb"], "--flagfile=a b cannot be read"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_sentence_that_names_it(arguments, expected):
    with pytest.raises(UsageError, match=expected) as error:
        options.parse(arguments)
    assert "\n" not in str(error.value)


def test_an_export_that_needs_a_package_is_refused_without_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"export=tflite,onnx needs tf2onnx.*'\.\[onnx\]'"):
        options.parse(["--export=tflite,onnx"])
    assert options.parse(["--export=tflite,saved_model"]).export == "tflite,saved_model"


def test_a_flagfile_that_includes_itself_is_refused(tmp_path):
    one, two = tmp_path / "a: one", tmp_path / "two"
    one.write_text(f"--flagfile={two}\n")
    two.write_text(f"--flagfile={one}\n")
    with pytest.raises(UsageError, match=f"the flagfile {one} includes itself"):
        options.parse([f"--flagfile={one}"])


@pytest.mark.parametrize("line", ["--undefok=epoch", "  --flagfile=missing"])
def test_a_line_of_a_flagfile_is_not_passed_over(line, tmp_path):
    (tmp_path / "flags").write_text(f"{line}\n--epoch=5\n")
    with pytest.raises(UsageError, match=rf"^{line.strip()} is not accepted here"):
        options.parse([f"--flagfile={tmp_path / 'flags'}"])


def test_a_flagfile_of_something_else_is_refused(tmp_path):
    for content in (b"\xff\xd8\xff\xe0", b"--flagfile=a\0b\n"):
        (tmp_path / "picture").write_bytes(content)
        with pytest.raises(UsageError, match="something else than text"):
            options.parse([f"--flagfile={tmp_path / 'picture'}"])


@pytest.mark.parametrize(
    ("define", "introduction"),
    [
        (options.define, options.RUN_USAGE),
        (options.define_sweep, options.SWEEP_USAGE),
    ],
)
def test_help_lists_every_flag_of_ours_and_none_of_absls(define, introduction):
    usage = options.usage(define(), introduction)
    for name in define():
        assert f"--{name}" in usage
    assert "--logtostderr" not in usage
    assert max(map(len, usage.splitlines())) <= 88


def test_flags_are_not_the_process_ones():
    options.parse(["--epochs=3"])
    assert "epochs" not in absl_flags.FLAGS


@pytest.mark.parametrize(
    ("epochs", "drops"), [(200, [100, 150]), (8, [4, 6]), (3, [2]), (2, [1]), (1, [])]
)
def test_drops_at_parts_of_the_training_are_the_nearest_epochs(epochs, drops):
    flags = options.parse(["--learning_rate_drops=0.5,0.75", f"--epochs={epochs}"])
    assert flags.learning_rate_drops == drops
    # The run directory says at which epochs.
    assert f"--learning_rate_drops={','.join(map(str, drops))}\n" in options.as_text(flags)
