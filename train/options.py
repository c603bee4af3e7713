"""The flags of `train.run` and `train.sweep`: their definitions, checks and text form.

Imports neither Keras nor TensorFlow, so that `--help` and a mistake answer at once.
"""

import contextlib
import importlib.util
import io
import itertools
import os
import re
import textwrap
from collections.abc import Iterable, Sequence

from absl import flags

from train import data, names
from train.errors import UsageError, nearest
from train.flag_types import (
    Epochs,
    EpochsOrParts,
    EpochsSerializer,
    Name,
    NameOrFunction,
    NamesOrNone,
    Number,
    ShortText,
    in_epochs,
)

# Where a run is and what becomes of an old one there, not what the run is.
PLACE_FLAGS = ("run_dir", "overwrite", "extend")
# How it is kept from being lost.
CHECKPOINT_FLAGS = ("checkpoint_every", "keep_checkpoint")
BESIDE = (*PLACE_FLAGS, *CHECKPOINT_FLAGS, "help")
ENGINES = ("local", "ray")
SEARCHES = ("optuna",)
MOMENTUM = 0.9
# Of a flag's name; none of ours is nearly as long.
LONGEST = 80
# In the answer to --help, for absl's own names of what a flag takes.
KINDS = {
    "comma separated list of strings": "name,name,...",
    "multi string": "flag=values",
    "string": "folder",
}


