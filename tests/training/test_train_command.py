"""`diversity train`: options become settings, errors are plain, and a killed process costs only its last steps."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from sets import small_set

from diversity.errors import ConfigError, InputError
from training import checkpoint, runs
from training.commands import evaluate, generate
from training.commands import train as command

CODE = (
    "import argparse, sys; from training.commands import train as c; p = argparse.ArgumentParser();"
    "c.arguments(p, 'train'); sys.exit(c.run('train', p.parse_args()))"
)


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.arguments(parser, "train")
    return parser.parse_args(["pictures", *words])


def test_options_become_settings(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("steps = 7\n[loss]\nnoise_offset = 0.1\n[lora]\ndora = true\n")
    found = command.settings(
        options(
            *("--recipe", str(tmp_path / "recipe.toml"), "--steps", "9", "--rank", "2", "--trigger", "mira"),
            *(
                "--set",
                "loss.min_snr_gamma=none",
                "--set",
                'captions.prune=["hair", "eyes"]',
                "--set",
                "data.flip=true",
            ),
            *("--prompt", "a hat", "--prompt", "shoes", "--related", "some/folder=0.5", "--prior", str(tmp_path)),
        )
    )
    assert (found.steps, found.lora.rank, found.lora.dora) == (9, 2, True)
    assert (found.loss.noise_offset, found.loss.min_snr_gamma, found.data.flip) == (0.1, None, True)
    assert found.captions.prune == ("hair", "eyes")
    assert found.captions.trigger == "mira"
    assert found.samples.prompts == ("a hat", "shoes")
    related, prior = found.data.sources
    assert (related.kind, related.folder, related.share) == ("related", Path("some/folder"), 0.5)
    assert (prior.kind, prior.folder, prior.share) == ("prior", tmp_path, 1.0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "nonsense"], "KEY=VALUE"),
        (["--set", "loss.nonsense=1"], "loss.nonsense"),
        (["--steps", "0"], "'steps' cannot be used"),
        (["--precision", "half"], "'precision' cannot be used"),
        (["--prior", "a=b"], "FOLDER=SHARE"),
        (["--prompt", "a hat", "--set", "samples.seeds=[]"], "samples"),
    ],
)
def test_what_is_not_understood_is_named(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        command.settings(options(*words))


def test_packages_of_the_extra_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("peft", "compel"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"Not installed: compel, peft\. Run `pip install diversity\[train\]`"):
        command.run("train", options())
    parser = argparse.ArgumentParser()
    generate.arguments(parser, "generate")
    asked = parser.parse_args(["run", "--prompt", "a hat"])
    with pytest.raises(InputError, match="compel, peft"):
        generate.run("generate", asked)
    parser = argparse.ArgumentParser()
    evaluate.arguments(parser, "evaluate")
    with pytest.raises(InputError, match="compel, peft"):
        evaluate.run("evaluate", parser.parse_args(["run"]))


def test_the_command_trains_and_says_where_everything_is(
    tmp_path: Path, sd1_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_set(tmp_path, 4)
    parser = argparse.ArgumentParser()
    command.arguments(parser, "train")
    words = [str(tmp_path / "pictures"), "--workspace", str(tmp_path / "workspace"), "--base", str(sd1_folder)]
    words += ["--steps", "2", "--device", "cpu", "--rank", "2", "--set", "validation.timesteps=3", "--quiet"]
    assert command.run("train", parser.parse_args(words)) == 0
    text = capsys.readouterr().out
    run = runs.every(tmp_path / "workspace")[0]
    assert f"LoRA: {run.lora}" in text
    assert command.run("train", parser.parse_args([*words, "--resume", run.id, "--steps", "3", "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == "3/3"


@pytest.mark.slow
def test_a_killed_process_costs_only_the_steps_since_its_last_checkpoint(tmp_path: Path, sd1_folder: Path) -> None:
    def command_of(folder: Path) -> list[str]:
        words = [str(folder / "pictures"), "--workspace", str(folder / "workspace"), "--base", str(sd1_folder)]
        words += ["--steps", "40", "--device", "cpu", "--rank", "2", "--set", "save_every=2", "--accumulate", "2"]
        return [sys.executable, "-c", CODE, *words, "--set", "optimiser.ema=0.9", "--set", "data.flip=true", "--quiet"]

    small_set(tmp_path / "killed", 5)
    small_set(tmp_path / "whole", 5)
    process = subprocess.Popen(command_of(tmp_path / "killed"))
    space = tmp_path / "killed" / "workspace"
    deadline = time.monotonic() + 300
    while not any(len(checkpoint.found(run.checkpoints)) == 2 for run in runs.every(space)):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    (killed,) = runs.every(space)
    state = checkpoint.load(killed.checkpoints)
    assert state is not None
    assert 4 <= state["step"] < 40
    for folder in ("killed", "whole"):
        subprocess.run(command_of(tmp_path / folder), check=True)
    (run,), (whole,) = runs.every(space), runs.every(tmp_path / "whole" / "workspace")
    assert run.id == killed.id
    one, other = load_file(run.lora), load_file(whole.lora)
    assert all((one[name] == other[name]).all() for name in one)
    assert run.read("exposures").equals(whole.read("exposures"))
