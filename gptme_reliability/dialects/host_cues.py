"""Words beside a host's own block that make an example of it.

The block is how the host has calls written, so that it takes more than for other dialects to
make text of one: words that say example, that tell the reader what to do, that refuse, report
or ask for leave.  Tables only.
"""

from __future__ import annotations

import re
from typing import Final

_DO: Final = (
    r"(?:run|runs|use|execute|type|enter|try|do|call|invoke|paste|copy|write|send|create|issue|"
    r"make|save|add|put|remove|delete|start|install|list|check|see|view|read)"
)

EXAMPLE: Final = re.compile(
    r"\b(?:for (?:example|instance|illustration|reference)|e\.\s?g|hypothetical\w*|"
    r"(?:an?|some|one|this|another|simple|quick|typical|minimal|following) (?:\w+ )?examples?|"
    r"examples? (?:of|is|are|would|call|usage|block|command|:)|as an example|just an example|"
    r"\A\W*examples?|ill?ustrat\w*|demonstrat\w*|"
    r"(?:would |should |will |might )?look(?:s|ed)? (?:something )?like|"
    r"(?:the|its|this|call|block|wire|tool|correct|right) (?:syntax|format|template|notation|form)|"
    r"(?:is|are) (?:written|spelled|called|made|invoked|used|formatted) "
    r"(?:like|as|with|by|in this|this way)|"
    r"(?:written|spelled) (?:like|as)|documentation (?:says|shows|has)|docs? (?:say|show|has)|"
    r"placeholder|in a (?:tutorial|manual)|dry[ -]run|not (?:a )?real|"
    r"zum beispiel|beispiel|par exemple|por ejemplo|por exemplo|ad esempio|например|"
    r"voorbeeld|bijvoorbeeld|przykład)\b|例えば|例如|比如|示例|예를 들어",
    re.IGNORECASE,
)
READER: Final = re.compile(
    r"\byou(?:'d| would| will| can| could| may| might| should| must| need(?: to)?| have to|"
    r" want to| simply| just| then)*(?: (?:also|always|just|simply|then|now|easily|either|first|"
    rf"instead|manually|safely))* {_DO}\b|"
    r"\byourself\b|\byour own\b|\bon your (?:machine|computer|side|end|system|laptop)\b|"
    r"\bin your (?:terminal|shell|browser|editor|console)\b|"
    r"\b(?:users?|people|one|they|somebody|anyone) (?:can|could|may|might|would|should|must)\b|"
    r"\bhow (?:to|you|one|i would|we would)\b|\bif you\b|\bwhenever you\b|"
    r"\bthe (?:usual |right |correct )?(?:command|way) (?:to|for|is|would|that would)\b|"
    rf"\b(?:would|could|might)(?: (?:also|then|just|\w{{2,12}}ly))? (?:be\b|{_DO}\b)|"
    r"\b(?:one|another|the \w+) way\b|"
    r"\b(?:typically|usually|normally|generally|commonly|alternatively)\b|"
    r"\b(?:recommends?|suggests?|advises?)\b|\bif\b[^.\n]{1,60}\b(?:try|run|use|type)\b|"
    r"\b(?:later|afterwards|tomorrow|next time|once (?:you|this|it|that)|after you)\b",
    re.IGNORECASE,
)
REFUSED: Final = re.compile(
    r"\b(?:won't|will not|refuse to|not going to|must not|mustn't|never|do not|don't|does not|"
    r"doesn't|did not|didn't|cannot|can't|should not|shouldn't|not allowed to|unable to|avoid|"
    r"instead of|rather than|without|not able to|not) (?:ever |actually |be able to |just )?"
    r"(?:run|runn?ing|execute|executing|use|using|call|calling|do|doing|type|typing|try|trying|"
    r"paste|pasting|save|saving|write|writing)\b|"
    r"\b(?:dangerous|destructive|harmful|malicious|unsafe)\b|"
    r"\bnot (?:something|what|anything) i\b",
    re.IGNORECASE,
)
RECALLED: Final = re.compile(
    r"\b(?:previously|earlier|before|last time|yesterday|already)\b[^.\n]{0,40}"
    r"\b(?:ran|run|called|executed|used|tried|wrote|did|made|saved)\b|"
    r"\b(?:i|you|we|he|she|they|user) (?:just |already |had |have |previously )*"
    r"(?:ran|called|executed|tried|pasted|quoted|posted|sent|showed|said|asked about|wrote)\b|"
    r"\b(?:log|transcript|history|output|file|page|message|note|issue|readme|email|document|"
    r"script)s? "
    r"(?:shows?|says?|said|contains?|contained|reads?|holds?|has|was|is|told|tells)\b|"
    r"\b(?:it|he|she|they|which|that) (?:says?|said|reads?|tells?|told|contains?|contained)\b|"
    r"\bwas (?:run|called|executed)\b|\bquot(?:e|ed|ing|ation)\b|\bverbatim\b|"
    r"\b(?:means|explain(?:s|ed|ing)?|meaning of)\b",
    re.IGNORECASE,
)
ASKED: Final = re.compile(
    r"\b(?:shall|should|may|can|could) i\b[^.\n]{0,80}\?|"
    r"\b(?:do|would|did) you (?:want|like|mean)\b|"
    r"\b(?:want|like) me to\b|\bis (?:this|that|it) (?:ok|okay|right|correct|fine)\b|"
    r"\bplease (?:confirm|approve)\b|\bconfirm (?:and|before|first|to proceed)\b|"
    r"\bwith your (?:permission|approval|ok)\b|"
    r"\bplease (?:run|execute|type|try|paste|check|review)\b",
    re.IGNORECASE,
)
SURELY_SHOWN: Final = re.compile(
    r"\b(?:this|that|these|here|following|below|just|only|merely)\b[^.\n]{0,30}"
    r"\b(?:examples?|illustration|sample|template)\b|"
    r"\bfor (?:example|instance|illustration)\b|\be\.\s?g\b|\bhypothetical\w*|"
    r"\byourself\b|\bin your (?:terminal|shell|console)\b",
    re.IGNORECASE,
)
UNDER_WAY: Final = re.compile(
    r"\b(?:steps? (?:\d|one|two|three)|now|next|again|here (?:it is|goes|we go)|"
    r"(?:first|then|finally|lastly),)\b|\A\W*(?:\w+ )?\w+ing\b",
    re.IGNORECASE,
)
"""What follows is the next thing that is done."""

