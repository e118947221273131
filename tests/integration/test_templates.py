"""The user's own words: real templates in the real child process, the hostile and the endless ones included."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jinja2
import markdown
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.notify.message import templates
from renewal_watch.notify.message.templates import BODY_LIMIT, FORMATS, SUBJECT_LIMIT, Job, Words, faults_of, render
from renewal_watch.text import harmless

VALUES: dict[str, Any] = {
    "number": "+15550001",
    "kind": "renewal.upcoming",
    "days": 3,
    "urgent": True,
    "name": None,
    "numbers": ["+15550001", "+15550002"],
    "renews_on": "2026-11-26",
    "price": "1.00 USD",
}
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"  # says nothing until 10^10
GOOD = "{{ number }} renews in {{ days }} days"
SAID = "+15550001 renews in 3 days"


def job(body: str | None = None, subject: str | None = None, format: str = "text", **values: Any) -> Job:
    return Job(subject=subject, body=body, format=format, values=VALUES | values)


def one(body: str | None = None, subject: str | None = None, format: str = "text", **values: Any) -> Words:
    (words,) = render([job(body, subject, format, **values)])
    return words


def bodies(jobs: list[Job]) -> list[str]:
    words = render(jobs)
    assert [each.fault for each in words] == [None] * len(jobs)
    return [each.body or "" for each in words]


# --- what a template says ---------------------------------------------------------------------------------------------


def test_ordinary_templates_say_what_is_written_in_each_format() -> None:
    written = {
        f"\n{GOOD}.\n\n{{% for each in numbers %}}- {{{{ each }}}}\n{{% endfor %}}": f"{SAID}.\n\n- +15550001\n- +15550002",
        "{{ kind }} on {{ renews_on }} for {{ price }}": "renewal.upcoming on 2026-11-26 for 1.00 USD",
        "{% if urgent and days <= 3 %}Now{% else %}Later{% endif %}": "Now",
        "{{ numbers }}|{{ name }}|{{ urgent }}": "+15550001, +15550002||True",
        "{{ numbers|join('\\n') }}": "+15550001\n+15550002",
        "{% macro line(n) %}- {{ n }}\n{% endmacro %}{{ line(number) }}{{ line(days) }}": "- +15550001\n- 3",
        "{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}": "3",
        "{{ missing|default('none') }}": "none",
        "Müller 😀 £": "Müller 😀 £",
        "a{{ '\\u0000\\ud800\\u001b[1m' }}b": "a   [1mb",  # no service takes these
    }
    for each in FORMATS:
        assert bodies([job(source, format=each) for source in written]) == list(written.values()), each


def test_markup_of_the_template_itself_stays() -> None:
    table = {
        ("text", "*{{ number }}* <https://a.example|x>"): "*+15550001* <https://a.example|x>",
        (
            "markdown",
            "**{{ number }}** [x](https://a.example/?n={{ days }})",
        ): "**+15550001** [x](https://a.example/?n=3)",
        ("html", "<b>{{ number }}</b> <a href='https://a.example'>{{ days }} & more</a>\n<i>"): (
            "<b>+15550001</b> <a href='https://a.example'>3 & more</a>\n<i>"
        ),
        ("html", "{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}<p>{{ b(number) }}</p>"): "<p><b>+15550001</b></p>",
        ("html", "{% set x %}<b>{{ number }}</b>{% endset %}<p>{{ x }}</p>"): "<p><b>+15550001</b></p>",
        ("html", "{{ '<b>' }}{{ '<b>'|safe }}"): "&lt;b&gt;<b>",
    }
    assert bodies([job(source, format=each) for each, source in table]) == list(table.values())


def test_a_subject_is_one_line_of_plain_text_whatever_the_format() -> None:
    jobs = [job(GOOD, "\n {{ number }}:\r\n\tnow\u2028{{ evil }} ", each, evil='<b> a_b "c"') for each in FORMATS]
    assert [(each.subject, each.body) for each in render(jobs)] == [('+15550001: now ‹b› a_b "c"', SAID)] * 3


def test_a_part_without_template_keeps_the_built_in_words() -> None:
    assert render([job(), job("b"), job(None, "s"), job("b", "s")]) == [
        Words(),
        Words(body="b"),
        Words(subject="s"),
        Words(subject="s", body="b"),
    ]
    assert render([]) == []


# --- values are text --------------------------------------------------------------------------------------------------

HOSTILE = {  # value: what a text, a markdown and an HTML body say
    "<!channel>": ("‹!channel›",) * 3,
    "@everyone": ("＠everyone",) * 3,
    "<b>x</b>": ("‹b›x‹/b›",) * 3,
    "<script>": ("‹script›",) * 3,
    "a & b &lt;": ("a + b +lt;",) * 3,
    "[pay](https://evil.example)": (
        "(pay)(https evil.example)",
        "（pay)(https evil.example)",
        "(pay)(https evil.example)",
    ),
    "![x](http://evil.example)": ("!(x)(http evil.example)",) * 3,
    "(https://evil.example)": ("(https evil.example)", "（https evil.example)", "(https evil.example)"),
    ": https://evil.example": (": https evil.example", "： https evil.example", ": https evil.example"),
    "**b** _i_ ~s~ `c`": ("∗∗b∗∗ -i- ∼s∼ 'c'", "∗∗b∗∗ -i- ∼s∼ 'c'", "∗∗b∗∗ -i- ∼s∼ ’c’"),
    "snake_case": ("snake_case", "snake＿case", "snake_case"),
    "# head": ("head",) * 3,
    "- item": ("item",) * 3,
    "> said": ("› said",) * 3,
    "1. item": ("1. item", "1․ item", "1. item"),
    "2) item": ("2) item", "2） item", "2) item"),
    "\" onload='x'": ("\" onload='x'", "\" onload='x'", "” onload=’x’"),
    "a\nb\r\nBcc: c": ("a b Bcc: c",) * 3,
    "\x1b[31m\u202e\ud800": ("(31m", "（31m", "(31m"),
    "\\*": ("/∗",) * 3,
    "{{ days }}{% for %}": ("{{ days }}{% for %}",) * 3,
    "+15550001": ("+15550001",) * 3,
    "1.00 USD": ("1.00 USD",) * 3,
    "in 3 days": ("in 3 days",) * 3,
    "2026-11-26": ("2026-11-26",) * 3,
    "renewal.upcoming": ("renewal.upcoming",) * 3,
}


def test_a_value_brings_no_markup_mention_or_link_into_any_format_and_no_filter_lets_it() -> None:
    sources = (
        "{{ v }}",
        "{{ v|safe }}",
        "{{ vs[0] }}",
        "{{ vs|join }}",
        "{{ vs }}",
        "{{ v|escape|safe }}",
        "{{ v|striptags }}",
    )
    cases = [
        (job(source, format=each, v=value, vs=[value]), text)
        for value, said in HOSTILE.items()
        for each, text in zip(FORMATS, said, strict=True)
        for source in (sources if each == "html" else sources[:5])
    ]
    assert bodies([each for each, _ in cases]) == [said for _, said in cases]


@given(st.text() | st.lists(st.sampled_from([*"<>&*~`|@[]()\\_#=-+:/!.\"' \n\ta1é", "http://", "1. "])).map("".join))
@example("1) x")
@example("(a.example)")
@example(": a.example")
def test_markdown_finds_nothing_but_text_in_a_value(value: str) -> None:
    said = harmless(value, "markdown")
    html = markdown.markdown(f"{said}\n\nsee [it]{said} and\n{said}\n\n[it]{said}", extensions=["extra"])
    assert set(re.findall(r"</?\w+", html)) <= {"<p", "</p"}
    assert "_" not in said


# --- what a user may do wrong -----------------------------------------------------------------------------------------

UNSAFE = "body, line 1: access to attribute '--{}--' of '{}' object is unsafe"
NO_OTHER = "body, line 1: there is no other template to include, import or extend"
WRONG = {
    "a\n{{ nmber }}": "body, line 2: 'nmber' is undefined",
    "{{ nmber.x }}": "body, line 1: 'nmber' is undefined",
    "{% if nmber %}a{% endif %}": "body, line 1: 'nmber' is undefined",
    "a\n\n{% if %}": "body, line 3: Expected an expression, got 'end of statement block'",
    "{{ number": "body, line 1: unexpected end of template, expected 'end of print statement'",
    "{{ number|nofilter }}": "body, line 1: No filter named 'nofilter'",
    "a\n{{ number + 1 }}": 'body, line 2: can only concatenate str (not "int") to str',
    "{{ 1 / 0 }}": "body, line 1: division by zero",
    "{% macro f() %}\n{{ nmber }}{% endmacro %}\n{{ f() }}": "body, line 2: 'nmber' is undefined",
    "{{ number.upper }}": "body, line 1: a function cannot be printed, only called with ()",
    "{{ numbers|map('upper') }}": "body, line 1: an unfinished list cannot be printed; put the filter join or list behind it",
    "": "body: gives nothing",
    " \n{{ name }}{# nothing #}\n": "body: gives nothing",
    "{{ ''.__class__.__mro__ }}": UNSAFE.format("class", "str"),
    "{{ number.__class__ }}": UNSAFE.format("class", "str"),
    "{{ number['__class__'] }}": UNSAFE.format("class", "str"),
    "{{ number|attr('__class__') }}": UNSAFE.format("class", "str"),
    "{{ '{0.__class__}'.format(number) }}": UNSAFE.format("class", "str"),
    "{{ [number]|map(attribute='__class__')|join }}": UNSAFE.format("class", "str"),
    "{{ cycler.__init__.__globals__ }}": UNSAFE.format("init", "type"),
    "{{ joiner.__init__.__globals__ }}": UNSAFE.format("init", "type"),
    "{{ namespace.__init__.__globals__ }}": UNSAFE.format("init", "type"),
    "{{ lipsum.__globals__ }}": "body, line 1: 'lipsum' is undefined",
    "{{ numbers.append(1) }}": "body, line 1: access to attribute 'append' of 'list' object is unsafe",
    "{% include 'other' %}": NO_OTHER,
    "{% include 'other' ignore missing %}": NO_OTHER,
    "{% import 'other' as x %}{{ x.y }}": NO_OTHER,
    "{% from '/etc/passwd' import x %}": NO_OTHER,
    "{% extends 'other' %}": NO_OTHER,
    "{{ range(10 ** 9) }}": "body, line 1: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}": "body, line 1: maximum recursion depth exceeded",
    "{% for n in numbers %}" * 30 + "{% endfor %}" * 30: "body: too many statically nested blocks",
    "{{ 'a' * 10 ** 10 }}": "body, line 1: takes more than 512 MiB of memory",
    "{{ 'a'|center(10 ** 9) }}": "body, line 1: takes more than 512 MiB of memory",
    "{{ '%1000000000d'|format(1) }}": "body, line 1: takes more than 512 MiB of memory",
    "{% for i in range(99999) %}abc{% endfor %}": f"body: longer than {BODY_LIMIT} characters",
    "{% for i in range(99999) %}{% for i in range(99999) %}abc{% endfor %}{% endfor %}": f"body: longer than {BODY_LIMIT} characters",
}


def test_each_mistake_is_a_sentence_with_part_and_line_and_costs_no_other_job_its_words() -> None:
    jobs = [job(body) for source in WRONG for body in (source, GOOD)]
    words = render(jobs)
    assert dict(zip(WRONG, [each.fault for each in words[::2]], strict=True)) == WRONG
    assert all(each.subject is None and each.body is None for each in words[::2])
    assert words[1::2] == [Words(body=SAID)] * len(WRONG)


def test_a_fault_in_one_part_gives_neither() -> None:
    assert render([job(GOOD, "{{ nmber }}"), job("{{ nmber }}", GOOD), job(GOOD, " ")]) == [
        Words(fault="subject, line 1: 'nmber' is undefined"),
        Words(fault="body, line 1: 'nmber' is undefined"),
        Words(fault="subject: gives nothing"),
    ]


def test_each_part_may_be_as_long_as_its_limit() -> None:
    body, subject = "b" * BODY_LIMIT, "s" * SUBJECT_LIMIT
    assert render([job(f"\n\n{body}\n", f" {subject} "), job(body + "b"), job(None, subject + "s")]) == [
        Words(subject=subject, body=body),
        Words(fault=f"body: longer than {BODY_LIMIT} characters"),
        Words(fault=f"subject: longer than {SUBJECT_LIMIT} characters"),
    ]


def test_no_fault_quotes_a_value() -> None:
    secret = "CanaryValue42"
    sources = (
        "{{ {}[v] }}",
        "{{ numbers[v] }}",
        "{{ number|attr(v) }}",
        "{{ {}|map(attribute=v)|first }}",
        "{{ v.index('x') }}",
        "{{ vs.index('x') }}",
        "{{ v % 1 }}",
        "{{ ('%d' ~ v) % v }}",
        "{{ '{0}{1}'.format(v) }}",
        "{{ v.encode(v) }}",
        "{{ {}.pop(v) }}",
        "{% include v %}",
        "{{ v() }}",
        "{{ v + 1 }}",
    )
    for each, source in zip(render([job(s, v=secret, vs=[secret]) for s in sources]), sources, strict=True):
        assert each.fault, source
        assert secret not in each.fault, source


def test_every_filter_works_where_no_file_can_be_opened() -> None:
    """A filter that loads a module when it is first used would find none; see the renderer's warm-up."""
    sources = [
        f"{{{{ {value}|{name}{arguments} }}}}"
        for name in jinja2.Environment().filters
        for value in ("number", "numbers", "days")
        for arguments in ("", "(1)", "('a')")
    ]
    assert [
        s for s, said in zip(sources, render([job(s) for s in sources]), strict=True) if "OSError" in str(said)
    ] == []


