"""The catalogue of tasks, and the forms that start jobs."""

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from html import unescape
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.histogram import bucket_of
from pacifica.dispatcher.core.job import new_uuid
from pacifica.dispatcher.core.job_filter import JobFilter
from pacifica.dispatcher.core.permissions import EVERY_JOB
from pacifica.dispatcher.core.queue_names import QueueNames
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.store import job_minutes
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.job_minutes import HOUR_SPAN, EndedJobs, MinuteKey
from pacifica.dispatcher.store.present_jobs import PresentJobs

from ..store.conftest import a_job
from .html_form import HtmlForm
from .pages_client import Answer, PagesClient

Browse = Callable[..., PagesClient]
EVIL = "<script>alert(1)</script>"


class Step(BaseModel):
    minutes: int
    hot: bool = False


class Recipe(BaseModel):
    """A recipe with steps."""

    name: str
    steps: list[Step] = []
    note: str | None = None


def simple(x: int, y: int = 2) -> int:
    """The sum. It needs `` two `` numbers.

    More about it.
    """
    return x + y


def typed(
    count: Annotated[int, Field(ge=1, le=9, multiple_of=2, description="How many")],
    code: Annotated[str, Field(pattern="^[A-Z]{2}$", max_length=2)],
    ratio: Annotated[float, Field(gt=0)] = 0.5,
    dry: bool = False,
    colour: Literal["red", "blue"] = "red",
    at: datetime | None = None,
    words: list[str] = [],  # noqa: B006
    recipe: Recipe | None = None,
    *,
    yes: bool,
    **more: int,
) -> None: ...


def evil(text: str = EVIL, choice: Literal["<script>alert(1)</script>", "b"] = "b") -> None: ...


def positional(a: int, /, *rest: int) -> None: ...


def cook(recipe: Recipe) -> None: ...


SPECS = {
    "simple": TaskSpec("simple", simple, simple.__doc__ or ""),
    "typed": TaskSpec("typed", typed),
    "evil": TaskSpec("evil", evil, f"Say {EVIL} now. And more."),
    "positional": TaskSpec("positional", positional),
    "cook": TaskSpec("cook", cook),
}
TASKS = Registry(list(SPECS.values()))
VALID = {"a:count": "4", "a:code": "AB", "a:yes": "true"}


@pytest.fixture
def pages(browse: Browse) -> PagesClient:
    return browse(registry=TASKS, keep_keys=60)


def form(answer: Answer) -> HtmlForm:
    return HtmlForm(answer.text, "task-form")


def submit(pages: PagesClient, task: str, **fields: str) -> Answer:
    """Open the form, fill in these arguments, and send it as a browser does."""
    shown = form(pages.get(f"/ui/tasks/{task}"))
    given = {f"a:{name}" if ":" not in name else name: text for name, text in fields.items()}
    return pages.post(f"/ui/tasks/{task}", fields={**shown.fields, **given})


def started(pages: PagesClient, answer: Answer) -> Any:
    assert answer.status == 303, answer.text
    job = pages.jobs.get(answer.headers["Location"].rpartition("/")[2])
    assert job is not None
    return job


def jobs(pages: PagesClient) -> Sequence[Any]:
    return pages.jobs.search(JobFilter(), None, 10, EVERY_JOB)[0]


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("number", [0, 1, 10, 11, 200])
def test_catalogue_lists_every_task(browse: Browse, number: int) -> None:
    specs = [TaskSpec(f"lab.task{place}", simple, f"Task {place}. More.") for place in range(number)]
    page = browse(registry=Registry(specs)).get("/ui/tasks")
    assert page.status == 200
    assert page.text.count("<tr data-row") == number
    assert ('id="task-filter"' in page.text) == (number > 10)
    assert ("No task is registered." in page.text) == (number == 0)
    assert all(f'href="/ui/tasks/lab.task{place}"' in page.text for place in range(number))


def test_catalogue_shows_first_sentence_and_arguments(pages: PagesClient) -> None:
    text = " ".join(text_of(pages.get("/ui/tasks").text).split())
    assert "simple The sum. x whole number y whole number = 2" in text
    assert "It needs" not in text
    assert "positional a whole number *rest list of whole numbers, optional" in text
    assert "recipe {name, steps, note}" in text