OWN: Final = re.compile(
    r"\b(?:i|we|my|our|let'?s|us)\b|"
    r"\A\W*(?:to|first|ok(?:ay)?|sure|certainly|great|alright|right|yes|good|perfect|done|"
    r"understood|got)\b",
    re.IGNORECASE,
)
"""The writer speaks of what it does itself, or of what that is for."""

DOUBTFUL: Final = re.compile(
    r"\b(?:users?|people|everyone|everybody|beginners?|attackers?|developers?|customers?|admins?|"
    r"whoever|whenever|in general|pattern|synopsis|snippet|fragment|ticket|instructions?|recipe|"
    r"tutorial|manual|man page|blocks?|listing|internally|under the hood|equivalent|variant|"
    r"copy|paste|suppose|imagine|assume|used to|supposed to|meant to|told|given|gives?|goes like|"
    r"form|usage|notation|convention|answer|solution|what \w+ (?:\w+ )?do(?:es)?|"
    r"your (?:\w+ )?(?:terminal|shell|console|machine|server|script|crontab|makefile))\b",
    re.IGNORECASE,
)
"""What follows may be somebody else's, or for somebody else to run."""

SHOWING: Final = re.compile(
    r"\b(?:show|illustrate|explain|describe|give|tell) (?:you )?(?:how|what (?:an?|such)|the "
    r"(?:syntax|format)|an? (?:\w+ )?example)\b|"
    r"\b(?:for (?:example|instance)|looks? like|hypothetical\w*|"
    r"if you (?:want|need|like|prefer|wish)|(?:i|we) would)\b|"
    r"\b(?:write|spell|quote|repeat|paste) (?:out |down )?(?:how|what|an? example|for you)\b|"
    r"\b(?:later|tomorrow|once you|after you)\b",
    re.IGNORECASE,
)
"""What is announced is to be shown, or is to wait."""