def define() -> flags.FlagValues:
    """All flags of ours, with their defaults, and none of absl's."""
    values = flags.FlagValues()

    def name(flag, default, accepted, text):
        flags.DEFINE(Name(accepted), flag, default, text, values, flags.ArgumentSerializer())

    def number(flag, default, parser, text):
        flags.DEFINE(parser, flag, default, text, values, flags.ArgumentSerializer())

    def string(flag, default, text):
        flags.DEFINE_string(flag, default, text, values)

    def boolean(flag, text, default=False):
        flags.DEFINE_boolean(flag, default, text, values)

    name("dataset", "digits", data.NAMES, "Images to learn.")
    string(
        "data_dir",
        None,
        "Folder of the images: what image_folder reads, and where TensorFlow Datasets keeps "
        "or looks for the others. Default: TensorFlow Datasets' own; digits need none.",
    )
    flags.DEFINE(
        ShortText(),
        "dataset_name",
        None,
        "What the images of image_folder are called in reports, in which folders of one name are "
        "one data set. Default: image_folder.",
        values,
        flags.ArgumentSerializer(),
    )
    number(
        "image_size",
        None,
        Number(int, at_least=32),
        "Side in pixels to which image_folder brings its images. Default: 32.",
    )
    # Without a default, so that runs from before it hold no other flags.
    flags.DEFINE_boolean(
        "skip_corrupt",
        None,
        "Leave out the files of image_folder that cannot be read as JPEG or PNG images, and say "
        "how many. Without it the first of them is named, and nothing is trained.",
        values,
    )
    number(
        "train_examples",
        None,
        Number(int, at_least=1),
        "Take a balanced subset of so many training images, the same for every seed, before "
        "any are held out. Default: all.",
    )
    number(
        "test_examples",
        None,
        Number(int, at_least=1),
        "Test on a balanced subset of so many images. Default: all.",
    )
    number(
        "validation_fraction",
        0.0,
        Number(float, at_least=0.0, below=1.0),
        "Part of the training images to hold out, of every class, the same for every seed. "
        "With it, epochs are judged by it and the test images are used once, at the end.",
    )
    name(
        "model",
        "vgg16_11",
        names.MODELS,
        "Network; vgg16_n and resnetn have n weight layers. vit_layernorm and vit_dyt are without "
        "batch normalization, so their --order is nobn.",
    )
    flags.DEFINE(
        NameOrFunction(names.ACTIVATIONS),
        "activation",
        "tanh",
        "Activation of every block; a function of your own is one that "
        "keras_bnact.activations.register has made known.",
        values,
        flags.ArgumentSerializer(),
    )
    name(
        "order",
        "swap",
        names.ORDERS,
        "Batch normalization after the activation (swap), before it (convention) or none (nobn).",
    )
    number(
        "width",
        1.0,
        Number(float, above=0.0, below=100.0),
        "Factor on the numbers of filters and hidden units.",
    )
    name(
        "kernel_initializer",
        "fan_in_uniform",
        names.KERNEL_INITIALIZERS,
        "Initial weights, by Keras' names; fan_in_uniform is uniform in +-1/sqrt(fan_in), and "
        "small_normal has a standard deviation of 0.01.",
    )
    name(
        "bias_initializer",
        "zeros",
        names.BIAS_INITIALIZERS,
        "Initial biases, by the same names; in the order convention only "
        "layers without batch normalization have any.",
    )
    number("epochs", 10, Number(int, at_least=1), "Passes over the training images.")
    number(
        "batch_size",
        128,
        Number(int, at_least=2),
        "Images a step, of all replicas together; the images left over by the last whole "
        "batch of an epoch are skipped, others in every epoch.",
    )
    name(
        "optimizer",
        "sgd",
        names.OPTIMIZERS,
        "Keras' SGD with --momentum, AdamW, Lamb or Muon, the last three with Keras' defaults for "
        "all but rate and decay; Keras' Muon takes the matrices of dense layers, and has Adam take "
        "all else.",
    )
    number(
        "learning_rate",
        0.01,
        Number(float, above=0.0),
        "The largest, before any drop; what fits depends on the --optimizer.",
    )
    name(
        "learning_rate_schedule",
        "steps",
        names.SCHEDULES,
        "steps: a tenth after every one of --learning_rate_drops. cosine: from step to step along "
        "half a cosine, to 0 at the end of --epochs.",
    )
    number(
        "warmup_fraction",
        None,
        Number(float, above=0.0, below=1.0),
        "Part of the steps in which the learning rate grows from 0, before the cosine. "
        "Default: none.",
    )
    flags.DEFINE(
        EpochsOrParts(),
        "learning_rate_drops",
        "",
        "Epochs after which the learning rate falls to a tenth, for example 100,150; or parts of "
        "--epochs, for example 0.5,0.75: the nearest whole epochs, and one drop where they fall "
        "together. Default: none.",
        values,
        EpochsSerializer(),
    )
    number("momentum", MOMENTUM, Number(float, at_least=0.0, below=1.0), "Of SGD.")
    number(
        "label_smoothing",
        0.0,
        Number(float, at_least=0.0, below=1.0),
        "Part of each label that the loss spreads over all classes; cross_entropy in the results "
        "is without it.",
    )
    number(
        "weight_decay",
        0.0005,
        Number(float, at_least=0.0),
        "On kernels and biases: of SGD the penalty's gradient per unit of weight, as in the paper; "
        "of the other optimizers by which part of itself a weight shrinks in a step, per unit of "
        "learning rate (decoupled).",
    )
    number(
        "gamma_weight_decay",
        None,
        Number(float, at_least=0.0),
        "The same on batch normalization's gamma; 0 or --weight_decay where that is decoupled. "
        "Default: --weight_decay.",
    )
    number(
        "beta_weight_decay",
        None,
        Number(float, at_least=0.0),
        "The same on batch normalization's beta; 0 or --weight_decay where that is decoupled. "
        "Default: --weight_decay.",
    )
    number(
        "early_stopping_patience",
        None,
        Number(int, at_least=1),
        "Stop after so many epochs without a better validation accuracy, and keep the last "
        "weights; goes with --validation_fraction. Default: train all epochs.",
    )
    number(
        "statistics_every",
        None,
        Number(int, at_least=1),
        "Measure the layers on the test images after the first epoch and every so many, too. "
        "Default: at the end only.",
    )
    number(
        "seed",
        0,
        Number(int, at_least=0, below=2**31),
        "Of initial weights, shuffling and augmentation.",
    )
    name(
        "strategy",
        "auto",
        ("auto", "single", "mirrored"),
        "auto: mirrored where there is more than one GPU, else single.",
    )
    number(
        "replicas",
        None,
        Number(int, at_least=1),
        "Devices that mirrored trains on: GPUs, or logical CPU devices where there is no GPU. "
        "Default: all GPUs, or 2 on a CPU.",
    )
    name(
        "precision",
        "tf32",
        names.PRECISIONS,
        "What is computed in, with float32 weights but for float64. tf32 rounds the factors of "
        "matrix products on GPUs that have it, and is float32 elsewhere; float64 tells what is "
        "rounding.",
    )
    boolean("deterministic", "Ask TensorFlow for kernels that repeat bit for bit.")
    string(
        "run_dir",
        None,
        "Where the run is written. Default: a folder in runs/ named after data set, model, "
        "activation, order and seed.",
    )
    boolean("overwrite", "Delete the run in --run_dir and start anew.")
    boolean(
        "extend",
        "Train the run in --run_dir for more --epochs than it was begun with. "
        "--learning_rate_drops may be given others after the old --epochs; all other flags stay.",
    )
    number(
        "checkpoint_every",
        None,
        Number(int, at_least=1),
        "Save what an interrupted run goes on from after every so many steps of an epoch, too. "
        "Default: at the end of epochs, and on SIGTERM or Ctrl-C.",
    )
    boolean(
        "keep_checkpoint",
        "Keep the last checkpoint of a finished run, for --extend. It takes the space of the "
        "weights twice; --nokeep_checkpoint deletes it.",
        default=True,
    )
    flags.DEFINE(
        NamesOrNone(names.EXPORTS),
        "export",
        None,
        "What to write beside model.keras, --export=saved_model,onnx for example; tflite_integer "
        "takes the ranges of activations from 256 of the training images. "
        "Default: saved_model on TensorFlow, none on JAX.",
        values,
        flags.ArgumentSerializer(),
    )
    boolean("help", "Show this help.")
    return values