def add_history(record: Database, task: str, outcome: str, jobs: int, *, run: float = 0.0, hours_ago: int = 0) -> None:
    hour = int(time.time()) // HOUR_SPAN * HOUR_SPAN - hours_ago * HOUR_SPAN
    histogram = {bucket_of(int(run * 1_000_000)): jobs} if run else {}
    rows = {MinuteKey(HOUR_SPAN, hour, task, outcome): EndedJobs(jobs, histogram)}
    record.write(lambda db: job_minutes.add(db, rows))


def figures(answer: Answer) -> dict[str, list[str]]:
    """The numbers of each row of the catalogue."""
    rows = re.findall(r"<tr data-row.*?</tr>", answer.text, re.DOTALL)
    found = [
        [text_of(each) for each in re.findall(r'<(?:a class="name"|td class="number).*?</\w+>', row)] for row in rows
    ]
    return {row[0]: row[1:] for row in found}


def test_catalogue_shows_how_the_jobs_of_the_last_day_went(browse: Browse, record: Database) -> None:
    client = browse(registry=TASKS)
    add_history(record, "simple", "SUCCESS", 1997 - 23, run=0.5)
    for hours_ago in range(1, 24):
        add_history(record, "simple", "SUCCESS", 1, run=0.5, hours_ago=hours_ago)
    add_history(record, "simple", "FAILURE", 3, run=200, hours_ago=5)
    add_history(record, "simple", "REVOKED", 10)
    add_history(record, "simple", "FAILURE", 1000, run=200, hours_ago=30)
    add_history(record, "cook", "FAILURE", 2)
    add_history(record, "gone", "FAILURE", 2)
    found = figures(client.get("/ui/tasks"))
    jobs, failed, median, slow = found["simple"]
    assert (jobs, failed, found["cook"], found["evil"]) == ("2,010", "< 1 %", ["2", "100 %", "—", "—"], ["—"] * 4)
    assert "ms" in median
    assert "ms" in slow
    assert "2,010 ended, &lt; 1 % failed" in client.get("/ui/tasks/simple").text


def test_only_the_last_hours_are_read_again(browse: Browse, record: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browse(registry=TASKS)
    add_history(record, "simple", "SUCCESS", 7, hours_ago=5)
    assert figures(client.get("/ui/tasks"))["simple"][0] == "7"
    read_again = []
    read = PresentJobs.history_of_tasks

    def note(self: PresentJobs, span: int, since: int, *tasks: Any, **before: Any) -> Any:
        read_again.append(since)
        return read(self, span, since, *tasks, **before)

    monkeypatch.setattr(PresentJobs, "history_of_tasks", note)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 20)
    add_history(record, "simple", "SUCCESS", 2)
    assert figures(client.get("/ui/tasks"))["simple"][0] == "9"
    assert [time.time() - since < 2.1 * HOUR_SPAN for since in read_again] == [True]


def test_catalogue_has_no_numbers_without_jobs(pages: PagesClient) -> None:
    assert set(map(tuple, figures(pages.get("/ui/tasks")).values())) == {()}


def test_numbers_are_only_of_tasks_that_the_caller_may_see(browse: Browse, record: Database) -> None:
    client = browse(registry=TASKS, anonymous="none")
    for task in ("simple", "cook"):
        add_history(record, task, "SUCCESS", 77, run=1)
    found = figures(client.get("/ui/tasks", client.token("some", "read:cook")))
    assert (found["simple"][0], found["cook"][0]) == ("—", "77")
    own = client.tokens.create("own", ["read"], own=True, lifetime=None)[0]
    assert set(map(tuple, figures(client.get("/ui/tasks", own)).values())) == {()}


def test_catalogue_is_filtered_without_script(browse: Browse) -> None:
    specs = [TaskSpec(f"lab.task{place}", simple, f"Word{place}.") for place in range(12)]
    client = browse(registry=Registry(specs))
    assert client.get("/ui/tasks?q=TASK11").text.count("<tr data-row") == 1
    assert client.get("/ui/tasks?q=word3").text.count("<tr data-row") == 1
    nothing = client.get("/ui/tasks?q=%3Cscript%3E").text
    assert "No task matches “&lt;script&gt;”." in nothing


