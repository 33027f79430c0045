"""The words that announced steps are made of, in English and Chinese; ``steps.py`` weighs them.

All was chosen by hand; the endings in the tests say what for.
"""

from __future__ import annotations

import re
from typing import Final

# What tools do.  Saying, thinking and feeling are no actions here.
_ACTIONS: Final = (
    *("read", "list", "run", "rerun", "re-run", "open", "view", "inspect", "examine"),
    *("check", "double-check", "recheck", "verify", "confirm", "test", "scan", "explore", "trace"),
    *("investigate", "analyze", "analyse", "review", "find", "locate", "get", "pull", "grab"),
    *("load", "create", "write", "edit", "modify", "update", "change", "fix", "correct", "repair"),
    *(
        "replace",
        "rewrite",
        "delete",
        "remove",
        "rename",
        "move",
        "copy",
        "save",
        "store",
        "append",
    ),
    *("insert", "apply", "implement", "refactor", "build", "compile", "restart", "launch"),
    *("clone", "commit", "push", "deploy", "configure", "set up", "clean up", "count", "parse"),
    *(
        "extract",
        "unpack",
        "convert",
        "generate",
        "regenerate",
        "send",
        "navigate",
        "browse",
        "visit",
        "peek",
    ),
    *("dig", "go through", "make", "restore", "revert"),
    *("do a search", "do a quick search"),
)
# Done with a tool, whatever they are done to.
_LOOKUPS: Final = (
    *("fetch", "retrieve", "look up", "search", "query", "grep", "install", "reinstall"),
    *("download", "execute", "calculate", "compute", "gather", "collect", "look that up"),
)
# "I'll make it", "let me start that": too little is said of what is done.
_PALE: Final = ("make", "start", "move", "save", "set up", "add", "change", "go through")
_DOUBLED: Final = {"run", "rerun", "re-run", "get", "grab", "scan", "dig", "set"}


def _gerund(verb: str) -> str:
    head, space, tail = verb.partition(" ")
    head = head + head[-1] if head in _DOUBLED else head.removesuffix("e")
    return head + "ing" + space + tail


def _both_forms(verbs: tuple[str, ...]) -> frozenset[str]:
    return frozenset(form for verb in verbs for form in (verb, _gerund(verb)))


LOOKUPS: Final = _both_forms(_LOOKUPS)
"""Actions whose thing may be anything."""

PALE: Final = _both_forms(_PALE)
"""Actions whose thing must be named."""

_FORMS: Final = sorted(LOOKUPS | _both_forms(_ACTIONS), key=len, reverse=True)
_VERB: Final = (
    rf"(?P<verb>(?:{'|'.join(map(re.escape, _FORMS))}|(?<!will )(?<!'ll )see(?= wh| if\b| how\b)|"
    r"start(?:ing)?(?! with| by)|add(?:ing)?(?! that\b)|"
    r"(?:tak|hav)(?:e|ing) (?:a|another) (?:quick |closer |first )?look|"
    r"look(?:ing)?(?! forward| after| like| back| good| great))\b)"
)
_NOW: Final = r"(?:first|now|next|then|also|just|quickly|briefly|simply|directly|immediately)"
# Between "I will" and the action.
_BRIDGE: Final = (
    rf"(?:\s+(?:{_NOW}|need to|have to|try to|try|attempt to|go ahead and|proceed to|be|begin by|"
    r"start by|start to|continue by|continue to|begin to|help you (?:with (?:this|that) )?by|"
    r"get started by|understand (?:[^\s.,;:]+ ){1,5}by|(?:do|handle|tackle) (?:this|that|it) by|"
    r"(?:use|using) (?:[^\s.,;:]+ ){1,5}to)(?=[\s,]),?){0,4}\s+"
)
FIRM: Final = re.compile(
    r"\b(?:i'll|i will|(?:i'm|i am) (?:now |just )?(?:going|about|starting) to|let me|"
    r"allow me to(?![^\n]{0,200} by\b))"
    rf"{_BRIDGE}{_VERB}",
    re.IGNORECASE,
)
"""The writer says what the writer does next."""

LETS: Final = re.compile(
    r"\b(?:we'll|we will|(?:we're|we are) going to|let's|let us)" rf"{_BRIDGE}{_VERB}",
    re.IGNORECASE,
)
"""It may as well be said of all mankind: the thing must be one of tools."""

