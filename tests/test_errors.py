"""What a command answers to a mistake of the user's, and that it answers nothing else."""

import pytest

from train.errors import IN_USE, InUseError, Terminated, UsageError, file_errors, run_command


def raising(error):
    def command():
        raise error

    return command


def test_a_mistake_is_told_in_one_sentence(capsys):
    assert run_command("prog", raising(UsageError("no such thing.")), "go on.") == 2
    assert run_command("prog", raising(InUseError("busy.")), "go on.") == IN_USE
    assert capsys.readouterr().err == "prog: no such thing.\nprog: busy.\n"


def test_an_interrupted_command_says_how_it_goes_on(capsys):
    assert run_command("prog", raising(KeyboardInterrupt()), "go on.") == 130
    assert capsys.readouterr().err == "\nprog: interrupted; go on.\n"
    assert run_command("prog", raising(Terminated()), "go on.") == 143
    assert capsys.readouterr().err == "\nprog: terminated; go on.\n"


@pytest.mark.parametrize(
    ("module", "needed"),
    [("tensorflow_datasets", "-e '.[train]'"), ("jinja2.ext", "-e '.[analysis]'")],
)
def test_a_missing_extra_is_named(module, needed, capsys):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert run_command("prog", raising(error), "go on.") == 2
    assert (
        capsys.readouterr().err
        == f"prog: {module.split('.')[0]} is missing: pip install {needed}\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'train.trainning'", name="train.trainning"),
        FileNotFoundError(2, "No such file or directory", "table"),
        ValueError("not of the user's making"),
    ],
)
def test_an_error_of_our_own_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_command("prog", raising(error), "go on.")


def test_a_file_is_a_mistake_where_it_is_read(tmp_path):
    with (
        pytest.raises(UsageError, match=r"^--out=here: \[Errno 2\] No such .*missing'\.$"),
        file_errors("--out=here"),
    ):
        (tmp_path / "missing").read_text()
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"^--out=here: 'utf-8'"), file_errors("--out=here"):
        (tmp_path / "binary").read_text("utf-8")
