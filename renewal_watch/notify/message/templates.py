"""Puts alerts in the user's own words: Jinja2 templates, rendered in a child process that can be killed.

Why a child: Jinja's sandbox keeps a template from the program's insides, but bounds neither time nor memory, and nothing
in Python ends a long call such as ``10 ** (10 ** 8)`` but the end of its process. So the system bounds it: work per job,
memory, no files, no further processes. The parent bounds the whole call, kills, and starts another child for the jobs
behind the one that hung. The child gets nothing of the parent's environment that may hold a secret.

What a user may do wrong in a template becomes a sentence, never an exception: the alert goes out in the built-in words.

The values are made harmless before the template sees them, not when it prints them: the template's own markup, macros,
and line breaks stay as they are written, and no filter, ``safe`` included, finds anything to let loose.

Parent and child speak lines of JSON: the jobs, one a line → ``{}`` once the child is ready, then the words of each job.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from renewal_watch import children
from renewal_watch.text import harmless, plain

if TYPE_CHECKING:  # only the child loads it
    import jinja2

FORMATS = ("text", "markdown", "html")
TIME_LIMIT_S = 5.0  # wall time of one call of ``render``, child start included; then it is killed
TIME_PER_JOB_S = 0.001  # added to it for each job; five times what one takes
SUBJECT_LIMIT = 200  # characters of a rendered subject
BODY_LIMIT = 4000  # characters of one rendered body

WORK_LIMIT_S = 0.5  # processor time of one job: not the wall's, for a busy machine is not the template's fault
STRIKES = 2  # children a template may end before the other jobs that use it are given up
MEMORY_LIMIT = 512 * 2**20  # bytes of address space; Python with Jinja takes 30 MiB of it
_CHILD_WORK_LIMIT_S = 60  # processor time of one child in all, which nothing that runs in it can put off
_BLANKS = 4  # times the limit that is read of an output, as blanks around it are not counted
_NEEDED = ("HOME", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE")  # by Python, to find its modules

_NOT_STARTED = "the process that renders templates cannot be started"
_TOO_LATE = "not rendered in time"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # and halves of characters: no service takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One alert to be put in the user's words.

    ``subject`` and ``body`` are template sources; None leaves the built-in words. ``format`` is one of FORMATS and says
    how the values are made harmless in the body; a subject is always plain text.
    """

    subject: str | None
    body: str | None
    format: str
    values: dict[str, str | int | bool | list[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What came of a job: the text of each part that has a template, or else ``fault``, one sentence that says why not.

    A fault names the part and, where known, the line: "body, line 2: 'nmber' is undefined".
    """

    subject: str | None = None
    body: str | None = None
    fault: str | None = None


def render(jobs: Sequence[Job]) -> list[Words]:
    """The words of each job, in order. Blocks for TIME_LIMIT_S and TIME_PER_JOB_S per job at most; raises nothing."""
    ends = time.monotonic() + TIME_LIMIT_S + TIME_PER_JOB_S * len(jobs)
    words = [Words() for _ in jobs]
    waiting = [index for index, job in enumerate(jobs) if _parts(job)]
    strikes: Counter[tuple[str | None, str | None, str]] = Counter()
    while waiting:
        answers, fault, blamed = _ask([jobs[index] for index in waiting], ends)
        for index, answer in zip(waiting, answers, strict=False):
            words[index] = answer
        waiting = waiting[len(answers) :]
        if not waiting:
            break
        given_up = set(waiting)
        if blamed:
            culprit = _templates(jobs[waiting[0]])
            strikes[culprit] += 1
            hopeless = strikes[culprit] == STRIKES
            given_up = {i for i in waiting if i == waiting[0] or (hopeless and _templates(jobs[i]) == culprit)}
        for index in given_up:
            words[index] = Words(fault=f"{_parts(jobs[index])}: {fault}")
        waiting = [index for index in waiting if index not in given_up]
    return words


def faults_of(jobs: Sequence[tuple[str, Job]]) -> list[str]:
    """For the configuration's check: a sentence for each different fault, with the place it was found at before it."""
    words = render([job for _, job in jobs])
    found = [f"{place}: {said.fault}" for (place, _), said in zip(jobs, words, strict=True) if said.fault]
    return list(dict.fromkeys(found))


def _parts(job: Job) -> str:
    """The parts that have a template, as a fault names them when it cannot say which of them it is in."""
    return " or ".join(name for name, source in (("subject", job.subject), ("body", job.body)) if source is not None)


def _templates(job: Job) -> tuple[str | None, str | None, str]:
    return job.subject, job.body, job.format


def _ask(jobs: Sequence[Job], ends: float) -> tuple[list[Words], str, bool]:
    """What one child answers, why it answers no more, and whether the first job without answer is to blame for that."""
    left = ends - time.monotonic()
    if left <= 0:
        return [], _TOO_LATE, False
    asked = "".join(
        json.dumps({"subject": job.subject, "body": job.body, "format": job.format, "values": job.values}) + "\n"
        for job in jobs
    )
    try:
        needed = {name: os.environ[name] for name in _NEEDED if name in os.environ}
        child = children.start("renewal_watch.notify.message.templates", needed)
    except OSError:
        return [], _NOT_STARTED, False
    with child:
        try:
            said, _ = child.communicate(asked.encode(), left)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()  # all it said before
            late = True
        else:
            late = False
        finally:
            child.kill()  # does nothing to one that has ended
    lines = said.split(b"\n")[:-1]  # a cut one is none
    if not lines or lines[0] != b"{}":  # or something of this Python prints as well, say a sitecustomize
        return [], _TOO_LATE if late else _NOT_STARTED, False
    answers = [Words(**json.loads(line)) for line in lines[1 : len(jobs) + 1]]
    if late:
        return answers, _TOO_LATE, False
    if child.returncode == -signal.SIGPROF:
        return answers, f"takes more than {WORK_LIMIT_S:g} s of work", True
    return answers, "the process that renders it was ended", True


# --- in the child -----------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """A template gives what cannot be sent; handled by ``_Renderer.words``."""


class _Renderer:
    """Templates by source, compiled once."""

    def __init__(self) -> None:
        import jinja2  # noqa: PLC0415 (only the child pays for it)
        from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

        def environment(*, autoescape: bool) -> jinja2.Environment:
            made = ImmutableSandboxedEnvironment(
                undefined=jinja2.StrictUndefined,
                autoescape=autoescape,
                finalize=self._printed,
                loader=jinja2.FunctionLoader(_no_other),
            )
            del made.globals["lipsum"]  # says something else each time
            return made

        self._environments = {name: environment(autoescape=name == "html") for name in FORMATS}
        self._compiled: dict[tuple[str, str], jinja2.Template] = {}
        self._syntax_error, self._undefined = jinja2.TemplateSyntaxError, jinja2.Undefined
        warm_up = "{{ 'a\\n'|wordwrap }}{{ 'a'|striptags }}{{ 1|pprint }}{{ missing }}"
        self.words({"subject": None, "body": warm_up, "format": "text", "values": {}})  # later, no module can be loaded

    def words(self, job: dict[str, Any]) -> dict[str, str]:
        """What ``Words`` is made of."""
        said: dict[str, str] = {}
        for part, format_, limit in (("subject", "text", SUBJECT_LIMIT), ("body", job["format"], BODY_LIMIT)):
            if job[part] is None:
                continue
            try:
                said[part] = self._text(part, job[part], format_, limit, job["values"])
            except Exception as error:  # noqa: BLE001 (a template can raise anything; all of it is its author's fault)
                line = self._line(error)
                where = part if line is None else f"{part}, line {line}"
                return {"fault": f"{where}: {_told(error, job['values'])}"}
        return said

    def _text(self, part: str, source: str, format_: str, limit: int, values: dict[str, Any]) -> str:
        template = self._compiled.get((source, format_))
        if template is None:
            template = self._compiled[source, format_] = self._environments[format_].from_string(source)
        pieces, length = [], 0
        for piece in template.generate({name: _harmless(value, format_) for name, value in values.items()}):
            pieces.append(piece)
            length += len(piece)
            if length > limit * _BLANKS:
                break
        text = _CONTROL.sub(" ", "".join(pieces))  # "+" would escape what is next to a piece of markup
        text = " ".join(text.split()) if part == "subject" else text.strip()
        if not text:
            raise _Refused("gives nothing")
        if len(text) > limit:
            msg = f"longer than {limit} characters"
            raise _Refused(msg)
        return text

    def _printed(self, value: Any) -> Any:
        """What ``{{ }}`` prints: nothing for None, a list with commas; what only Python can read is a mistake."""
        if value is None:
            return ""
        if isinstance(value, (list, tuple)):
            return ", ".join(str(self._printed(item)) for item in value)
        if isinstance(value, self._undefined):
            return value  # raises where it is printed
        if callable(value):
            raise _Refused("a function cannot be printed, only called with ()")
        if hasattr(value, "__next__"):
            raise _Refused("an unfinished list cannot be printed; put the filter join or list behind it")
        return value

    def _line(self, error: Exception) -> int | None:
        """The template's line an error is in, None if nobody knows."""
        if isinstance(error, self._syntax_error):
            return error.lineno
        line, at = None, error.__traceback__
        while at is not None:  # the last one: in a macro, not where it is called
            if at.tb_frame.f_code.co_filename == "<template>":
                line = at.tb_lineno
            at = at.tb_next
        return line


def _harmless(value: Any, format_: str) -> Any:
    """A value, or each of a list, as the format reads nothing but text in it."""
    if isinstance(value, list):
        return [_harmless(item, format_) for item in value]
    return harmless(value, format_, BODY_LIMIT) if isinstance(value, str) else value


def _no_other(_name: str) -> str:
    raise _Refused("there is no other template to include, import or extend")


def _told(error: Exception, values: dict[str, Any]) -> str:
    """An error as one sentence of a line, without a value that the template was given."""
    if isinstance(error, MemoryError):
        return f"takes more than {MEMORY_LIMIT // 2**20} MiB of memory"
    if isinstance(error, (ValueError, LookupError, OSError)):  # these quote what they could not read or find
        return f"a value does not fit here ({type(error).__name__})"
    said = str(getattr(error, "message", None) or getattr(error, "msg", None) or error) or type(error).__name__
    for value in _strings(values.values()):
        said = said.replace(repr(value), "'…'")
    return plain(said).rstrip(".")


def _strings(values: Iterable[Any]) -> list[str]:
    return [
        text for value in values for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]


def _confine() -> None:
    """From now on this process opens no file, writes none, starts no other, and has so much memory and time."""
    for which, most in (
        (resource.RLIMIT_AS, MEMORY_LIMIT),
        (resource.RLIMIT_CPU, _CHILD_WORK_LIMIT_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),  # it would hold the values
    ):
        given = resource.getrlimit(which)[1]
        bound = most if given == resource.RLIM_INFINITY else min(most, given)
        resource.setrlimit(which, (bound, bound))


def _serve() -> None:
    """The child: jobs until the input ends."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process, whatever that is doing
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    renderer = _Renderer()
    _confine()

    def answer(said: dict[str, str]) -> None:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()

    answer({})
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, WORK_LIMIT_S)
        answer(renderer.words(json.loads(line)))


if __name__ == "__main__":
    _serve()