DUTY: Final = re.compile(
    rf"\b(?:(?:i|we) (?:{_NOW} )?(?:need to|have to|must|should|want to)|time to){_BRIDGE}{_VERB}",
    re.IGNORECASE,
)
"""What ought to be done: something must say that it is done now."""

AT_ONCE: Final = re.compile(
    r"\b(?:first|now|next|before (?:i|we|\w+ing))\b|\A\W*(?:in order )?to\b", re.IGNORECASE
)
"""What says so."""

_SMALL_WORDS: Final = (
    r"(?:ok(?:ay)?(?: so)?|sure(?: thing)?|great|perfect|alright|all right|right|got it|good|fine|"
    r"well|hmm+|yes|i see|understood|certainly|of course|absolutely|thanks|thank you|sounds good|"
    r"(?:please )?(?:wait|hold on)(?: a moment)?|(?:one|just a) (?:moment|second)(?: please)?|"
    r"first(?:ly)?|second(?:ly)?|now|next(?: step| up)?|then|also|so|and|but|finally|instead|"
    r"therefore|thus|hence|meanwhile|for (?:this|that|now)|to (?:start|begin)(?: with)?|"
    r"as (?:a|the) (?:first|next) step|step \d{1,2}|thought|action|plan|after that|on it)"
)
LEAD: Final = re.compile(
    rf"[^\w-]*(?:{_SMALL_WORDS}[\s,.:;!…—–-]{{1,4}}){{0,6}}"
    r"(?:(?:(?:in order )?to|based on|given|according to|since|because|now that|before \w+ing|"
    r"here's what i'm going to do|my (?:plan|approach))\b[^\n]{0,300}[,:]\s*|"
    r"(?:the|this|that|it|there|no|all|both|i|we)(?:'s)? [^\n]{0,300}"
    r"(?:[;—–]|,? so|, therefore) ?)?"
    rf"(?:{_SMALL_WORDS},? ){{0,4}}",
    re.IGNORECASE,
)
"""What may stand before the announcement: small words, a purpose or a reason."""

GOING_ON: Final = re.compile(
    rf"\b(?:(?:(?:i'm|i am) (?:{_NOW} |currently )?|while i am |"
    r"(?:now|currently|moving on to|starting(?: by| with)?) )(?=\S+ing\b)|"
    r"(?:(?:please )?(?:wait|hold on)(?: a moment)?|(?:one|give me a) (?:moment|second|minute))"
    r"(?: please)?,? (?:while i|to) )"
    rf"{_VERB}",
    re.IGNORECASE,
)
"""The action is said to go on already."""

AT_THIS_MOMENT: Final = re.compile(
    r"\b(?:now|currently|while i|wait|moment)\b|(?:\.\.\.|[…:])\Z", re.I
)
"""What tells that from what the writer is or does in general: "I'm running version 2"."""

GERUND: Final = re.compile(rf"(?=\S+ing\b){_VERB}", re.IGNORECASE)
"""The action alone: "Reading config.toml …"."""

SUBJECTLESS: Final = re.compile(rf"(?:will|then i'll){_BRIDGE}{_VERB}", re.IGNORECASE)
"""The writer leaves out "I": "Will check the logs."."""

BASE_VERB: Final = re.compile(rf"(?!\S+ing\b){_VERB}", re.IGNORECASE)
"""The action as it begins an item of a plan: "Read the file"."""

