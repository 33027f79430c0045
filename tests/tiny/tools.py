"""The tools of the tiny model's world: what they are called, and how people ask for them.

A tool and its parameters have several names, of which a conversation uses one: a model has to
read what is on offer instead of knowing it by heart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["words", "city", "path", "integer", "number", "boolean", "enum"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """``key`` is the slot in requests; ``choices`` are values of an enum, or the words for
    false and true."""

    key: str
    names: tuple[str, ...]
    kind: Kind
    choices: tuple[str, ...] = ()
    extra: str | None = None
    """How a request says it; only an optional one has such words."""


@dataclass(frozen=True, slots=True)
class Tool:
    """``asks`` are requests with a slot for each required parameter."""

    names: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    asks: tuple[str, ...]


def _listed(name: str) -> tuple[str, ...]:
    return tuple(Path(__file__).with_name(name).read_text("utf-8").split())


WORDS: Final = _listed("words.txt")
CITIES: Final = _listed("cities.txt")
FOLDERS: Final = ("src", "docs", "lib", "data", "notes", "etc")
ENDINGS: Final = ("py", "txt", "md", "json", "toml", "log")

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

TOOLS: Final = (
    Tool(
        ("get_weather", "weather", "forecast", "look_up_weather"),
        (
            Parameter("city", ("city", "place", "town"), "city"),
            Parameter("unit", ("unit", "scale"), "enum", ("celsius", "fahrenheit"), " in {unit}"),
        ),
        ("what is the weather in {city}", "weather for {city}", "how warm is it in {city}"),
    ),
    Tool(
        ("set_timer", "start_timer", "timer", "countdown"),
        (
            Parameter("minutes", ("minutes", "duration", "length"), "integer"),
            Parameter("label", ("label", "caption"), "words", extra=" called {label}"),
        ),
        ("set a timer for {minutes} minutes", "wake me in {minutes} minutes"),
    ),
    Tool(
        ("send_message", "message", "write_to", "text_person"),
        (
            Parameter("to", ("to", "recipient", "person"), "words"),
            Parameter("body", ("body", "text", "content"), "words"),
        ),
        ("tell {to} that {body}", "send {to} the message {body}", "write to {to}: {body}"),
    ),
    Tool(
        ("play_music", "play", "start_song"),
        (
            Parameter("song", ("song", "track", "title"), "words"),
            Parameter("volume", ("volume", "loudness"), "integer", extra=" at volume {volume}"),
        ),
        ("play {song}", "put on the song {song}", "i want to hear {song}"),
    ),
    Tool(
        ("search_files", "grep", "find_text"),
        (
            Parameter("pattern", ("pattern", "text", "query"), "words"),
            Parameter("path", ("path", "folder", "where"), "path", extra=" in {path}"),
        ),
        ("search for {pattern}", "find the text {pattern}", "where does {pattern} stand"),
    ),
    Tool(
        ("set_light", "switch_light", "light", "lamp"),
        (
            Parameter("room", ("room", "area", "place"), "words"),
            Parameter("on", ("on", "lit", "state"), "boolean", ("off", "on")),
        ),
        ("turn {on} the light in the {room} room", "{room} room light {on}"),
    ),
    Tool(
        ("add_event", "schedule", "plan_event"),
        (
            Parameter("title", ("title", "name", "subject"), "words"),
            Parameter("day", ("day", "date", "weekday"), "enum", _DAYS),
            Parameter("hour", ("hour", "time"), "integer", extra=" at {hour} o'clock"),
        ),
        ("plan {title} on {day}", "put {title} on my calendar for {day}"),
    ),
    Tool(
        ("convert_units", "convert", "unit_converter"),
        (
            Parameter("amount", ("amount", "value", "number"), "number"),
            Parameter("source", ("source", "from_unit"), "enum", ("inch", "yard", "mile", "foot")),
            Parameter("target", ("target", "to_unit"), "enum", ("meter", "kilometer", "mm")),
        ),
        ("convert {amount} {source} to {target}", "how many {target} are {amount} {source}"),
    ),
    Tool(
        ("read_file", "open_file", "cat", "show_file"),
        (
            Parameter("path", ("path", "file", "filename"), "path"),
            Parameter("line", ("line", "start", "from_line"), "integer", extra=" from line {line}"),
        ),
        ("show me {path}", "read the file {path}", "what is in {path}"),
    ),
    Tool(
        ("create_note", "note", "save_note"),
        (
            Parameter("title", ("title", "heading"), "words"),
            Parameter("body", ("body", "text", "content"), "words"),
            Parameter("pinned", ("pinned", "sticky"), "boolean", ("loose", "pinned"), ", {pinned}"),
        ),
        ("make a note {title} saying {body}", "note down {body} under {title}"),
    ),
    Tool(
        ("book_table", "reserve", "reservation"),
        (
            Parameter("place", ("place", "restaurant", "venue"), "words"),
            Parameter("people", ("people", "guests", "seats"), "integer"),
            Parameter("day", ("day", "date"), "enum", _DAYS, " on {day}"),
        ),
        ("book a table at {place} for {people}", "we are {people} and want to eat at {place}"),
    ),
    Tool(
        ("set_heating", "heating", "thermostat"),
        (
            Parameter("degrees", ("degrees", "temperature", "target"), "number"),
            Parameter("eco", ("eco", "saving"), "boolean", ("normal", "eco"), " in {eco} mode"),
        ),
        ("heat to {degrees} degrees", "set the heating to {degrees}"),
    ),
)

CHATS: Final = (
    ("hello", "Hello! How can I help?"),
    ("hi there", "Hello! How can I help?"),
    ("good morning", "Good morning! What can I do for you?"),
    ("thank you", "You are welcome."),
    ("thanks a lot", "You are welcome."),
    ("how are you", "I am fine, thank you."),
    ("who are you", "I am a tiny model that calls tools."),
    ("what is your name", "I am a tiny model that calls tools."),
    ("what can you do", "I can call the tools that you give me."),
    ("bye", "Goodbye!"),
    ("see you tomorrow", "Goodbye!"),
    ("tell me a joke", "I know no jokes, sorry."),
    ("are you a robot", "I am a tiny model that calls tools."),
    ("that is great", "I am glad to hear that."),
    ("i am tired", "I am sorry to hear that."),
    ("never mind", "All right."),
)
"""What calls for no tool, and the answer."""

FOREIGN: Final = (
    "paint a picture of {words}",
    "draw me {words}",
    "sing a song about {words}",
    "translate {words} to french",
    "how do you spell {words}",
    "buy me {words}",
    "order {words} for dinner",
    "book a flight to {city}",
    "what is the capital of {city}",
    "how far is it to {city}",
    "call a taxi to {city}",
    "rename the folder {words}",
    "delete {words}",
    "take a photo of {words}",
    "print {words} twice",
    "who invented {words}",
)
"""What no tool of this world does."""

NO_TOOL: Final = "I have no tool for that."