def define_sweep() -> flags.FlagValues:
    """Those of a sweep alone; `define` has those of its runs."""
    values = flags.FlagValues()
    flags.DEFINE_multi_string(
        "grid",
        [],
        "A flag of train.run and its values, seed=0,1,2 for example; every value is run with every "
        "one of the other grids. gamma_weight_decay+beta_weight_decay=0,1e-4 gives both flags the "
        "same value. May be repeated; a later one takes the place of an earlier one of the flag.",
        values,
    )
    flags.DEFINE(
        Epochs(),
        "search_epochs",
        "",
        "Search in rounds (successive halving): 2,8 trains every setting for 2 epochs, and of each "
        "value of the first grid (but seed) the best quarter anew for 8, the learning rate "
        "dropping at the same parts of the training, as nearly as whole epochs allow. It is judged "
        "by held-out images, so it goes with --validation_fraction; the runs are in search/ of "
        "--sweep_dir. Make the learning rate the first grid: few epochs favour small ones. "
        "Default: every setting, all --epochs.",
        values,
        EpochsSerializer(),
    )
    flags.DEFINE(
        Name(SEARCHES),
        "search",
        None,
        "Have Optuna choose the settings of --trials runs from every --range, by what the trials "
        "before have come to, and cut those short that are behind their median (Optuna's defaults: "
        "TPESampler, MedianPruner). It is judged by held-out images, so it goes with "
        "--validation_fraction. Needs the extra optuna. Default: grids.",
        values,
        flags.ArgumentSerializer(),
    )
    flags.DEFINE_multi_string(
        "range",
        [],
        "What --search chooses from: learning_rate=log:1e-3:1 (evenly on a logarithmic scale), "
        "momentum=linear:0.5:0.95, batch_size=whole:32:256, activation=any:tanh:softsign. May be "
        "repeated.",
        values,
    )
    flags.DEFINE(
        Number(int, at_least=1),
        "trials",
        None,
        "How many runs --search chooses; the same command with more of them goes on.",
        values,
        flags.ArgumentSerializer(),
    )
    flags.DEFINE_multi_string(
        "final",
        [],
        "A grid to train the best settings with afterwards, in the folder final of --sweep_dir and "
        "on all training images: --final=seed=0,1,2 after a search with --validation_fraction=0.1.",
        values,
    )
    flags.DEFINE_string(
        "sweep_dir", None, "Where the runs are written, each in a folder of its own.", values
    )
    flags.DEFINE(
        Name(ENGINES),
        "engine",
        "local",
        "local: processes on this machine. ray: a Ray cluster, that of RAY_ADDRESS if it is set "
        "and else one started on this machine; its nodes find the checkout, --sweep_dir and "
        "--data_dir under the same paths.",
        values,
        flags.ArgumentSerializer(),
    )
    for flag, text in (
        ("workers", "Runs at a time, with --engine=local or --search. Default: 1."),
        ("cpus_per_run", "CPU cores that a run takes, with --engine=ray. Default: 1."),
        ("gpus_per_run", "GPUs that a run takes, with --engine=ray. Default: 0, on CPUs alone."),
    ):
        least = 0 if flag == "gpus_per_run" else 1
        parser = Number(int, at_least=least)
        flags.DEFINE(parser, flag, None, text, values, flags.ArgumentSerializer())
    return values


