"""Child processes: they talk, they end when told to, and never outlive their parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import child_lives
import pytest

from servers import is_running, wait_for
from soundwright.core.processes import Child

on_posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def test_a_child_is_another_process_that_answers():
    child = Child(child_lives.echo, 1, "two", name="echo")
    pid, arguments = child.pipe.recv()
    assert (pid, arguments) == (child.process.pid, (1, "two"))
    assert pid != os.getpid()
    child.pipe.send({"three": 3})
    assert child.pipe.recv() == {"three": 3}
    assert child.alive
    child.stop()
    assert not child.alive


def test_what_a_child_said_before_it_ended_is_heard():
    child = Child(child_lives.end_with, 7, name="short")
    child.process.join()
    assert child.pipe.recv() == "last words"
    with pytest.raises(EOFError):
        child.pipe.recv()
    assert child.mourn() == "status 7"


@on_posix
def test_how_a_child_died_is_told():
    child = Child(child_lives.kill_itself, name="doomed")
    assert child.mourn() == "signal SIGKILL"
    assert not child.alive
    with pytest.raises(OSError, match="closed"):
        child.pipe.recv()


@on_posix
def test_a_child_that_hears_no_polite_word_is_ended_by_force():
    child = Child(child_lives.linger, name="deaf")
    assert child.pipe.recv() == "ready"
    child.stop(grace=0.1)
    assert child.process.exitcode == -signal.SIGKILL


@on_posix
def test_only_the_parent_answers_an_interrupt():
    child = Child(child_lives.echo, name="echo")
    child.pipe.recv()
    os.kill(child.process.pid, signal.SIGINT)
    child.pipe.send("still there?")
    assert child.pipe.recv() == "still there?"
    child.stop()


@on_posix
def test_a_child_dies_with_its_parent():
    here = Path(child_lives.__file__)
    parent = subprocess.Popen([sys.executable, here], stdout=subprocess.PIPE, text=True)
    orphan = int(parent.stdout.readline())
    assert is_running(orphan)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not is_running(orphan))