# Things that tools touch.  CODE stands for a code span, a path or an address.
_THINGS: Final = (
    r"CODE|files?|dockerfile|makefile|readme|director(?:y|ies)|(?:sub)?folders?|logs?|tests?|"
    r"code(?:base)?|source|config\w*|settings?|scripts?|modules?|packages?|dependenc(?:y|ies)|invoices?|"
    r"databases?|tables?|schemas?|repo(?:sitor(?:y|ies))?s?|branch(?:es)?|commits?|git|"
    r"(?:web ?)?(?:page|site)s?|web|internet|online|urls?|links?|servers?|services?|containers?|"
    r"process(?:es)?|ports?|disks?|permissions?|paths?|functions?|class(?:es)?|variables?|imports?|"
    r"lines?|outputs?|errors?|trace ?backs?|traces?|contents?|structure|project|documentation|"
    r"issues?|commands?|api|endpoints?|requests?|data(?:set|base)?s?|csv|json|sql|versions?|"
    r"environment|suite|linter|builds?|bugs?|changes|backups?|archives?|systems?|apps?|"
    r"attributes?|headers?|migrations?|todos?|calculations?|python|terminal|shell|browser|"
    r"implementation|parser|fix(?:es)?|changes?|images?|cop(?:y|ies)|other one|quer(?:y|ies)|"
    r"network|weather|flights?|hotels?|prices?|calendar|stock|date|information|"
    r"details|results?|reports?|routes?|methods?|usages?|definitions?|columns?|rows?|memory usage"
)
# "The tests" are some that are there; "shorter tests" are a promise.
_DEFINITE: Final = (
    r"(?:the|an?|this|that|these|those|its|their|all|each|both|some|any|your|our|another|one|two|"
    r"three|\d{1,4}|if|whether|what|which|how|where|who|why)\b"
)
THING: Final = re.compile(
    r"(?:\s+(?!with\b|so\b|but\b|while\b|because\b)[^\s,.;:]+){0,3}?"
    rf"(?:\s+{_DEFINITE}(?:\s+(?!with\b|so\b|but\b|while\b|because\b)[^\s,;:]+){{0,7}}?"
    rf"\s+[^\w\s]?(?:{_THINGS})|\s+[^\w\s]?(?:CODE|data|information|details|documentation|usages?|"
    r"git|python|online))\b",
    re.IGNORECASE,
)
PRONOUN: Final = re.compile(
    r"\s+(?:(?:for|at|into|on|through) )?(?:it|that|this|them|these|those|there)"
    r"(?: (?:one|change|now|again|first|up|out|all|right away|for you|"
    r"quickly|and (?:then )?(?:re)?(?:try|run|check|test)[^.]{0,40}))*\W*\Z",
    re.IGNORECASE,
)
# A step that names no thing at all.
WHOLE_STEP: Final = re.compile(
    r"(?:check|verify|look|search|investigate|take a (?:quick |closer )?look|have a look|"
    r"do a (?:quick )?search|(?:check|look) (?:again|first|now))(?:ing)?(?: now| first| again)?\W*",
    re.IGNORECASE,
)
RETRY: Final = re.compile(
    r"\b(?:i'll|i will|let me|(?:i'm|i am) going to|let's)(?: now| also)? (?:try|retry|attempt)"
    r"(?:\W*\Z| (?:again|(?:it|that|this) again|another|an alternative|a different|running|using|"
    r"with|once more)\b)",
    re.IGNORECASE,
)
# With a plan before it: "Let me get started."
BEGIN: Final = re.compile(
    r"(?:i'll|i will|let me|let's|(?:i'm|i am) going to)(?: now| first)? "
    r"(?:get started|begin|start|proceed|get to work|do (?:this|that|it)(?: now)?)"
    r"(?: (?:with|from|on|by doing) (?:the )?"
    r"(?:first|step 1|step one|second|next|number 1)\b.{0,60})?"
    r"(?: now| right away)?\W*",
    re.IGNORECASE,
)
PLAN: Final = re.compile(
    r"(?:^|\n)\s*(?:\d{1,2}[.)]|[-*•]) [^\n]{3,}\n\s*(?:\d{1,2}[.)]|[-*•]) |"
    r"\b(?:plan|approach|steps?)\b|计划|步骤|方案",
    re.IGNORECASE,
)
PLAN_HEAD: Final = re.compile(
    r"\b(?:i'll|i will|(?:i'm|i am) going to)(?: now)?"
    r"(?: (?:do|perform|take|carry out|follow|execute|go through)\b.{0,60}|)\s*:\Z",
    re.IGNORECASE,
)
PLAN_HEAD_ZH: Final = re.compile(
    r"我(?:们)?(?:现在|先)?(?:将|会|要)(?:[按依根进执做][^。：:列]{0,30})?[：:]\Z"
)
ITEM: Final = re.compile(r"(?:\d{1,2}[.)、]|[-*•])\s*(?P<text>\S.*)\Z")