RUN_USAGE = """\
Train a network with bounded activations into a run directory.

  python -m train.run --dataset=cifar10 --model=vgg16_11 --order=swap --epochs=200

Every argument is a flag, --name=value; --flagfile=FILE reads flags from a file.
The same command goes on where it was interrupted.
"""
SWEEP_USAGE = """\
Train a network for every combination of some flags' values, and compare the runs.

  python -m train.sweep --flagfile=train/flagfiles/table2/tanh_swap.flags \\
      --grid=learning_rate=0.1,0.01 --grid=seed=0,1,2 --sweep_dir=runs/tanh_swap

The same command goes on where it was interrupted. Beside the flags below it takes those
of train.run, but for --run_dir and --overwrite; python -m train.run --help lists them.
"""


def usage(values: flags.FlagValues, introduction: str) -> str:
    """The answer to `--help`: every flag of ours, its values and its default."""
    lines = [introduction]
    for name in values:
        flag = values[name]
        kind = flag.flag_type()
        for absl, ours in KINDS.items():
            kind = kind.replace(absl, ours)
        value = "" if flag.boolean else f"=<{kind}>"
        shown = flag.default not in (None, [], "") and not flag.boolean
        default = f" Default: {flag.default}." if shown else ""
        lines += textwrap.wrap(
            f"--{name}{value}",
            88,
            initial_indent="  ",
            subsequent_indent=" " * 10,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += textwrap.wrap(
            flag.help + default, 88, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str]) -> flags.FlagValues:
    """The flags of a run, from a command line without its program name.

    Raises:
        UsageError: For the first mistake, in a flag or between flags.
    """
    values = _parse(define(), arguments)
    if not values.help:
        values.learning_rate_drops = in_epochs(values.learning_rate_drops, values.epochs)
        _check_together(values)
        if values.optimizer != "sgd":
            values.momentum = None
    return values


def parse_sweep(arguments: Sequence[str]) -> tuple[flags.FlagValues, flags.FlagValues]:
    """The flags of a sweep and those that its runs have in common.

    The latter may not go together yet, before the grids have given some of them their values.

    Raises:
        UsageError: For the first mistake.
    """
    sweep, common = define_sweep(), define()
    both = flags.FlagValues()
    for values in (sweep, common):
        both.append_flag_values(values)
    _parse(both, arguments)
    for values in (sweep, common):
        values.mark_as_parsed()
    return sweep, common


