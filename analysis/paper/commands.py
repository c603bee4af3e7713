"""The commands that make the runs of a table or a figure."""

from collections.abc import Iterable, Sequence

FOLDER = "train/flagfiles"


def experiment(name: str) -> str:
    """Trains an experiment with the paper's three seeds; on ImageNet it has one."""
    seeds = [] if "imagenet2012" in name else ["shared/three_seeds"]
    return _sweep([name, *seeds], name)


def experiments(names: Iterable[str]) -> list[str]:
    """`experiment` of several."""
    return [experiment(name) for name in names]


def sweep(name: str) -> str:
    """Runs a sweep of the paper's, which brings its seeds."""
    return _sweep([name], name.removesuffix("/sweep"))


def search(name: str) -> str:
    """Searches for an experiment's hyper-parameters as the paper did (A.1)."""
    grid = "imagenet" if "imagenet2012" in name else "cifar_and_tiny_imagenet"
    return _sweep([name, f"grid_search/{grid}"], f"search/{name}")


def _sweep(flagfiles: Sequence[str], folder: str) -> str:
    files = " ".join(f"--flagfile={FOLDER}/{name}.flags" for name in flagfiles)
    return f"python -m train.sweep {files} --sweep_dir=runs/{folder}"