# Whatever stands before the words of the announcement, these make it none.
LEAD_VETO: Final = re.compile(
    r"[?？\"“”]|\b(?:if|once|when|whenever|unless|until|before(?! \w+ing)|after|suggest\w*|"
    r"recommend\w*|advi[cs]e|would|says?|said|writes?|wrote|example|"
    r"next (?:part|post|time|section|week|month|chapter)|"
    r"provide|tell me|let me know|share|send me|give me|(?:please|you) confirm|confirm and|paste|"
    r"later|tomorrow|tonight|from now on|in (?:the )?future|always|every|feel free|ask|upload|"
    r"think|believe|hope|guess|maybe|perhaps|please (?!wait|hold|stand|give me a moment)|"
    r"in this)\b",
    re.IGNORECASE,
)
# And these where they stand in it.
VETO: Final = re.compile(
    r"[?？\"“”=]|:\s*\S|n't\b|\b(?:if|once|when|whenever|unless|until|after|would|could|might|may|"
    r"not|no|never|cannot|can|always|later|tomorrow|tonight|soon|someday|one day|every|"
    r"in (?:an?|one|two|\d+|a few|some) (?:seconds?|minutes?|hours?|days?|weeks?|while|moment)|"
    r"next (?:time|week|month|year|part|section|chapter|post|version|release)|from now on|"
    r"in the future|already|you|anything|whatever|any ?time|"
    r"my|myself|carefully|said|says|instead of|only|like this|this way|as follows|is|are|was|were|"
    r"another angle|which (?:gives?|makes?|means|results?|leads)|yourself|user's|example)\b",
    re.IGNORECASE,
)
# These hold a word of the list above and take nothing back.
HARMLESS: Final = re.compile(
    r"\b(?:see|check|verify|test|determine|find out|confirm|know) (?:if|whether)\b.*|"
    r"\b(?:to )?(?:see|check|find(?: out)?|learn|know|understand|determine|look at|verify|confirm) "
    r"(?:what|which|where|who|how|why|whether|that)\b.*|"
    r"\b(?:so (?:that )?|before |and then )(?:i|we) (?:can|could|may)?\b.*|"
    r"\bto (?:give|help|provide|get|show|answer|assist|tell) you\b.*|"
    r"\b(?:for|near|get back to|help|helping) you\b|"
    r"\byou (?:have )?(?:sent|gave|given|mentioned|provided|asked|requested|want|wanted|need|"
    r"uploaded|specified|shared|described)\b|"
    r"\bin which\b.*|\bmy (?:changes|edits?|fix|tools?)\b",
    re.IGNORECASE,
)
# What may follow an announcement and still leave it the last word.
WAIT: Final = re.compile(
    r"\W*(?:(?:one|just a|give me a) (?:moment|second|minute|sec)|please (?:wait|hold|stand by|be "
    r"patient)|hold on|stand by|wait|bear with me|this (?:may|might|will|should) (?:only )?take|"
    r"thank you for your patience|i(?:'ll| will) (?:be right back|get back to you|let you know)|"
    r"请稍|稍等|请耐心|马上就好)[^.!。！\n]{0,80}[.!…。！]*\W*|[^\w]+",
    re.IGNORECASE,
)
# Polite words before the announcement, which end a sentence or a clause.
AFFIRMED: Final = re.compile(
    r"\b(?:(?:action|step \d{1,2}|next(?: step| up)?)\s*:|(?:alright|right|ok(?:ay)?|sure|on it|"
    r"got it|sounds good|great|perfect|good|yes|certainly|of course)\s*[,;—–-])\s*",
    re.IGNORECASE,
)

