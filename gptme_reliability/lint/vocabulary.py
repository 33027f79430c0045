"""Words that names and descriptions of tools are searched for, and how they are found.

In English only.  Every expression is linear on hostile input.
"""

from __future__ import annotations

import re
from typing import Final


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NAME_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[%°]")

FILLING: Final = _set(
    "a an the of for to in on at by with from and or is are be this that it its your our any "
    "given specified provided desired specific particular some value values parameter param "
    "argument input field string number integer boolean bool object array list name required "
    "optional used use tool function which"
)
"""Words of a description that tell nothing."""
EMPTY: Final = _set("todo tbd na none description placeholder fixme xxx null undefined lorem")
"""Words of a description that was never written."""
GENERIC: Final = _set(
    "data value values input output type kind id options option config settings info information "
    "item items object obj params param args arg x y z key field mode flag status text content "
    "target source action operation level format"
)
"""Names that need a description to mean anything."""

_TIME: Final = "timeout duration delay interval ttl latency lifetime elapsed"
_LENGTH: Final = "distance length width height radius diameter altitude elevation thickness"
QUANTITIES: Final = {
    **dict.fromkeys(_set(_TIME), "seconds"),
    **dict.fromkeys(_set(_LENGTH), "meters"),
    **dict.fromkeys(_set("size filesize bandwidth"), "bytes"),
    **dict.fromkeys(_set("weight mass"), "kg"),
    **dict.fromkeys(_set("speed velocity"), "kmh"),
    "temperature": "celsius",
    "pressure": "pascal",
    "angle": "degrees",
}
"""Words for quantities, each with a unit that it may be given in."""
TRAILING: Final = _set("max min limit value default maximum minimum")
"""Words behind a quantity that leave it one."""
SIZED: Final = _set("file image memory disk chunk buffer upload download attachment font")
"""Before ``size``: what has a unit; of anything else it may be how many there are."""
UNITS: Final = _set(
    "second seconds sec secs s ms msec millisecond milliseconds us µs microseconds nanoseconds ns "
    "minute minutes min mins hour hours hr hrs h day days week weeks month months year years "
    "byte bytes b kb mb gb tb kib mib gib bit bits kbps mbps gbps bps "
    "meter meters metre metres m km kms kilometer kilometers kilometre kilometres mile miles mi "
    "foot feet ft inch inches cm mm centimeter centimeters centimetre centimetres millimeters "
    "yard yards nm au parsec parsecs light-year lightyears "
    "kg kilogram kilograms kgs gram grams g lb lbs pound pounds ounce ounces oz ton tons tonne "
    "celsius fahrenheit kelvin c f k ° degree degrees deg radian radians rad "
    "percent percentage % fraction ratio decimal pixel pixels px pt em point points "
    "token tokens character characters chars word words line lines row rows item items element "
    "elements entry entries page pages result results step steps frame frames sample samples "
    "digit digits bar bars beat beats measure measures level levels node nodes layer layers "
    "mph kmh kph mps knots knot hz khz mhz ghz pa kpa pascal pascals atm atmosphere atmospheres "
    "psi mmhg torr liter liters litre litres ml gallon gallons usd eur dollars unit units cycles "
    "ticks turns number count many times"
)
"""Words that say in what something is measured or counted."""
UNITLESS: Final = _set(
    "rectangle cuboid cube circle triangle cylinder sphere cone square polygon ellipse trapezoid "
    "sequence parallelogram prism pyramid shape vector matrix string text password list array "
    "edge sample"
)
"""Things whose measures need no unit: it is the same in the answer as in the question."""
UNIT_PART: Final = re.compile(
    r"(?:[a-z]{1,2}|km)/(?:s|h|hr|sec)\b|\bsq\b|[0-9](?:ms|s|m|px|mb|kb|gb)\b"
)

