# SPDX-License-Identifier: Apache-2.0
"""One run of emit: its process, and the ledger that it shares with the test.

Owns   the process, the ledger file and its mapping.
Reads  the ledger while the process runs and after it was killed.
"""

import json
import mmap
import queue
import struct
import subprocess
import threading

from daemon import environment
from waiting import PATIENCE, until

LINE, ID = 128, 24


class Workload:
    def __init__(self, program, directory, ledger, *, process=0, threads=1, spans=1, wait=False,
                 retry=False, step=False, user=None, group=None, groups=(), environment_more=None, **numbers):
        self.threads, self.spans, self.process_number = threads, spans, process
        size = threads * LINE + threads * spans * ID
        with open(ledger, "xb") as file:
            file.truncate(size)
        if user is not None:
            ledger.chmod(0o666)
        self.ledger = ledger
        with open(ledger, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), size)
        command = [program, "--dir", directory, "--ledger", ledger]
        numbers |= {"process": process, "threads": threads, "spans": spans}
        for name, value in numbers.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        command += ["--wait"] * wait + ["--retry"] * retry + ["--step"] * step
        identity = {} if user is None else {
            "user": user, "group": group, "extra_groups": groups,
        }
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/", env=environment(**(environment_more or {})), **identity,
        )
        self.lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.errors = ""
        self.complainer = threading.Thread(target=self._complain)
        self.complainer.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def _complain(self):
        self.errors = self.process.stderr.read()

    def expect(self, word, timeout_s=60):
        """The next line, which must begin with this word; returns the rest."""

        def line():
            ended = self.process.poll() is not None and not self.reader.is_alive()
            if self.lines.empty():
                assert not ended, f"emit ended with {self.process.returncode}: {self.errors}"
                return None
            return self.lines.get()

        text = until(line, lambda: f"emit {self.process_number} says {word}: {self.progress()}",
                     timeout_s)
        assert text.partition(" ")[0] == word, text
        return text.partition(" ")[2]

    def ready(self):
        self.expect("ready", 20)
        return self

    def go(self):
        """For --wait and --step: the next line on its stdin."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self

    def done(self, timeout_s=120):
        return json.loads(self.expect("done", timeout_s))

    def shutdown_status(self):
        return int(self.expect("shutdown"))

    def ended(self):
        code = self.process.wait(30 * PATIENCE)
        self.complainer.join(10)
        assert code == 0, f"emit ended with {code}: {self.errors}"

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def end(self):
        """For the fixture."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        self.complainer.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass
        self.memory.close()
        self.ledger.unlink()

    # ---- the ledger

    def returned(self, thread):
        return struct.unpack_from("<Q", self.memory, LINE * thread)[0]

    def dropped(self, thread):
        return struct.unpack_from("<Q", self.memory, LINE * thread + 8)[0]

    def progress(self):
        return sum(self.returned(thread) for thread in range(self.threads))

    def drops(self):
        return sum(self.dropped(thread) for thread in range(self.threads))

    def id_at(self, thread, index):
        """(trace id, span id) of the newest attempt at this span."""
        at = self.threads * LINE + (thread * self.spans + index) * ID
        raw = bytes(self.memory[at : at + ID])
        return raw[:16], raw[16:]

    def ids(self):
        """Of every span, when all returned."""
        return [
            self.id_at(thread, index) for thread in range(self.threads) for index in range(self.spans)
        ]