TAKEN_BACK: Final = re.compile(
    r"\b(?:this|that|the above|it|above)\b[^.\n]{0,24}\b(?:is|was|were|would be|are) "
    r"(?:just |only |merely |simply )*(?:an? )?(?:\w+ )?"
    r"(?:example|illustration|sketch|draft|sample|template|syntax|format|placeholder|suggestion|proposal)|"
    r"\b(?:don't|do not|never|won't|will not|didn't|did not|haven't|have not|not going to)"
    r" (?:actually |really )?(?:run|execute|do|use|call|type|send|paste)\b|"
    r"\bnot (?:actually |really )?(?:run|running|executed|executing)\b|"
    r"\b(?:this|that|it) (?:would|could|might)\b|"
    r"\byou can (?:run|use|execute|also|paste|copy|try)\b|"
    r"\b(?:replace|substitute|adjust|change) (?:the|`|<|\w+ with)|\bfor (?:example|instance)\b|"
    r"\byourself\b|\bin your (?:terminal|shell|console)\b|\bno,? better not\b|\bscratch that\b|"
    r"\blet me know (?:if|when|whether|once) (?:you|i (?:should|may|can)|it|that|this)"
    r"[^.\n]{0,24}\b(?:run|ran|want|like me|execute|work(?:s|ed)|agree|approve|ok)",
    re.IGNORECASE,
)
"""Behind a block: it was an example, is taken back, or waits for leave."""

LEAVE: Final = re.compile(
    r"\A\W*(?:that|this|it) (?:is|was|'s) what\b|\bsoll ich\b|\bdarf ich\b|"
    r"\bnicht (?:ausführen|ausgeführt|laufen)\b|\bnur (?:so|ein|zur|als)\b|"
    r"例|要(?:我)?(?:执行|运行|继续)?吗|可以吗|不要(?:执行|运行)|没有(?:执行|运行)",
    re.IGNORECASE,
)
"""Behind a block, words that wait for leave or say that it was only shown."""

WAITS: Final = re.compile(
    r"\b(?:approv(?:al|e|ed|es)|permission|consent|go-ahead|confirmation|"
    r"(?:you|they) (?:confirm|agree|approve|say so|allow)|"
    r"with your (?:ok|help|leave)|some confirmation|tomorrow|next (?:week|month|time)|"
    r"(?:show|give) you (?:something|an idea)|prepared (?:this|the following) for you|got wrong|"
    r"quot(?:e|ing) (?:the|from|him|her|them)|"
    r"(?:wenn|falls|sobald|erst wenn|nur wenn) (?:du|sie|ihr)|zustimmung|freigabe|erlaubnis|"
    r"(?:erst|nur) (?:nach|auf|mit)|später|morgen|dir (?:den|einen) (?:aufruf|befehl|block)|"
    r"(?:nicht|nie|niemals)(?: \w{1,20})?\W{0,3}\Z)|"
    r"如果(?:您|你)|(?:您|你)(?:同意|确认|批准)|(?:同意|确认|批准)后|不(?:执行|运行|会|能|要)|"
    r"展示|演示|提醒|假设|危险|之前的|稍后|明天",
    re.IGNORECASE,
)
"""What is announced waits for the user."""

INTENT: Final = re.compile(
    r"\b(?:let me|let's|let us|i'll|i will|i am going to|i'm going to|i need to|i must|i have to|"
    r"i (?:should|can now|want to|also need to)|i(?:'m| am) (?:now )?\w+ing|"
    r"(?:first|now|next|then|so),? (?:i|we|let)|we need to|we'll)\b",
    re.IGNORECASE,
)
ASKS_FOR_CODE: Final = re.compile(
    r"\b(?:how (?:do|can|would|should|could|to|does)|what(?:'s| is| are| would| does)|which|"
    r"explain|show me|give me|tell me|write (?:me )?(?:an?|the|some)|"
    r"an? (?:\w+ )?(?:command|script|function)|examples?|snippets?|one-?liners?|"
    r"suggest|propose|cheat ?sheet|document\w*|tutorial|(?:don't|do not) (?:run|execute))\b|"
    r"怎么|如何|什么|写一|给我|解释|示例|例子",
    re.IGNORECASE,
)
"""A user's words that ask for code to read."""