def test_catalogue_names_tasks_that_cannot_be_started(browse: Browse) -> None:
    client = browse(registry=Registry([SPECS["simple"]], {"lab.bad": "a sentence with /a/path"}))
    page = client.get("/ui/tasks")
    assert "<code>lab.bad</code>" in page.text
    assert "/a/path" not in page.text
    assert client.get("/ui/tasks/lab.bad").status == 404
    assert "cannot be started" not in browse(registry=TASKS).get("/ui/tasks").text


def test_form_has_a_field_for_each_argument(pages: PagesClient) -> None:
    shown = form(pages.get("/ui/tasks/typed"))
    assert shown.controls["a:count"].items() >= {"type": "number", "min": "2", "max": "9", "step": "2"}.items()
    assert "required" in shown.controls["a:count"]
    assert shown.controls["a:code"].items() >= {"pattern": "[A-Z]{2}", "maxlength": "2", "type": "text"}.items()
    assert shown.controls["a:ratio"].items() >= {"placeholder": "0.5", "min": "0", "step": "any"}.items()
    assert "required" not in shown.controls["a:ratio"]
    assert shown.options["a:dry"] == ["", "true", "false"]
    assert shown.options["a:colour"] == ["", '"red"', '"blue"']
    assert shown.controls["a:at"]["type"] == "datetime-local"
    assert shown.controls["a:words"]["data-lines"] == "text"
    assert shown.options["a:recipe#empty"] == ["out", "null", "given"]
    assert shown.fields["a:yes"] == "false"
    assert "a:**" in shown.controls
    assert "a:recipe.steps#count" in shown.controls


def test_browser_requires_no_field_that_may_be_hidden(pages: PagesClient) -> None:
    assert "required" in form(pages.get("/ui/tasks/typed")).controls["a:code"]
    added = {**VALID, "change": "+a:recipe.steps"}
    shown = form(pages.post("/ui/tasks/typed", fields=added))
    assert "required" not in shown.controls["a:recipe.steps[0].minutes"]
    added = {"a:recipe.name": "Soup", "change": "+a:recipe.steps"}
    shown = form(pages.post("/ui/tasks/cook", fields=added))
    assert "required" in shown.controls["a:recipe.steps[0].minutes"]


def test_page_knows_how_large_a_file_may_be(pages: PagesClient) -> None:
    assert 'data-most="1048576"' in pages.get("/ui/tasks/simple").text


def test_every_field_has_a_label_and_says_what_is_allowed(pages: PagesClient) -> None:
    page = pages.get("/ui/tasks/typed").text
    labelled = set(re.findall(r'<label[^>]*for="([^"]*)"', page))
    ids = set(re.findall(r'<(?:input|textarea|select) id="([^"]*)"', page))
    assert ids - labelled == set()
    described = {one for found in re.findall(r'aria-describedby="([^"]*)"', page) for one in found.split()}
    assert described <= set(re.findall(r' id="([^"]*)"', page))
    assert "How many" in page
    assert "Whole number, 1 to 9, a multiple of 2" in page


def test_ids_of_a_page_are_unique(pages: PagesClient) -> None:
    for task in SPECS:
        found = re.findall(r' id="([^"]*)"', pages.get(f"/ui/tasks/{task}").text)
        assert len(found) == len(set(found))


def test_job_is_started_with_the_values_of_the_form(pages: PagesClient) -> None:
    job = started(pages, submit(pages, "simple", x="5", y="0"))
    assert (job.task, job.args, job.kwargs) == ("simple", [], {"x": 5, "y": 0})
    assert job.state == "PENDING"
    assert (job.queue, job.priority, job.eta, job.labels) == (None, None, None, None)


def test_empty_fields_are_left_out(pages: PagesClient) -> None:
    assert started(pages, submit(pages, "simple", x="-7")).kwargs == {"x": -7}


