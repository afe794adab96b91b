"""Regular expressions of users on texts of anyone: matched under a guard of time.

An expression may take exponential time on a text that almost fits, and nothing inside this process
could stop it. Expressions with repetitions are therefore matched in a small process of their own,
which is ended when it takes too long; others, which are quick whatever the text, are matched here.
"""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
from contextlib import suppress

TEXT_LENGTH = 10_000
"""Characters of a text that are looked at."""

TIMEOUT_S = 1.0
START_S = 30.0

_REPEATS = re.compile(r"[*+?{]")
_PROGRAM = """
import json, re, sys
print("ready", flush=True)
for line in sys.stdin:
    pattern, text = json.loads(line)
    print(int(re.search(pattern, text) is not None), flush=True)
"""


class PatternTooSlowError(Exception):
    """A pattern could not be matched in time."""


class PatternMatcher:
    """Tell whether patterns are found in texts, in bounded time.

    Examples
    --------
    >>> PatternMatcher().matches("lost|gone", "frame 3 is lost")
    True
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def matches(self, pattern: str, text: str) -> bool:
        """Return whether `pattern` is found in the first `TEXT_LENGTH` characters of `text`.

        Raises
        ------
        PatternTooSlowError
            If it takes longer than `TIMEOUT_S` seconds.
        """
        text = text[:TEXT_LENGTH]
        if not _REPEATS.search(pattern):
            return re.search(pattern, text) is not None
        try:
            process = self._started()
            assert process.stdin is not None
            process.stdin.write(json.dumps([pattern, text]) + "\n")
            process.stdin.flush()
            return self._answer(TIMEOUT_S) == "1"
        except OSError as error:
            self.close()
            raise PatternTooSlowError(
                f"the pattern {pattern!r} cannot be matched: {error}"
            ) from error
        except PatternTooSlowError:
            self.close()
            raise PatternTooSlowError(
                f"the pattern {pattern!r} takes longer than {TIMEOUT_S:g} s on a text"
            ) from None

    def close(self) -> None:
        """End the process; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for the run, not for it
            )
            self._answer(START_S)
        return self._process

    def _answer(self, timeout_s: float) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            raise PatternTooSlowError
        line = self._process.stdout.readline()
        if not line:
            raise OSError("its process ended")
        return line.strip()