def _parse(values: flags.FlagValues, arguments: Sequence[str]) -> flags.FlagValues:
    _refuse_empty_flagfile(arguments)
    warnings = io.StringIO()
    try:
        with contextlib.redirect_stderr(warnings):
            lines = values.read_flags_from_files(arguments)
            _refuse_odd(lines)
            rest = values(["train.run", *lines])
    except (flags.Error, ValueError) as error:
        raise UsageError(_sentence(error, values)) from None
    if "circular flagfile" in warnings.getvalue():
        culprit = warnings.getvalue().splitlines()[0].partition("flagfile: ")[2]
        raise UsageError(f"the flagfile {culprit} includes itself: take its --flagfile line out.")
    if len(rest) > 1:
        raise UsageError(
            f"'{rest[1]}' is no flag: every argument is of the form --name=value "
            "(--help lists them)."
        )
    for name in ("run_dir", "data_dir", "sweep_dir"):
        if name in values and values[name].value is not None:
            _check_folder(name, values[name].value)
            values[name].value = os.path.expanduser(values[name].value)
    return values


def _check_folder(name: str, value: str) -> None:
    if not value.isprintable():
        raise UsageError(f"--{name}={value!a} has characters that cannot be printed.")
    if value == "":
        raise UsageError(f"--{name}= names no folder: name one, or leave the flag out.")
    if name == "data_dir" and value.endswith(" "):
        # That of flags.txt would be another.
        raise UsageError(
            f"--{name}={value!a} ends in a space, which a flagfile does not keep: rename the "
            "folder."
        )


def _refuse_empty_flagfile(arguments: Sequence[str]) -> None:
    """Refuses what absl would pass over: a flagfile without a name, of an unset variable, say."""
    in_two = ("=".join(pair) for pair in itertools.pairwise(arguments))
    for argument in (*arguments, *in_two):
        if re.fullmatch(r"--?flagfile=\s*", argument):
            raise UsageError(f"{argument} is not accepted here (--help lists the flags).")


def _refuse_odd(lines: Iterable[str]) -> None:
    """Refuses what absl passes over or stumbles at, in flagfiles as well.

    That is its way to have misspelt flags passed over, a flagfile in an indented line, and a name
    for which its search for similar ones recurses too deeply.
    """
    for line in lines:
        if line.startswith("-") and len(line.partition("=")[0]) > LONGEST:
            raise UsageError(f"{line[:LONGEST]}... is no flag (--help lists them).")
        if re.match(r"--?(undefok|flagfile)(=|$)", line):
            raise UsageError(f"{line} is not accepted here (--help lists the flags).")


def as_text(values: flags.FlagValues) -> str:
    """The flags that make the run what it is, a line each, as a flagfile."""
    return _lines(values, [name for name in values if name not in BESIDE])


def checkpoint_text(values: flags.FlagValues) -> str:
    """Those of how the run is kept from being lost, likewise."""
    return _lines(values, CHECKPOINT_FLAGS)


def _lines(values: flags.FlagValues, names: Iterable[str]) -> str:
    return "".join(f"{values[n].serialize()}\n" for n in names if values[n].value is not None)


def _check_together(values: flags.FlagValues) -> None:
    drops = values.learning_rate_drops
    if drops and drops[-1] >= values.epochs:
        raise UsageError(
            f"--learning_rate_drops={','.join(map(str, drops))}: a drop after epoch {drops[-1]} "
            f"has no effect with --epochs={values.epochs}; give epochs below {values.epochs}."
        )
    _check_optimizer(values)
    if values.model in names.UNNORMALIZED and (values.image_size or 0) % names.PATCHES:
        raise UsageError(
            f"--image_size={values.image_size}: {values.model} takes images whose sides are "
            f"multiples of {names.PATCHES} pixels."
        )
    if values.model in names.UNNORMALIZED and values.order != "nobn":
        raise UsageError(
            f"--order={values.order}: {values.model} has no batch normalization to put anywhere; "
            "give --order=nobn."
        )
    if values.image_size is not None and values.dataset != "image_folder":
        raise UsageError(
            f"--image_size={values.image_size} goes with --dataset=image_folder; "
            f"{values.dataset} has a size of its own."
        )
    if values.dataset_name is not None and values.dataset != "image_folder":
        raise UsageError(
            f"--dataset_name={values.dataset_name} goes with --dataset=image_folder; "
            f"{values.dataset} has a name of its own."
        )
    if values.dataset_name in data.NAMES:
        raise UsageError(
            f"--dataset_name={values.dataset_name} is another data set's: give a name of your own."
        )
    if values.skip_corrupt and values.dataset != "image_folder":
        raise UsageError(
            f"--skip_corrupt goes with --dataset=image_folder; the files of {values.dataset} are "
            "read as they are."
        )
    if values.early_stopping_patience is not None and not values.validation_fraction:
        raise UsageError(
            f"--early_stopping_patience={values.early_stopping_patience} needs images to judge "
            "by that are not the test's: give --validation_fraction=0.1, for example."
        )
    if values.replicas is not None and values.strategy != "mirrored":
        raise UsageError(f"--replicas={values.replicas} goes with --strategy=mirrored.")
    check_batch_size(values.batch_size, values.replicas or 1)
    _check_export(values)


