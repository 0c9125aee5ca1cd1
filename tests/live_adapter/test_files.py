"""What a stop at any byte leaves of the files of a session."""

from pathlib import Path

import pytest
from strategies_random import seeded
from told_sessions import Killed, Killer

from kalshi_bt.errors import DataError
from live_adapter import files
from live_adapter.files import Lines


def test_a_file_cut_at_any_byte_keeps_every_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    lines = ["1,né", "2,x", "3,"]
    whole = "".join(f"{line}\n" for line in ["a,b", *lines]).encode()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        found = Lines(path, "a,b")
        assert found.read() == lines[: max(kept - 1, 0)]
        found.append(["4,"])
        assert path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1 or 4] + b"4,\n"


def test_a_replaced_file_is_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    killer = Killer(monkeypatch, seeded(1))
    files.replace(path, b"0" * 50)
    killer.odds = 0.7
    seen = set()
    for n in range(1, 60):
        before, after = path.read_bytes(), str(n % 10).encode() * 50
        try:
            files.replace(path, after)
        except Killed:
            seen.add(path.read_bytes() == after)
            assert path.read_bytes() in {before, after}
        else:
            assert path.read_bytes() == after
    assert seen == {True, False}


def test_a_file_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "equity.csv"
    path.write_text("date,price\n")
    with pytest.raises(DataError, match="does not begin with timestamp,cash"):
        Lines(path, "timestamp,cash")
    assert path.read_text() == "date,price\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Lines(tmp_path / "file" / "trades.csv")
    with pytest.raises(DataError, match="cannot be written"):
        files.replace(tmp_path / "none" / "state.json", b"")


@pytest.mark.parametrize("line", [b"\xff\xfe,x", b"1,2,3", b"", b"1\x00,x"])
def test_a_damaged_line_is_named_wherever_it_stands(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(b"a,b\n1,x\n" + line + b"\n2,y\n")
    for since in (0, path.stat().st_size):
        with pytest.raises(DataError, match="line 3 is damaged"):
            Lines(path, "a,b", since=since)
