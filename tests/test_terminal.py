"""The end of a command: exit codes, and interrupts that are obeyed at any moment."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kalshi_bt import run, run_folder, trials
from kalshi_bt.errors import GateError
from kalshi_bt.terminal import application, invoke

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

COMPILING = "compiling the simulator once for this machine"  # may be said before anything else
Captured = pytest.CaptureFixture[str]


def test_a_failed_gate_exits_with_one(capsys: Captured) -> None:
    app = application("A test.")

    @app.command()
    def check() -> None:
        raise GateError("a check\nfailed")

    assert invoke(app, []) == 1
    assert capsys.readouterr() == ("", "error: a check failed\n")


def test_an_interrupt_exits_with_130(capsys: Captured) -> None:
    app = application("A test.")

    @app.command()
    def wait() -> None:
        raise KeyboardInterrupt

    assert invoke(app, []) == 130
    assert capsys.readouterr() == ("", "interrupted; nothing was left half-written\n")


LOST = """
import os, signal
from kalshi_bt.terminal import application, program
app = application("A test.")
@app.command()
def swallow():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass
    print("went on")
program(app)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are sent otherwise there")
def test_an_interrupt_is_never_lost_in_the_code_it_meets(command: Any) -> None:
    done = command("-c", LOST)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing was left half-written\n"


def test_a_full_disk_is_one_line(capsys: Captured) -> None:
    app = application("A test.")

    @app.command()
    def write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert invoke(app, []) == 2
    told = (
        "error: nothing more can be written (No space left on device); make room, and try again\n"
    )
    assert capsys.readouterr() == ("", told)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of another kind")
def test_closed_streams_end_no_command_and_no_file_gets_their_place(tmp_path: Path) -> None:
    code = f"""
import os, sys
from kalshi_bt.terminal import application, program, say
app = application("A test.")
@app.command()
def write() -> None:
    with open({str(tmp_path / "file")!r}, "w") as file:
        say("to nobody")
        sys.stdout.write("to nobody")
        sys.stdout.flush()
        os.write(2, b"to nobody")
        file.write(str(file.fileno() > 2))
program(app)
"""
    shell = f"exec {sys.executable} -c '{code.replace(chr(39), chr(34))}' <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", shell], check=False).returncode == 0
    assert (tmp_path / "file").read_text() == "True"


INTERRUPTIBLE = """
import sys
from kalshi_bt import run, terminal
terminal.leave_on_interrupt()
print("ready", flush=True)
terminal.program(run.app)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are sent otherwise there")
def test_an_interrupt_at_any_moment_leaves_no_half_run(one_day: Path, tmp_path: Path) -> None:
    root = Path(run.__file__).parents[1]
    ends = []
    for number, moment in enumerate((0.0, 0.35, 0.6, 0.9)):
        out = tmp_path / str(number)
        words = ["--strategy", "bollinger", "--data", one_day, "--out", out]
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moment)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        lines = [line for line in err.splitlines() if not line.startswith(COMPILING)]
        ends.append(process.returncode)
        if process.returncode:
            assert process.returncode == 130
            assert lines == ["interrupted; nothing was left half-written"]
        else:
            assert lines == []
        left = list(out.iterdir()) if out.exists() else []
        assert not [path for path in left if path.name.startswith(".")]
        for path in left:
            if path.is_dir():
                assert run_folder.load(path).run_id == path.name
            else:
                assert path.name == "trials.jsonl"
                assert len(trials.read(out)) == 1
    assert ends[0] == 130


@pytest.mark.parametrize("module", ["kalshi_bt.run", "kalshi_bt.cli"])
def test_help_exits_with_zero(module: str, command: Any) -> None:
    done = command("-m", module, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage:")


@pytest.mark.slow
def test_a_terminal_of_few_letters_is_no_obstacle(command: Any) -> None:
    words = ["-m", "kalshi_bt.cli", "list", "strategies"]
    done = command(*words, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 ? 5000" in done.stdout


@pytest.mark.parametrize("module", ["kalshi_bt.run", "live_adapter.run", "live_adapter.sandbox"])
def test_ctrl_c_is_heard_before_anything_slow_is_imported(module: str) -> None:
    source = (Path(run.__file__).parents[1] / f"{module.replace('.', '/')}.py").read_text("utf-8")
    early = source.partition("    leave_on_interrupt()\n")[0]
    assert early != source
    for slow in ("asyncio", "typer", "polars", "numba", "rich", "websockets", "httpx"):
        assert f"\nimport {slow}" not in early
        assert f"\nfrom {slow}" not in early