def test_values_of_each_kind_reach_the_job(pages: PagesClient) -> None:
    job = started(
        pages,
        submit(
            pages,
            "typed",
            count="4",
            code="AB",
            ratio="1e-3",
            dry="true",
            colour='"blue"',
            at="2026-01-31T12:00",
            words="é\r\n\r\nb c",
            yes="false",
            **{"a:at#zone": "+02:00", "a:recipe#empty": "null", "a:**": '{"other": 12345678901234567890}'},
        ),
    )
    assert job.kwargs == {
        "count": 4,
        "code": "AB",
        "ratio": 0.001,
        "dry": True,
        "colour": "blue",
        "at": "2026-01-31T12:00+02:00",
        "words": ["é", "b c"],
        "recipe": None,
        "yes": False,
        "other": 12345678901234567890,
    }


def test_arguments_without_names_are_passed_by_position(pages: PagesClient) -> None:
    job = started(pages, submit(pages, "positional", a="1", rest="2\n3"))
    assert (job.args, job.kwargs) == ([1, 2, 3], {})


def test_options_reach_the_job(pages: PagesClient) -> None:
    options = {"o:queue": "slow", "o:priority": "7", "o:max_attempts": "2", "o:labels": "run=17\nsample = S=1"}
    job = started(pages, submit(pages, "simple", x="1", **options, **{"o:eta": "2126-01-01T00:00", "o:eta#zone": "Z"}))
    assert (job.queue, job.priority, job.max_attempts) == ("slow", 7, 2)
    assert job.labels == {"run": "17", "sample": "S=1"}
    assert job.eta is not None


def test_queue_is_chosen_from_those_that_are_declared(browse: Browse) -> None:
    registry = Registry([SPECS["simple"]], queues=QueueNames(["celery", "slow"]))
    assert form(browse(registry=registry).get("/ui/tasks/simple")).options["o:queue"] == ["", '"celery"', '"slow"']


def test_fault_is_shown_at_its_field_and_what_was_typed_is_kept(pages: PagesClient) -> None:
    answer = submit(pages, "typed", count="3", code="abc", ratio="many", yes="true", words="one\ntwo")
    assert answer.status == 422
    assert answer.title.startswith("Not started: ")
    shown = form(answer)
    kept = {name: shown.fields[f"a:{name}"] for name in ("count", "code", "ratio", "yes", "words")}
    assert kept == {"count": "3", "code": "abc", "ratio": "many", "yes": "true", "words": "one\ntwo"}
    assert shown.controls["a:ratio"]["type"] == "text"  # A number's input would drop the text.
    for name in ("count", "code", "ratio"):
        control = shown.controls[f"a:{name}"]
        assert control["aria-invalid"] == "true"
        assert f"a-{name}-fault" in control["aria-describedby"]
        assert re.search(f'id="a-{name}-fault">[^<]*should', answer.text)
        assert f'<a href="#a-{name}">' in answer.text
    assert "aria-invalid" not in shown.controls["a:yes"]
    assert not jobs(pages)


@pytest.mark.parametrize(
    ("task", "fields", "place", "words"),
    [
        ("simple", {}, "a-x", "is missing"),
        ("simple", {"x": "1.5"}, "a-x", "should be a valid integer"),
        ("typed", {**VALID, "a:at": "2026-01-31T12:00", "a:at#zone": ""}, "a-at", "offset"),
        ("typed", {**VALID, "a:colour": "green"}, "a-colour", "should be"),
        ("typed", {**VALID, "a:**": '{"a": "x"}'}, "a-_2a_2a", "should be a valid integer"),
        ("typed", {**VALID, "a:**": "{"}, "a-_2a_2a", "is not JSON"),
        ("positional", {"a": "1", "rest": "2\nx"}, "a-rest", "item 2: should be a valid integer"),
        ("cook", {"recipe.name#empty": "missing"}, "a-recipe_2ename", "is missing"),
        ("simple", {"x": "1", "o:priority": "10"}, "o-priority", "less than or equal to 9"),
        ("simple", {"x": "1", "o:labels": "a"}, "o-labels", "should be name=value"),
        ("simple", {"x": "1", "o:labels": "a b=c"}, "o-labels", "label"),
    ],
)
def test_fault_belongs_to_the_innermost_field(
    pages: PagesClient, task: str, fields: dict[str, str], place: str, words: str
) -> None:
    answer = submit(pages, task, **fields)
    assert answer.status == 422
    found = re.search(f'id="{place}-fault">([^<]*)<', answer.text)
    assert found is not None, re.findall(r'id="[^"]*-fault">[^<]*<', answer.text)
    assert words in unescape(found[1])
    assert f'<a href="#{place}">' in answer.text