# --- what only a kill ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [ENDLESS, "{{ 10 ** (10 ** 8) }}"])  # the second is one call into C
def test_a_job_that_does_not_end_is_killed_and_the_others_keep_their_words(source: str) -> None:
    fault = "body: takes more than 0.5 s of work"
    assert render([job(GOOD), job(source), job(GOOD), job()]) == [
        Words(body=SAID),
        Words(fault=fault),
        Words(body=SAID),
        Words(),
    ]


def test_a_template_that_hangs_again_and_again_is_given_up_for_all_jobs_that_use_it() -> None:
    bad, good = job(ENDLESS, "a subject"), job(GOOD)
    started = time.monotonic()
    words = render([bad, good] * 50)
    assert time.monotonic() - started < templates.TIME_LIMIT_S
    assert words[::2] == [Words(fault="subject or body: takes more than 0.5 s of work")] * 50
    assert words[1::2] == [Words(body=SAID)] * 50


def test_the_call_ends_in_time_and_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "TIME_LIMIT_S", 1.0)
    hanging = [job(f"{ENDLESS}{i}") for i in range(9)]
    started = time.monotonic()
    words = render([job(GOOD), *hanging, job(GOOD)])
    assert time.monotonic() - started < 3
    assert words[0] == Words(body=SAID)
    assert words[-1] == Words(fault="body: not rendered in time")
    assert all(each.fault for each in words[1:])
    assert children() == set()


