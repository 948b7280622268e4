"""What child processes do in tests; a spawned process imports it from here."""

import os
import signal
import sys
import time


def echo(pipe, *arguments):
    """Says its id and arguments, then everything it hears."""
    pipe.send((os.getpid(), arguments))
    while True:
        try:
            pipe.send(pipe.recv())
        except EOFError:
            return


def end_with(pipe, status):
    pipe.send("last words")
    os._exit(status)


def kill_itself(pipe):
    os.kill(os.getpid(), signal.SIGKILL)


def linger(pipe):
    """Hears no polite word."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe.send("ready")
    time.sleep(600)


def be_parent():
    """Starts a child that lingers, says its id, and waits."""
    from soundwright.core.processes import Child

    child = Child(linger, name="orphan")
    child.pipe.recv()
    sys.stdout.write(f"{child.process.pid}\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    # Under its name, by which the child finds what it is to do.
    import child_lives

    child_lives.be_parent()