def test_fault_of_an_option_unfolds_the_options(pages: PagesClient) -> None:
    opened = re.compile(r'<details[^>]* id="options"[^>]* open')
    assert opened.search(submit(pages, "simple", x="1", **{"o:priority": "10"}).text)
    assert not opened.search(pages.get("/ui/tasks/simple").text)


def test_fault_of_the_task_itself_is_in_the_summary(browse: Browse) -> None:
    def check(x: int, y: int = 2) -> None:
        raise ValueError(f"must not be {x} {EVIL}")

    client = browse(registry=Registry([TaskSpec("simple", simple, check=check)]))
    answer = submit(client, "simple", x="5")
    assert answer.status == 422
    assert "<li>must not be 5 &lt;script&gt;" in answer.text
    assert EVIL not in answer.text


def test_rows_are_added_and_removed_without_script(pages: PagesClient) -> None:
    fields = {**form(pages.get("/ui/tasks/cook")).fields, "a:recipe.name": "Soup"}
    for minutes in ("5", "7"):
        shown = form(pages.post("/ui/tasks/cook", fields={**fields, "change": "+a:recipe.steps"}))
        last = int(shown.fields["a:recipe.steps#count"]) - 1
        fields = {**shown.fields, f"a:recipe.steps[{last}].minutes": minutes}
    shown = form(pages.post("/ui/tasks/cook", fields={**fields, "change": "-a:recipe.steps[0]"}))
    assert shown.fields["a:recipe.steps[0].minutes"] == "7"
    assert shown.fields["a:recipe.name"] == "Soup"
    assert "a:recipe.steps[1].minutes" not in shown.controls
    job = started(pages, pages.post("/ui/tasks/cook", fields=shown.fields))
    assert job.kwargs == {"recipe": {"name": "Soup", "steps": [{"minutes": 7}]}}


def test_text_gets_several_lines_without_script(pages: PagesClient) -> None:
    fields = form(pages.get("/ui/tasks/cook")).fields
    assert '<textarea id="a-recipe_2ename"' not in pages.get("/ui/tasks/cook").text
    taller = pages.post("/ui/tasks/cook", fields={**fields, "change": "~a:recipe.name"})
    assert '<textarea id="a-recipe_2ename"' in taller.text
    assert "~a:recipe.name" in form(pages.get("/ui/tasks/cook")).buttons


@pytest.mark.parametrize("command", ["", "?", "-a:x", "-a:recipe.steps[9]", "+", "~", "-[0]", "+a:no.such[1]"])
def test_unknown_change_of_a_form_starts_nothing(pages: PagesClient, command: str) -> None:
    answer = pages.post("/ui/tasks/cook", fields={"change": command, "a:recipe.name": "Soup"})
    assert answer.status == (303 if command == "" else 200)
    assert len(jobs(pages)) == (command == "")


