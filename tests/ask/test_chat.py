import json
import logging
import pickle
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image
from pydantic import BaseModel, RootModel

from epistem.ask import chat
from epistem.ask.chat import CHAT_MODELS, ChatError, Endpoint, Scripted, ask_json, image_message
from epistem.ask.local import LocalChat
from epistem.ask.questions import ChatWriter, make_questions
from epistem.ask.records import Figure, Paper, write_records
from epistem.core.errors import SettingsError
from epistem.core.protocols import ChatModel

pytest.importorskip("openai", reason="the openai client is not installed")
KEY = "sk-very-secret-0123456789"
HELLO = [{"role": "user", "content": "hello"}]


def said(content):
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


@contextmanager
def endpoint(*replies):
    """A server on loopback that gives these (status, headers, body) in turn, the last one for ever."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, dict(self.headers), json.loads(body)))
            status, headers, text = replies[min(len(asked), len(replies)) - 1]
            sent = text.encode()
            self.send_response(status)
            for name, value in ({"content-type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """No test waits; what would have been waited is kept."""
    waited = []
    monkeypatch.setattr(chat, "pause", waited.append)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return waited


def test_an_answer_comes_with_the_published_settings():
    with endpoint(said("grains")) as (url, asked):
        model = Endpoint(url, "m1")
        assert model(HELLO) == "grains"
    path, headers, body = asked[0]
    assert path == "/v1/chat/completions"
    assert (body["temperature"], body["top_p"], body["model"], body["messages"]) == (0.2, 0.2, "m1", HELLO)
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == f"Bearer {KEY}"
    assert model.name == "endpoint:m1"
    assert isinstance(model, ChatModel)


def test_settings_of_none_are_not_sent():
    with endpoint(said("x")) as (url, asked):
        Endpoint(url, "m1", temperature=None, top_p=None)(HELLO)
    assert "temperature" not in asked[0][2]
    assert "top_p" not in asked[0][2]


def test_an_endpoint_on_this_machine_needs_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with endpoint(said("yes")) as (url, _):
        assert Endpoint(url, "m")(HELLO) == "yes"


def test_an_endpoint_elsewhere_needs_a_key_and_says_where_it_belongs(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        Endpoint("https://models.invalid/v1", "m")(HELLO)


def test_429_is_tried_again_after_what_it_asks_to_wait(waits):
    with endpoint((429, {"retry-after": "7"}, "{}"), said("at last")) as (url, asked):
        assert Endpoint(url, "m")(HELLO) == "at last"
    assert waits == [7.0]
    assert len(asked) == 2


def test_429_for_ever_is_an_error_after_all_tries(waits):
    with (
        endpoint((429, {}, '{"error": {"message": "slow down"}}')) as (url, asked),
        pytest.raises(ChatError) as error,
    ):
        Endpoint(url, "m", tries=3)(HELLO)
    assert len(asked) == 3
    assert waits == [1.0, 2.0]
    assert "429" in str(error.value)
    assert "slow down" in str(error.value)


def test_a_date_to_wait_for_is_understood(waits):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    replies = [(429, {"retry-after": when}, "{}") for when in (soon, past, "soon")]
    with endpoint(*replies, said("now")) as (url, _):
        Endpoint(url, "m", tries=4)(HELLO)
    assert 10 < waits[0] <= 20
    assert waits[1:] == [0.0, 4.0]


def test_a_wait_of_an_hour_is_not_waited(waits):
    with endpoint((429, {"retry-after": "3600"}, "{}")) as (url, asked), pytest.raises(ChatError, match="3600 s"):
        Endpoint(url, "m")(HELLO)
    assert waits == []
    assert len(asked) == 1


def test_an_endpoint_that_is_down_is_an_error_in_one_line(waits):
    with endpoint(said("x")) as (url, _):
        pass
    with pytest.raises(ChatError, match="gave no answer") as error:
        Endpoint(url, "m", tries=2)(HELLO)
    assert "\n" not in str(error.value)
    assert waits == [1.0]


@pytest.mark.parametrize(
    "body", ["<html>Welcome</html>", '{"choices": []}', "", "[1, 2]", '{"choices": [{"message": {}}]}']
)
def test_garbage_is_tried_again_and_then_an_error(body):
    with endpoint((200, {}, body)) as (url, asked), pytest.raises(ChatError, match="no answer"):
        Endpoint(url, "m", tries=2)(HELLO)
    assert len(asked) == 2


def test_html_with_a_content_type_of_its_own_is_garbage_too():
    with endpoint((200, {"content-type": "text/html"}, "<p>hi"), said("now")) as (url, _):
        assert Endpoint(url, "m")(HELLO) == "now"


def test_an_answer_in_parts_is_put_together():
    with endpoint(said([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])) as (url, _):
        assert Endpoint(url, "m")(HELLO) == "ab"


def test_a_refused_key_is_not_tried_again():
    with endpoint((401, {}, '{"error": "bad key"}')) as (url, asked), pytest.raises(ChatError, match="401"):
        Endpoint(url, "m")(HELLO)
    assert len(asked) == 1


def test_a_redirect_is_not_followed():
    with endpoint(said("elsewhere")) as (other, asked), endpoint((307, {"location": other}, "")) as (url, _):  # noqa: SIM117
        with pytest.raises(ChatError):
            Endpoint(url, "m", tries=1)(HELLO)
    assert not asked


def test_the_key_is_in_no_repr_error_log_or_pickle(caplog):
    caplog.set_level(logging.DEBUG)
    echo = (401, {}, f"the key {KEY} is wrong")
    long = (500, {}, "x" * 190 + KEY)
    with endpoint(echo, long, said(f"your key is {KEY}")) as (url, _):
        model = Endpoint(url, "m", tries=2)
        with pytest.raises(ChatError) as refused:
            model(HELLO)
        answer = model(HELLO)
    texts = [repr(model), str(vars(model)), str(refused.value), repr(refused.value), caplog.text, answer]
    texts += [str(refused.value.__context__), str(refused.value.__cause__)]
    assert not any(KEY in text or KEY[:12] in text for text in texts)
    assert KEY.encode() not in pickle.dumps({name: value for name, value in vars(model).items() if name != "_client"})
    assert model._client.api_key == "none"


def test_no_file_of_questions_holds_the_key(tmp_path):
    pair = {
        "question": f"What is the grain structure of {KEY} like?",
        "answer": f"The grains are packed closely, says {KEY}. They are round. They are all of one size, and bright.",
        "category": "microstructure",
        "evidence": ["The grains are packed closely"],
    }
    figure = Figure(id="f", paper=Paper(id="p"), figure="1", caption="The grains are packed closely.")
    with endpoint(said(json.dumps([pair]))) as (url, _):
        made = make_questions(figure, writer=ChatWriter(Endpoint(url, "m")))
    write_records(tmp_path / "pairs.jsonl", made.pairs)
    assert len(made.pairs) == 1
    assert KEY not in (tmp_path / "pairs.jsonl").read_text("utf-8")
    assert "[key]" in (tmp_path / "pairs.jsonl").read_text("utf-8")


def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-geheim-ä")
    with pytest.raises(SettingsError) as error:
        Endpoint("http://localhost:1/v1", "m")(HELLO)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "models.invalid/v1",
        "ftp://models.invalid",
        "https://",
        "http://models.invalid/v1",
        "https://user:word@models.invalid/v1",
        "https://models.invalid/v1?key=word",
        "https://models.invalid:port/v1",
        "",
    ],
)
def test_a_base_url_that_is_none_or_unsafe_is_refused(url):
    with pytest.raises(SettingsError, match="wanted an endpoint") as error:
        Endpoint(url, "m")
    assert "word" not in str(error.value).replace("password", "")


def test_a_picture_goes_as_a_data_url_and_not_larger_than_2048():
    message = image_message("what?", Image.new("L", (5000, 100)))
    url = message["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    assert message["content"][0]["text"] == "what?"
    with pytest.raises(SettingsError, match="I;16"):
        image_message("what?", Image.new("I;16", (4, 4)))


def test_a_script_answers_in_order_and_then_no_more():
    model = Scripted(["one", "two"])
    assert [model(HELLO), model(HELLO)] == ["one", "two"]
    with pytest.raises(ChatError):
        model(HELLO)
    assert Scripted(lambda messages: messages[0]["content"].upper())(HELLO) == "HELLO"


class Mark(BaseModel):
    score: float
    why: str


@pytest.mark.parametrize(
    "reply",
    [
        '{"score": 3, "why": "a"}',
        'Here it is:\n```json\n{"score": 3, "why": "a"}\n```\nAnything else?',
        'As {asked}: {"score": 3, "why": "a"} and {"score": 1, "why": "b"}',
    ],
)
def test_json_is_found_whatever_stands_around_it(reply):
    found, raw = ask_json(Scripted([reply]), HELLO, Mark)
    assert found == Mark(score=3, why="a")
    assert raw == reply


def test_invalid_json_is_sent_back_once_with_what_is_wrong():
    model = Scripted(['{"score": "high", "why": "a"}', '{"score": 2, "why": "a"}'])
    found, _ = ask_json(model, HELLO, Mark)
    assert found == Mark(score=2, why="a")
    repair = model.seen[1]
    assert repair[-2] == {"role": "assistant", "content": '{"score": "high", "why": "a"}'}
    assert "score" in repair[-1]["content"]


def test_invalid_json_twice_is_no_record_and_says_why():
    model = Scripted(["I cannot.", '{"score": 2}'])
    found, why = ask_json(model, HELLO, Mark)
    assert found is None
    assert "why" in why
    assert len(model.seen) == 2


def test_a_list_is_read_past_a_citation():
    found, _ = ask_json(Scripted(['see [1]: [{"a": 1}]']), HELLO, RootModel[list[dict[str, int]]])
    assert found.root == [{"a": 1}]


def test_brackets_without_end_are_no_json_and_take_no_time():
    assert ask_json(Scripted(["[" * 50_000] * 2), HELLO, Mark)[0] is None


def test_every_chat_model_can_be_chosen_by_name():
    wanted = {"endpoint": Endpoint, "local": LocalChat, "scripted": Scripted}
    assert {name: CHAT_MODELS[name] for name in CHAT_MODELS} == wanted