TIMES: Final = _set("date datetime timestamp birthdate birthday dob deadline time")
"""Names of dates and times."""
TIME_FORMAT: Final = re.compile(
    r"y{2,4}|\biso\b|iso-?\s?8601|rfc|format|\be\.?g\b|exampl|such as|\blike\b|epoch|unix|[0-9]"
    r"|\bhh\b|\b[ap]\.?m\b|natural language|today|tomorrow|\bnow\b|utc|duration|seconds|minutes"
    r"|hours|days|years|month|['\"]\w",
    re.IGNORECASE,
)
"""What says how a date or time is written."""
PATHS: Final = _set("path filepath file directory dir folder")
"""Names of places in a file system."""
PATH_FORM: Final = re.compile(
    r"absolute|relative|full|[/\\~]|\be\.?g\b|exampl|such as|working dir|current dir|workspace"
    r"|\broot\b|\burl\b|\buri\b|\.[a-z]{2,5}\b|\bname\b|extension|content|glob|base64|json",
    re.IGNORECASE,
)
"""What says what a path looks like."""
KEYS: Final = re.compile(
    r"\bkeys?\b|\bmap(?:s|ping)?\b|\bname[-\s]value|headers|free[-\s]form", re.I
)
"""What says what the keys of an object are."""

_ITEM: Final = r"(?:\"[^\"\n]{1,30}\"|'[^'\n]{1,30}'|`[^`\n]{1,30}`)"
_BARE: Final = r"(?:[\w\-]{1,30})"
_NEXT: Final = r"(?:\s?,\s?(?:or\s|and\s)?|\s(?:or|and)\s|\s?[|/]\s?)"
NEXT: Final = re.compile(_NEXT)
"""What stands between the members of a list."""
LISTING: Final = re.compile(
    rf"(?:\bone of|(?:allowed|possible|valid|accepted|supported)\s(?:values?|options?|choices?)"
    rf"(?:\sare|\sinclude)?|\boptions are|\bchoices are)\s?:?\s?(?:the following\s?:?\s?)?"
    rf"[(\[]?(?P<bare>(?:{_ITEM}|{_BARE})(?:{_NEXT}(?:{_ITEM}|{_BARE})){{1,30}})\s?[)\]]?"
    rf"(?:[.;)\n]|\Z)"
    rf"|(?:\beither|\bcan be|\bmust be|\bshould be|\bcould be|\bmay be|:)\s?:?\s?[(\[]?"
    rf"(?P<quoted>{_ITEM}(?:{_NEXT}{_ITEM}){{1,30}})",
    re.IGNORECASE,
)
"""A list of all values there are."""
OPEN_ENDED: Final = re.compile(r"\betc\b|\be\.?g\b|exampl|such as|\.\.\.|…|\blike\b", re.IGNORECASE)
"""What says that a list goes on."""

BOOLEAN: Final = re.compile(
    r"(?:whether|if true|if set to true|true if|set to true|true or false|true/false|boolean)\b"
    r"|.{0,200}(?:\btrue/false|\btrue or false|'true' or 'false')",
    re.IGNORECASE | re.DOTALL,
)
NUMBER: Final = re.compile(
    r"(?:the |a )?(?:(?:maximum|minimum|max|min|total) )?number of (?!the |an? |your )|how many\b",
    re.IGNORECASE,
)
JSON: Final = re.compile(
    r"\bjson[- ](?:array|list|encoded|string|object|serialized|formatted|dict)|\bas json\b"
    r"|\b(?:encoded|serialized) json\b",
    re.IGNORECASE,
)
NEGATIONS: Final = _set("no not dont disable disabled without never non")
"""First words of names that say what is not."""
DIRECTED: Final = _set("to from of by per in for with into on 2")
"""Words on whose two sides different things stand."""
PLURALS: Final = (
    *(("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", "")),
)
"""Endings of plurals, each with that of its singular; the first that fits counts."""
SAME_VERB: Final = {"fetch": "get", "retrieve": "get", "remove": "delete", "execute": "run"}
"""Verbs of names that mean the same as another."""