def test_without_any_time_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "TIME_LIMIT_S", -1.0)
    assert one(GOOD) == Words(fault="body: not rendered in time")


def children() -> set[int]:
    """The processes that this one has, ended and not waited for included."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def work(pid: int) -> int:
    """Processor time in ticks of 10 ms."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def test_a_child_killed_from_outside_costs_the_job_it_was_at_and_leaves_no_process_and_no_pipe() -> None:
    before, open_before = children(), len(list(Path("/proc/self/fd").iterdir()))
    confined: dict[int, int] = {}

    def kill() -> None:
        """A child that is at the endless job: it has worked for a while since it was confined."""
        while True:
            for pid in children() - before:
                if re.search(r"Max open files +3 ", Path(f"/proc/{pid}/limits").read_text()):
                    confined.setdefault(pid, work(pid))
                    if work(pid) - confined[pid] >= 5:
                        os.kill(pid, signal.SIGKILL)
                        return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    words = render([job(ENDLESS), job(GOOD)])
    killer.join(5)
    assert words == [Words(fault="body: the process that renders it was ended"), Words(body=SAID)]
    assert children() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_child_that_cannot_start_is_a_fault_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fault = Words(fault="body: the process that renders templates cannot be started")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(tmp_path / "no-python"))
        assert render([job(GOOD), job(), job(GOOD)]) == [fault, Words(), fault]
    (tmp_path / "jinja2.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert render([job(GOOD), job(GOOD)]) == [fault, fault]
    (tmp_path / "jinja2.py").unlink()
    (tmp_path / "sitecustomize.py").write_text("print('good morning')")
    assert render([job(GOOD), job(GOOD)]) == [fault, fault]


# --- the child --------------------------------------------------------------------------------------------------------


def test_the_child_sees_no_secret_of_the_environment_and_is_confined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seen from inside: what Python loads at its start writes down what the child is given."""
    monkeypatch.setenv("TALKOVER_TOKEN", "CanarySecret42")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, sys\n"
        f"with open({str(tmp_path / 'seen')!r}, 'w') as seen:\n"
        f"    print(*os.environ, *os.environ.values(), *sys.orig_argv, sep='\\n', file=seen)\n"
    )
    assert one(GOOD) == Words(body=SAID)
    seen = (tmp_path / "seen").read_text()
    assert "renewal_watch.notify.message.templates" in seen
    assert "CanarySecret42" not in seen
    assert "TALKOVER_TOKEN" not in seen


def test_a_confined_process_opens_no_file_and_starts_no_other() -> None:
    tried = """
import os, subprocess, sys
from renewal_watch.notify.message.templates import _confine
_confine()
for attempt in (lambda: open(os.devnull), lambda: subprocess.run([sys.executable, "-V"]), lambda: "a" * 2**30):
    try:
        attempt()
    except (OSError, MemoryError) as error:
        print(type(error).__name__)
"""
    ran = subprocess.run([sys.executable, "-c", tried], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["OSError", "OSError", "MemoryError"]


def test_the_parent_never_loads_jinja() -> None:
    tried = "import sys, renewal_watch.notify.message.templates as t; t.render([]); sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", tried], check=True)


def test_many_jobs_pass_both_pipes_in_time() -> None:
    text = "x" * 2000
    jobs = [job(f"{GOOD} {{{{ i }}}} {text}", "{{ number }} soon", FORMATS[i % 3], i=i) for i in range(5000)]
    words = render(jobs)
    assert [each.body for each in words] == [f"{SAID} {i} {text}" for i in range(5000)]


# --- for the check of the configuration -------------------------------------------------------------------------------


def test_the_check_says_each_fault_once_for_each_place() -> None:
    bad, good = job("a\n{{ nmber }}"), job(GOOD)
    assert faults_of([("templates.1", bad), ("templates.1", bad), ("templates.2", good), ("templates.3", bad)]) == [
        "templates.1: body, line 2: 'nmber' is undefined",
        "templates.3: body, line 2: 'nmber' is undefined",
    ]
    assert faults_of([]) == []


# --- always -----------------------------------------------------------------------------------------------------------

TOKENS = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    " ",
    "\n",
    "for",
    "in",
    "if",
    "endif",
    "endfor",
    "set",
    "macro",
    "endmacro",
]
TOKENS += ["number", "numbers", "name", "days", "loop", "self", "|", ".", "(", ")", "[", "]", "=", ",", "-", "+", "~"]
TOKENS += [
    "'",
    '"',
    "\\",
    "1",
    "upper",
    "join",
    "__class__",
    "\ud800",
    "\x00",
    "é",
    "safe",
    "raw",
    "endraw",
    "not",
    "is",
]
SOURCES = st.text() | st.lists(st.sampled_from(TOKENS), max_size=12).map("".join)
PRINTED = st.lists(st.sampled_from(TOKENS), max_size=6).map(lambda found: "{{ " + " ".join(found) + " }}")


@few(4)
@given(st.lists(st.tuples(SOURCES | PRINTED, SOURCES | PRINTED, st.sampled_from(FORMATS)), min_size=50, max_size=100))
def test_any_text_as_template_gives_words_or_a_fault_of_one_line(sources: list[tuple[str, str, str]]) -> None:
    words = render([job(body, subject, each) for body, subject, each in sources])
    assert len(words) == len(sources)
    for each in words:
        assert (each.fault is None) == (each.subject is not None) == (each.body is not None)
        assert len((each.fault or each.subject or "").splitlines()) == 1
        assert 0 < len(each.subject or "x") <= SUBJECT_LIMIT
        assert 0 < len(each.body or "x") <= BODY_LIMIT
        (each.body or "").encode()