def test_double_click_starts_one_job(pages: PagesClient) -> None:
    fields = {**form(pages.get("/ui/tasks/simple")).fields, "a:x": "1"}
    first, second = (pages.post("/ui/tasks/simple", fields=fields) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    assert len(jobs(pages)) == 1


def test_edited_form_starts_another_job(pages: PagesClient) -> None:
    fields = {**form(pages.get("/ui/tasks/simple")).fields, "a:x": "1"}
    first = started(pages, pages.post("/ui/tasks/simple", fields=fields))
    second = started(pages, pages.post("/ui/tasks/simple", fields={**fields, "a:x": "2"}))
    assert (first.kwargs, second.kwargs) == ({"x": 1}, {"x": 2})


def test_form_that_is_shown_again_starts_another_job(pages: PagesClient) -> None:
    locations = {submit(pages, "simple", x="1").headers["Location"] for _ in range(2)}
    assert len(locations) == 2


def test_form_is_filled_with_the_arguments_of_a_job(pages: PagesClient) -> None:
    old = a_job(
        task="typed",
        args=[4, "AB"],
        kwargs={"yes": True, "recipe": {"name": "S", "steps": [{"minutes": 3, "hot": True}]}, "words": ["a", ""]},
        queue="slow",
        labels={"run": "1"},
        max_attempts=3,
    )
    pages.jobs.add([old])
    page = pages.get(f"/ui/tasks/typed?from={old.uuid}")
    assert f'href="/ui/jobs/{old.uuid}"' in page.text
    shown = form(page)
    assert shown.fields["o:queue"] == "slow"
    assert shown.fields["o:labels"] == "run=1"
    assert shown.fields["o:max_attempts"] == ""
    job = started(pages, pages.post("/ui/tasks/typed", fields=shown.fields))
    assert job.kwargs == {"count": 4, "code": "AB", **old.kwargs}
    assert (job.queue, job.labels) == ("slow", {"run": "1"})


TRICKY = [
    "",
    " spaces at both ends ",
    "\nfirst line is empty",
    "two\r\nlines",
    "</textarea><b>&amp;\"'",
    "tab\t",
    "\x00\x1b\x7f",
    "\u2028\u202e\ufeff",
    "ünï ☃ \U0001f600",
    "null",
    "5",
    5,
    -0.0,
    1e300,
    0.1,
    2**80,
    True,
    False,
    None,
    [],
    {},
    [1, [2, {"a": None}]],
    {"": "x", "a b": ["\n"]},
]


def anything(value, words: list[str], table: dict[str, Any], text: str | None = "x", **more: Any) -> None:  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize("value", TRICKY)
def test_page_sends_again_exactly_what_a_job_had(browse: Browse, value: Any) -> None:
    client = browse(registry=Registry([TaskSpec("anything", anything)]))
    text = {"text": value} if isinstance(value, str) or value is None else {}
    kwargs = {"value": value, "words": [str(value), "b"], "table": {"a": value}, **text, "other": value}
    old = a_job(task="anything", args=[], kwargs=kwargs, queue=None, labels=None)
    client.jobs.add([old])
    shown = form(client.get(f"/ui/tasks/anything?from={old.uuid}"))
    # A browser puts a carriage return before each line break of a text.
    fields = {name: text.replace("\r\n", "\n").replace("\n", "\r\n") for name, text in shown.fields.items()}
    job = started(client, client.post("/ui/tasks/anything", fields=fields))
    assert strict_json.dumps([job.kwargs[name] for name in sorted(job.kwargs)]) == strict_json.dumps(
        [kwargs[name] for name in sorted(kwargs)]
    )


def test_job_of_another_task_does_not_fill_the_form(pages: PagesClient) -> None:
    old = a_job(task="cook", kwargs={"recipe": {"name": "S"}})
    pages.jobs.add([old])
    page = pages.get(f"/ui/tasks/simple?from={old.uuid}")
    assert page.status == 200
    assert "is of the task cook" in page.text


def test_form_shows_no_job_that_the_caller_may_not_see(pages: PagesClient) -> None:
    old = a_job(task="simple", args=["not for you"])
    pages.jobs.add([old])
    token = pages.token("own", "read:typed", "dispatch")
    for uuid in (old.uuid, new_uuid()):
        answer = pages.get(f"/ui/tasks/simple?from={uuid}", token)
        assert answer.status == 404
        assert "not for you" not in answer.text
    assert pages.get("/ui/tasks/simple?from=x").status == 400


def test_names_texts_and_defaults_stay_text(browse: Browse) -> None:
    client = browse(registry=TASKS)
    old = a_job(task="evil", kwargs={"text": EVIL, "choice": "b"}, labels={"a": EVIL})
    client.jobs.add([old])
    answers = [
        client.get("/ui/tasks"),
        client.get("/ui/tasks/evil"),
        client.get(f"/ui/tasks/evil?from={old.uuid}"),
        submit(client, "evil", **{"a:choice": f'"><{EVIL}', "a:text": f"</textarea>{EVIL}\n"}),
        client.get(f"/ui/tasks/{EVIL.replace('/', '%2F')}"),
    ]
    assert [one.status for one in answers] == [200, 200, 200, 422, 404]
    for answer in answers:
        assert EVIL not in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text


def test_lines_repeat_the_call(pages: PagesClient) -> None:
    fields = {**form(pages.get("/ui/tasks/simple")).fields, "a:x": "5", "o:queue": "slow"}
    lines = strict_json.loads(pages.post("/ui/tasks/simple/lines", fields=fields).text)
    assert lines["curl"].startswith("curl http://localhost/dispatch/simple ")
    assert """'{"kwargs":{"x":5},"options":{"queue":"slow"}}'""" in lines["curl"]
    assert "client.dispatch('simple', x=5, options={'queue': 'slow'})" in lines["python"]
    assert lines["complete"] is True
    for task, given in (("simple", {}), ("cook", {"a:recipe.name": ""}), ("typed", {**VALID, "a:**": "{"})):
        incomplete = pages.post(f"/ui/tasks/{task}/lines", fields=given)
        assert strict_json.loads(incomplete.text)["complete"] is False
    assert pages.post("/ui/tasks/simple/other", fields={}).status == 404


def test_only_starting_a_job_runs_the_check_of_the_task(browse: Browse) -> None:
    calls: list[int] = []
    client = browse(registry=Registry([TaskSpec("simple", simple, check=lambda x=1, y=2: calls.append(x))]))
    fields = {**form(client.get("/ui/tasks/simple")).fields, "a:x": "7"}
    client.post("/ui/tasks/simple/lines", fields=fields)
    assert calls == []
    client.post("/ui/tasks/simple", fields=fields)
    assert calls == [7]


def test_page_after_a_fault_has_the_lines_of_what_was_typed(pages: PagesClient) -> None:
    page = submit(pages, "simple", x="five").text
    assert "client.dispatch(&#39;simple&#39;, x=&#39;five&#39;)" in page
    assert re.search(r'id="lines-incomplete">', page)


def test_lines_of_a_signed_in_caller_send_a_token(browse: Browse) -> None:
    client = browse(registry=TASKS, anonymous="none")
    page = client.get("/ui/tasks/simple", client.token("any", "read", "dispatch")).text
    assert "Bearer $DISPATCHER_TOKEN" in page


def test_links_and_lines_have_the_prefix(browse: Browse) -> None:
    client = browse(registry=TASKS, root_path="/jobs", keep_keys=60)
    page = client.get("/jobs/ui/tasks/simple").text
    assert 'action="/jobs/ui/tasks/simple"' in page
    assert "curl http://localhost/jobs/dispatch/simple" in page
    answer = client.post("/jobs/ui/tasks/simple", fields={"a:x": "1"})
    assert answer.headers["Location"].startswith("/jobs/ui/jobs/")


def test_caller_without_the_scope_sees_the_fields_and_starts_nothing(browse: Browse) -> None:
    client = browse(registry=TASKS, anonymous="none")
    token = client.token("any", "read", "dispatch:typed")
    page = client.get("/ui/tasks/simple", token)
    assert page.status == 200
    assert "You may not start this task." in page.text
    assert form(page).fields == {}
    for path in ("/ui/tasks/simple", "/ui/tasks/simple/lines"):
        assert client.post(path, token, {"a:x": "1"}).status == 403
    assert not jobs(client)
    assert form(client.get("/ui/tasks/typed", token)).fields != {}
    assert client.get("/ui/tasks", client.token("other", "dispatch")).status == 403


def test_read_only_mode_shows_the_fields_and_starts_nothing(browse: Browse) -> None:
    client = browse(registry=TASKS, mode="read-only")
    page = client.get("/ui/tasks/simple")
    assert "This dashboard is read-only" in page.text
    assert form(page).fields == {}
    for path in ("/ui/tasks/simple", "/ui/tasks/simple/lines"):
        assert client.post(path, fields={"a:x": "1"}).status == 403
    assert not jobs(client)


def test_page_of_another_site_starts_nothing(pages: PagesClient) -> None:
    answer = pages.post("/ui/tasks/simple", fields={"a:x": "1"}, HTTP_ORIGIN="http://evil.example")
    assert answer.status == 403
    assert not jobs(pages)


@pytest.mark.parametrize("address", ["/ui/tasks?from=1", "/ui/tasks/simple?q=1", "/ui/tasks?other=1"])
def test_unknown_query_parameter_is_refused(pages: PagesClient, address: str) -> None:
    assert pages.get(address).status == 400


def test_unknown_task_has_no_form(pages: PagesClient) -> None:
    assert pages.get("/ui/tasks/nothing").status == 404
    assert pages.post("/ui/tasks/nothing", fields={}).status == 404