def _check_optimizer(values: flags.FlagValues) -> None:
    cosine = values.learning_rate_schedule == "cosine"
    if cosine and values.learning_rate_drops:
        raise UsageError(
            "--learning_rate_drops goes with --learning_rate_schedule=steps: take one of them out."
        )
    if values.warmup_fraction is not None and not cosine:
        raise UsageError(
            f"--warmup_fraction={values.warmup_fraction:g} goes with "
            "--learning_rate_schedule=cosine."
        )
    if values.optimizer == "sgd":
        return
    if values.momentum not in (MOMENTUM, None):
        raise UsageError(f"--momentum={values.momentum:g} goes with --optimizer=sgd.")
    for name in ("gamma_weight_decay", "beta_weight_decay"):
        if values[name].value not in (None, 0.0, values.weight_decay):
            raise UsageError(
                f"--{name}={values[name].value:g}: --optimizer={values.optimizer} has one decay "
                f"for all weights; give 0 or that of --weight_decay, {values.weight_decay:g}."
            )


def _check_export(values: flags.FlagValues) -> None:
    """Before hours of training, not after them."""
    formats = {*(values.export or "none").split(",")}
    given = f"--export={values.export}"
    if names.PRECISIONS[values.precision] != "float32" and formats - {"saved_model", "none"}:
        raise UsageError(
            f"{given}: TFLite and ONNX are written of networks that compute in float32, not with "
            f"--precision={values.precision}; give --export=saved_model."
        )
    if values.activation in names.NOT_IN_TFLITE and formats - {"saved_model", "onnx", "none"}:
        raise UsageError(
            f"{given}: TFLite has no --activation={values.activation}; give --export=onnx or "
            "saved_model."
        )
    if "onnx" in formats and importlib.util.find_spec("tf2onnx") is None:
        raise UsageError(
            f"{given} needs tf2onnx, which is not installed: pip install -e '.[onnx]'."
        )


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Refuses a batch that the replicas cannot share evenly."""
    if batch_size % replicas:
        raise UsageError(
            f"--batch_size={batch_size} is not a multiple of the {replicas} replicas; "
            f"the nearest that is: {max(1, round(batch_size / replicas)) * replicas}."
        )


def _sentence(error: Exception, values: flags.FlagValues) -> str:
    if isinstance(error, flags.UnrecognizedFlagError):
        suggestion = nearest(f"--{error.flagname}", [f"--{name}" for name in values])
        return f"--{error.flagname} is no flag (--help lists them){suggestion}"
    # The latter is a flagfile named in it.
    if isinstance(error, UnicodeDecodeError) or "embedded null" in str(error):
        return "a flagfile holds something else than text: give one flag a line, --name=value."
    if isinstance(error.__context__, OSError):
        reason = error.__context__
        return f"--flagfile={reason.filename} cannot be read ({reason.strerror}): name a text file."
    text = " ".join(str(error).removeprefix("flag ").split())
    text = text.replace(" does not take an argument", ": a flag that begins with no has no value.")
    return re.sub(r"\('Non-boolean argument to boolean flag', .*\)", "give true or false.", text)