_VERB_ZH: Final = (
    r"查看|看看|看一?看|看(?:一)?下|看(?:一)?眼|检查|检视|读取|阅读|读一下|打开|运行|执行|跑|搜索|搜一下|"
    r"查找|查询|查一下|查一查|查阅|查下|查(?=[。.!！…]|$)|列出|列一下|创建|新建|编写|写入|编辑|修改|更新|修复|改正|写(?:一)?个|改一下|改成|"
    r"改为|删除|移除|移动|重命名|安装|下载|克隆|获取|抓取|统计|计算|算一下|测试|验证|确认|重试|启动|重启|编译|"
    r"构建|提交|保存|备份|添加|定位|找一下|找找|再找|解压|生成|收集|排查|浏览|访问|发送|试试|尝试|实现|部署|"
    r"重新(?:运行|编译|执行|启动)|复制|导入|加载|调用|翻一下|看(?=代码|日志|文件|表|目录|配置)"
)
_ADVERB_ZH: Final = (
    r"(?:现在就|马上就|现在|先|首先|马上|立即|立刻|这就|再|来|将|会|要|需要|去|准备|打算|开始|正在|尝试|试着|"
    r"帮(?:您|你)?|(?:为|给)(?:您|你)|继续|一起|直接|\s)"
)
# With what, or to what, the step is done: once, so that the time stays linear.
_WITH_ZH: Final = r"(?:用|使用|通过|利用|把|将|从|对|在|换)[^，。,；：]{1,40}?(?:来|去|中|里)?"
_HOW_ZH: Final = rf"{_ADVERB_ZH}{{0,8}}(?:{_WITH_ZH}{_ADVERB_ZH}{{0,3}})?"
FIRST_PERSON_ZH: Final = re.compile(rf"(?:让我们|让我|我们?){_HOW_ZH}(?:{_VERB_ZH})")
NEXT_ZH: Final = re.compile(
    r"(?:接下来|下一步|现在|下面|然后|先|开始|马上|换(?:一)?(?:种方式|个方法))[，,：:\s]{0,4}"
    rf"{_HOW_ZH}(?:{_VERB_ZH})"
)
GOING_ON_ZH: Final = re.compile(
    rf"(?:正在|这就|(?:马上|立刻|立即)[为给帮](?:您|你)){_ADVERB_ZH}{{0,4}}(?:{_VERB_ZH})(?!的)"
)
VETO_ZH: Final = re.compile(
    r"[?？“”「」『』\"=]|吗|呢|如果|假如|要是|一旦|若|可以|能够|(?<!可)能帮|建议|不|无法|没有|无需|(?:明天|今晚)(?!的)|"
    r"以后|之后|稍后再|每次|已经|刚才|刚刚|例如|比如|请(?!稍|等|求|耐心)|等(?:您|你)|(?<!步)[：:]\s*\S|过(?!程|滤|期)|"
    r"(?<![为])了(?!解|什么|哪)|例子|要点|应该|才|第.{1,3}[章节]|、(?:"
    + _VERB_ZH
    + r")|(?<!为)(?<!帮)(?<!给)(?:您|你)(?!的|提供|发|说|要|需)"
)
HARMLESS_ZH: Final = re.compile(
    r"是否[^，。]*|(?:看看|确认|检查|查看|了解)(?:一下)?(?:有没有|能不能|可不可以|为什么|什么)[^，。]*|以便[^。]*|"
    r"为了|再[次不]"
)
LEAD_VETO_ZH: Final = re.compile(
    r"[?？“”「」\"]|只要|只有|除非|上传|回复|输入|第.{1,3}[章节]|如果|假如|要是|一旦|若|建议|请(?!稍|等)|等(?:您|你)|时[，,]|后[，,]|以后|明天|例如|比如|提供|告诉"
)
ACTION_ZH: Final = re.compile(rf"{_ADVERB_ZH}{{0,3}}(?:{_VERB_ZH})")
FINITE: Final = re.compile(
    r"\b(?:takes|took|gives|gave|fails|failed|shows|showed|works|worked|helps|helped|makes|made|"
    r"means|meant|returns|returned|costs|needs|has|had|did|does|will|should|fixed|gets|got|uses|"
    r"used|prints|produces|requires|seems|lets|keeps|becomes)\b",
    re.IGNORECASE,
)
"""A verb that makes a statement of an action: "loading it takes a second"."""

ADVICE_ZH: Final = re.compile(r"只|更|比|需要|花|都|失败|成功|完成")
UNFINISHED: Final = re.compile(
    r"(?:\.\.\.|…|:|\bnow\W*|please wait\W*)\Z|\A\S+ing (?:the |a )?[\w-]+\.?\Z|"
    r"\A\S+ing (?:the \w+|CODE|for|through) [^.]{0,60}\bin the (?:source|code|files?)\.\Z",
    re.IGNORECASE,
)
