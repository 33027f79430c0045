"""Words beside a call that tell whether it was meant: announced, quoted, or unclear.

Tables only; ``placement.py`` says how they are weighed.
"""

from __future__ import annotations

import re
from typing import Final

# Words that make all that stands near them an example or a refusal.
STRONG: Final = re.compile(
    r"\b(?:for (?:example|instance|reference)|e\.g|examples?|sample|ill?ustr\w*|demonstrat\w*|"
    r"hypothetical\w*|documentation|docs|tutorial|manual|format(?:ted)?|syntax|schema|template|"
    r"placeholder|looks? like|would(?! like to)|do(?:es)? not (?:run|execute|call|use)|"
    r"don't (?:run|execute|call|use)|never (?:run|execute|call|use)|"
    r"(?:won't|will not|can't|cannot|can not|refuse to|not going to|unable to)|"
    r"zum beispiel|beispiel|par exemple|exemple|por ejemplo|ejemplo|por exemplo|exemplo|"
    r"ad esempio|esempio|например|пример|voorbeeld|bijvoorbeeld|przykład\w*|"
    r"приклад|наприклад|exempel|eksempel|örne[kğ]\w*|například|ví dụ|"
    r"formato|sintaxis|sintassi|sintaxe|składni\w*|формат|синтаксис)\b|\bz\.\s?b\.|"
    r"例えば|例如|比如|示例|たとえば|예를 들어|"
    r"格式|语法|用法|形式|書式|예시|예제|형식",
    re.IGNORECASE,
)
# Words that make what follows them directly an example, a plan, a report or a refusal.
QUOTED: Final = re.compile(
    r"\b(?:"
    r"such as|like (?:this|so)|could|might|should(?:n't)?|suppose|imagine|"
    r"if (?:you|i|we|the|they|it)|when (?:you|the|a|an)|whenever|unless|"
    r"you (?:can|may|must|need|want|have to|then|just|simply)|you'd|yourself|users? (?:can|may)|"
    r"d(?:o|oes|id) not|don't|doesn't|didn't|never|not (?:able|allowed|run|call|execute|use)|"
    r"wouldn't|couldn't|refus\w*|declin\w*|"
    r"instead of|rather than|avoid|dangerous|harmful|unsafe|malicious|"
    r"previous(?:ly)?|earlier|already|last time|yesterday|"
    r"i(?:'ve| have)? (?:just )?(?:ran|run|called|executed|used|tried|wrote|sent|made)|"
    r"(?:was|were|is|are|been|be|gets?|got) (?:called|executed|run|sent|invoked|written)|"
    r"(?:you|user|he|she|they|it|which|that) (?:said|wrote|asked|sent|returned|printed|contains?)|"
    r"contains?|containing|returned|output (?:was|is)|result (?:was|is)|"
    r"(?<![./])logs?|logged|recorded|quot\w+|echo(?:es|ed|ing)?|literal(?:ly)?|verbatim|string|"
    r"means?|meaning|is how|this is (?:how|what|the)|here is (?:how|what)|here's (?:how|what)|"
    r"explain\w*|describ\w*|defin\w*|represent\w*|called with|shall i|may i|"
    r"want me to|like me to|options?|alternatively|either|"
    r"würde|könnte|nicht|niemals|kein\w*|"
    r"pourrai\w*|devrai\w*|pas|"
    r"podría|nunca|no (?:ejecut\w*|llam\w*|voy|puedo|debo)|"
    r"potrebbe|potresti|non|não|нельзя|не|"
    r"niet|geen|nooit|nie|nigdy|gdyby\w*|zou(?:den)?|leider|angenommen|désolé\w*|lo siento|"
    r"mi dispiace|desculp\w*|helaas|niestety|inte|ikke"
    r")\b|不|无法|没有|可以|ません|ない|않|마세요",
    re.IGNORECASE,
)
# An instruction to the reader, not an announcement of the writer's.
IMPERATIVE: Final = re.compile(
    r"\A\W*(?:(?:then|now|just|simply|please|or|and|to \w+,?) )?"
    r"(?:use|run|try|type|enter|paste|copy|execute|issue|add|put|write|see|consider|compare|note|"
    r"remember|replace|send|submit)\b",
    re.IGNORECASE,
)
# A heading for data: what it announces is shown, not called.
DATA_HEADING: Final = re.compile(
    r"\b(?:outputs?|results?|stdout|response|json|config\w*|files?|contents?|payload|data|records?|"
    r"entry|entries|snippet|text|messages?|definitions?|documents?|objects?|lines?|values?|"
    r"ran|run|executed|called|used|said|wrote|answer)\W*\Z|"
    r"(?:^|\n)\W*(?:user|assistant|system|human|ai|bot|model)\W*:\W*\Z",
    re.IGNORECASE,
)
# Behind a call fewer words count: models like to comment on what they have just asked for.
QUOTED_BEHIND: Final = re.compile(
    r"\A\W*(?:was|is|are|were|would|which)\b|"
    r"\b(?:for example|example|ill?ustr\w*|hypothetical\w*|placeholder|template|syntax|"
    r"(?:would|could|might) (?:run|call|execute|be|delete|remove|list|do|print|show|read|write)|"
    r"(?:is|as|in) (?:the|this|that|what) (?:format|schema|form|call|a call)|looks? like|"
    r"don't run|do not run|never run|not actually|"
    r"not (?:run|running|execute|executing|call|calling|going to)|won't|cannot|can't|"
    r"you can|yourself|was (?:called|run|executed)|means|replace|instead|the above|shown above|"
    r"beispiel|exemple|ejemplo|esempio|пример|voorbeeld|przykład\w*|exemplo|exempel|eksempel)\b|"
    r"例|不要|예시|예제",
    re.IGNORECASE,
)
# Behind calls that open the answer: what turns them into an example, takes them back, asks
# about them, or tells the reader what to do with them.
OPENED_BEHIND: Final = re.compile(
    r"\b(?:examples?|samples?(?! of)|ill?ustr\w*|demonstrat\w*|hypothetical\w*|placeholders?|"
    r"template|syntax|schema|json|spelling|spelled|corrected|documented|manual|quot(?:ed|es?)|"
    r"brackets?|comma|for reference|draft|suggest\w*|copied|"
    r"(?:this|that|it|i|we|you|which) (?:would|could|might|may)(?! be (?:used|invoked))|"
    r"if (?:you|i|needed|approved|allowed|it)|unless|until|instead|replace|yourself|repl|"
    r"(?:is|as|shows?) (?:the|this|that|what|how) \w{0,12} ?(?:format|form|way)\b|"
    r"looks? like|is (?:how|what)|save (?:this|it)|(?:run|execute) (?:this|that|it)|paste|add this|"
    r"not (?:run|running|execute\w*|call\w*|sen[dt]\w*|going to|actually|do)|never|cannot|"
    r"refus\w*|declin\w*|reject\w*|decided against|stopped|stopping|wrong|failed|dry run|"
    r"cancel\w*|wait\w*|hold off|confirm\w*|approv\w*|permission|go-ahead|review|"
    r"check (?:it|this|that)|ask first|your (?:ok(?:ay)?|call|turn)|let me know|tell me|"
    r"you (?:can(?! use the function)|should|need|must|have to|asked|want)|"
    r"shall i|may i|should i|do you want|the word|to proceed|"
    r"was (?:called|run|executed|sent)|evaluat(?:es?|ed)|between two (?:tags|markers)|"
    r"(?:is|are) not (?:provided|available|defined)|the above is|shown above|came from|"
    r"this (?:list|array|calls)|these (?:two )?lines|helpers?|"
    r"beispiel|nicht|nur zur|exemple|ne \w+ pas|ejemplo|no (?:lo|la|voy)|esempio|non|пример|не|"
    r"voorbeeld|niet|przykład\w*|nie|exemplo|não|exempel|eksempel)\b|예시|예제|"
    r"n't\b|例|不|(?:\A|[.!?]\s)\W*(?:once|after|before|when|later|only|as)\b",
    re.IGNORECASE,
)
# What tells how the calls that open the answer are made, or what they will bring.
TOLD_BEHIND: Final = re.compile(
    r"\A\W*(?:explanation|note that|please note)\b|\bfunctions?\b|"
    r"\b(?:invok|calculat|retriev|comput)(?:es?|ed|ing|ions?)\b|"
    r"\b(?:this|these) (?:code |lines? of (?:python )?code |calls? )?"
    r"(?:will|represents?|asks?|gets?|fetch(?:es)?|reads?|lists?|finds?|search(?:es)?)\b|"
    r"\A\W*(?:the )?(?:results?|output) (?:shows?|is|means?|will)\b",
    re.IGNORECASE,
)
# The writer announces what it does next, in the first person or as what is going on.
INTENT: Final = re.compile(
    r"\b(?:let me|let's|let us|i'll|i will|i am going to|i'm going to|i have to|i must|"
    r"i need (?:to|some|more)|"
    r"i want to|i should|i can|i would like to|i'd like to|i(?:'m| am) (?:now )?\w+ing|"
    r"(?:first|now|next|then|so),? i|going to|\A\W*need to|"
    r"here(?:'s| is| are| comes?| goes?) (?:the|my|your|an?) (?:\w+ ){0,2}?calls?|"
    r"we can use the following (?:tool |function )?calls?|"
    r"the following (?:tool |function )?calls? can be (?:made|used)|"
    r"(?:dann|jetzt|zuerst|nun|nächstes|erstes|dazu|dafür) "
    r"(?:führe|lese|prüfe|schaue|sehe|rufe|liste|suche|öffne|starte|erstelle|speichere|"
    r"lösche|entferne|verschiebe|kopiere|ändere|hole|frage|buche|sende) ich|"
    r"ich (?:werde|sehe|schaue|lese|prüfe|führe|rufe|liste|starte|suche|öffne|lasse|erstelle|"
    r"speichere|schreibe|nutze|verwende|lösche|entferne|verschiebe|kopiere|ändere|hole|frage|"
    r"buche|sende)|lass mich|"
    r"je vais|laisse(?:z)?-moi|je (?:lis|liste|commence|exécute|ouvre|vérifie|regarde|"
    r"lance|cherche|crée|consulte)|"
    r"voy a|déjame|permíteme|vamos a|vou|deixe-me|deixa eu|fammi|lasciami|sto per|"
    r"(?:primero|ahora|luego) (?:leo|miro|reviso|ejecuto|busco|listo|creo|guardo|compruebo)|"
    r"(?:primeiro|agora|depois) (?:leio|verifico|executo|vejo|procuro|listo|crio|abro)|"
    r"(?:\A\W*|(?:prima|ora|adesso|subito|quindi) )(?:controllo|verifico|leggo|guardo|eseguo|cerco|"
    r"apro|do un'occhiata)|"
    r"ik (?:kijk|lees|controleer|bekijk|zoek|open|start)|\A\W*(?:even|eerst) (?:kijken|lezen)|"
    r"sprawdz(?:am|ę)|przeczytam|czytam|uruchamiam|uruchomię|zobaczę|zajrzę|poszukam|otworzę|"
    r"ik ga|ik zal|laat me|jag ska|låt mig|jeg vil|la meg|"
    r"проверю|проверяю|посмотрю|смотрю|прочитаю|читаю|запущу|запускаю|выполню|выполняю|сейчас|давай\w*)\b|"
    r"我来|我将|正在|让我|我会|我先|我现在|我要|"
    r"(?:し|読み|調べ|見|み|いたし|行い|始め|開き|探し|使い|試し)ます(?:ね|よ)?[。：:]?\s*\Z|"
    r"(?<!않)겠습니다|(?<!않을)게요|"
    r"\A\W*(?:(?:ok(?:ay)?|sure|alright|right|now|step \d+)\W+)?"
    r"(?!some|any|every|no|dur|str|warn|accord|regard|mean|stopp|block|fail|miss|boring|amaz|"
    r"interest|confus|king\b|refus|declin|reject|cancel|ignor|skipp|avoid|abort|delay|pend|await)\w+ing\b|"
    r"\A\W*(?:sure|ok(?:ay)?|certainly|of course|alright|got it|understood|yes|"
    r"on it|will do|here (?:goes|we go)|sure thing|"
    r"right(?!\W{0,3}:))\W*\Z|"
    r"(?:\A|\n)\W*(?:action|thought|calling|"
    r"(?:corrected )?(?:tools?|functions?)[ _]call(?:s|ing)?(?: sections?| response)?|"
    r"to \w+ (?:this|that|it|your))\b",
    re.IGNORECASE,
)
# What follows is called calls, and nothing else is said of them.
CALLS_FOLLOW: Final = re.compile(
    r"\bhere (?:is|are) the (?:function |tool )?calls?(?: (?:to|for|that (?:i|will))\b|\W*\Z)",
    re.IGNORECASE,
)
# What an announcement waits for, or what takes it back.
VETO: Final = re.compile(
    r"\b(?:once|until|after|before|unless|if|approv\w*|permission|confirm\w*|consent|go-ahead|"
    r"a?wait\w*|pending|emergency|against|sorry|forbidden|wrong|incorrect|bad|denied|blocked|"
    r"(?:let me|let's|let us|i'll|i will|going to|i should|i must) not|"
    r"report(?:ing)?|repeat(?:ing)?|past(?:e|ing)|recap\w*|mentioning|documenting|"
    r"undo|warn\w*|let me know|think(?:ing)? about|whether (?:to|this|that)|i found|notation|"
    r"leave (?:this|that|it)|(?<!be )(?:made|did|pasted|wrote|sent|ran|called|tried)(?=\W{0,3}\Z)|"
    r"be clear|clarify|recall|draft (?:it|this|that)|with you|you decide|up to you|"
    r"spell(?:ing)?|tomorrow|later|tonight|ask|user (?:pasted|sent|wrote|said|quoted)|"
    r"tell me|prints?|other agent|"
    r"deletes|removes|destroys|erases|overwrites|wipes|your notes|see what you|"
    r"cit(?:e|ing)|reject\w*|ignor\w*|skip\w*|cancel\w*|your (?:ok(?:ay)?|word|message)|"
    r"show|explain\w*|ill?ustr\w*|demonstrat\w*|describ\w*|"
    r"annotat\w*|suggest\w*|propos\w*|walk (?:you )?through|next time|transcript|my parser|"
    r"gives|yields|produces|answered|replied|responded|stated|"
    r"eventually|some ?day|at some point|sooner or later|next (?:week|month|year|sprint|release)|"
    r"(?:second|third|final|last|later) (?:phase|stage|round)|as soon as|provided (?:that|you)|"
    r"assuming (?:the|that|all|everything|it|you (?:agree|approve|are|want))|"
    r"in case (?:of|you|the|it|that)|only (?:do|run|execute|call|if|when|with|after|once)|"
    r"with your (?:blessing|leave|consent|agreement|help)|say \W?(?:yes|go|ok)|"
    r"pretend\w*|"
    r"(?:let me|let's|let us|i'll|i will|i want to) (?:now )?(?:say|assume|suppose|imagine|"
    r"float an|park|spare|refrain|translate (?:your|this|that) |discuss|quote|mock|simulate|"
    r"review (?:the|my|our|what) (?:last|previous|call)|embed (?:this|the following)|"
    r"hold (?:off|on|back)|"
    r"need (?!to\b|some\b|more\b))\w*|for discussion|an? idea|sign-?off|"
    r"to review|nearly|on your behalf|what you think|i['’]d (?:make|run|use|send)|test[- ]suite|"
    r"let(?:'s| us) (?:talk|think|consider)|"
    r"(?:broken|bad|wrong|failed|faulty) call|outline|run (?:this|it) last|green light|"
    r"being (?:asked|told|instructed|forced|urged)|"
    r"thinking of|(?:am|are|['’]m|['’]re) considering|tempted|leave the (?:following|rest|next)|"
    # Something is said about the deed: "Reverting this is hard".
    r"(?!following)\w+ing"
    r"(?: (?!what\b|which\b|who\b|how\b|if\b|that\b|where\b)[\w'’.\-]{1,40}){1,6} "
    r"(?:is|are|was|were|can|may|might|would|could|has|requires|needs|takes|fails)|"
    # The same in other languages: conditions, other times, leave, and verbs of saying and showing.
    r"wenn|falls|sobald|bevor|nachdem|soll|darf|würde|bestätig\w*|zustimm\w*|genehmig\w*|morgen|"
    r"schreibe (?:dir|das|nur)|führe ich dir|ob das|später|bescheid|"
    r"irgendwann|demnächst|vielleicht|eventuell|erlaubnis|freigabe|"
    r"(?:nur|erst) (?:wenn|falls|nach|mit|auf|dann)|auf dein|"
    r"erklär\w*|erläuter\w*|zeig\w*|beschreib\w*|bedeutet|"
    r"si (?:vous|tu|je|on|quieres|confirmas|me|tuviera)|"
    r"lorsque|après|demain|expliqu\w*|montr\w*|décri\w*|signifie|"
    r"cuando|después|mañana|explic\w*|mostr\w*|significa|"
    r"se (?:vuoi|hai|il|dovessi|você|eu|quiser)|solo|dopo|domani|conferma|"
    r"spieg\w*|descriv\w*|registro|"
    r"quando|depois|amanhã|descrev\w*|"
    r"als (?:ik|je|u|het|we)|indien|wanneer|pas (?:na|als)|"
    r"bevestig\w*|uitleg\w*|laten zien|beschrijf\w*|betekent|"
    r"jeśli|jeżeli|gdyby\w*|tylko|dopiero|jutro|potwierdz\w*|zgod\w*|wyjaśni\w*|pokaż\w*|oznacza|"
    r"если|бы|когда|после|только|завтра|подтвержд\w*|соглас\w*|покаж\w*|объясн\w*|опиш\w*|означает)\b|"
    r"假设|如果|假如|要是|确认后|同意|上一|上次|之后|以后|明天|等您|等你|解释|说明|演示|展示|介绍|描述|"
    r"考虑|犹豫|之前的|提醒|危险|讨论|有人|如有|必要时|如需|需要时|稍后|待会|等会|改天|下次|下周|将来|攻击者|想让我|建议|"
    r"以前|前回|もし|よろしければ|場合|たら|ように|てから|後に|許可|明日|説明|解説|紹介|示し|書き方|"
    r"(?:コマンド|呼び出し|これ|モデル|形式)は|"
    r"만약|다면|지난|주시면|후에|내일|설명|보여|소개|호출 방법",
    re.IGNORECASE,
)
# Words behind a call that may take it back, ask for leave, or speak about it.
DOUBTFUL_BEHIND: Final = re.compile(
    r"n't\b|\b(?:not|never|no|cancel\w*|wait\w*|hold|confirm\w*|approv\w*|permission|go-ahead|"
    r"ok(?:ay)?|yes|let me know|should|would|could|might|may|if|once|before|after|unless|until|"
    r"only|actually|you|your|just|say|word|proceed|this|that|above|call|calls|json|save|nicht|kein\w*|pas|jamais)\b",
    re.IGNORECASE,
)
# A question asks for leave, in any of the ways to end one.
QUESTION: Final = re.compile(
    r"(?:[?？؟]|か[。：:]?|까요[.:]?|吗[。：:]?|呢[。：:]?)[\s*_\"'”’）)]{0,8}\Z"
)
# A clause in which the writer waits for the user's word: nothing is to run before it comes.
_LEAVE: Final = r"(?:approval|permission|confirmation|consent|go-ahead|sign-?off)"
LEAVE: Final = re.compile(
    rf"\A\W*(?:(?:(?:i['’]m |i am )?(?:still )?(?:waiting for|awaiting)|pending|"
    rf"i(?:['’]ll| will|['’]m going to| am going to)? (?:still )?need(?: to have)?)"
    rf" (?:the user['’]s |your |explicit ){{0,2}}{_LEAVE}(?! (?:that|whether|if)\b)|"
    r"(?:ich )?warte (?:noch )?auf (?:ihre|deine) (?:freigabe|bestätigung|zustimmung)|"
    r"nach (?:ihrer|deiner) (?:freigabe|bestätigung|zustimmung) \w+ ich|"
    r"j['’]attends votre (?:accord|confirmation)|espero (?:tu|su) (?:permiso|confirmación)|"
    r"attendo (?:il tuo permesso|la tua conferma)|aguardo a sua (?:autorização|confirmação)|"
    r"ik wacht op (?:uw |je )?(?:toestemming|bevestiging)|czekam na (?:zgodę|potwierdzenie)|"
    r"жду (?:вашего )?(?:разрешения|подтверждения))\b|"
    r"\A\W*(?:我在?)?等待?(?:您|你)的?(?:批准|确认|同意|许可)|"
    r"\A\W*(?:承認をお?待ち|승인을 기다리고)|"
    r"\b(?:(?:once|after|as soon as) you (?:approve|confirm|agree|say (?:yes|so|go|ok))|"
    r"après votre (?:accord|confirmation)|cuando lo confirmes|dopo la tua conferma|"
    r"depois da sua (?:autorização|confirmação)|po potwierdzeniu|после подтверждения)"
    r"(?: it| this| that)?\W*\Z",
    re.IGNORECASE,
)
# A heading that says "example" in languages of which little else is known here.
EXAMPLE: Final = re.compile(
    r"\W*(?:příklad|contoh|esimerkki|példa|παράδειγμα|exemplu|مثال|דוגמה|उदाहरण|ตัวอย่าง|例)\W*",
    re.IGNORECASE,
)
# A line that only names the part of an answer that follows.
LABEL: Final = re.compile(
    r"\W*(?:action|thought|calling|(?:corrected )?(?:tools?|functions?)[ _]call(?:s|ing)?)\W*"
    r"(?:json\b)?\W*",
    re.IGNORECASE,
)
# Behind a call: it is taken back, or waits for leave.  Not in every case, so that it is asked.
TAKEN_BACK: Final = re.compile(
    r"\A\W*(?:oops|whoops|nope|(?:warning|caution|careful|confirm|correction|edit|fix|update|"
    r"alternativ\w*|or|oder|rather|instead|i me(?:an|ant)|besser|safer|a safer|"
    r"on reflection|feel free|something like|you decide|"
    r"du entscheidest|maybe|"
    r"achtung|vorsicht|warnung|korrektur|ups|hoppla)\b(?=\W)|"
    r"never ?mind|hold (?:on|off)|hm+|where|actually|just kidding|"
    r"wait(?! for\b| until\b| while\b)|(?:no|stop|abort|cancel|halt|stopp|nein|moment|quatsch)\b"
    r"(?=\W{0,3}(?:\Z|[.,!:;…—–\n-]|that\b|this\b|it\b))|"
    r"\(?(?:y/n|yes/no|j/n)\b|(?:type|reply|answer|press|enter|say) \W?\w+\W? (?:to|if|and)\b)|"
    r"\b(?:(?:forget|disregard|ignore|scratch|scrap|strike|undo|cancel|abort|retract|withdraw) "
    r"(?:it|this|that|the (?:above|call|last|previous))|disregard|never ?mind|kidding|joking|"
    r"(?:take|taking) (?:it|this|that) back|"
    r"unsure|not (?:sure|certain)|bad idea|(?:a|my) mistake|wrong (?:file|path|one|call)|"
    r"vergiss|vergessen sie|versehen|versehentlich|falsch\w*|ignorier\w*|bestätig\w*|freigabe|"
    r"zustimm\w*|zustimmung|genehmig\w*|erlaubnis|erlaubst|einverstanden|abbrech\w*|abgebrochen|"
    r"entwurf|willst|möchtest|doch nicht|lieber nicht|stornier\w*|"
    r"zurück(?:nehmen|ziehen|genommen|gezogen)|"
    r"(?:nehme|ziehe) (?:ich )?(?:das|es|den)\b[^.]{0,20}zurück)\b|"
    r"取消|算了|(?:请|您|你|待)\w{0,4}(?:确认|批准|许可)|(?:确认|批准|许可)(?:后|吗)|"
    r"忽略|撤回|作废|抱歉|对不起|写错|搞错|弄错|路径错|等等|且慢|还没|尚未|仅供|草稿|先不|来决定|保留吧",
    re.IGNORECASE,
)
# In a remark within a call: it is not to be made.
SHOWN_ONLY: Final = re.compile(
    r"\b(?:not to|do not|don't|never|only shown|dry[ -]run|hypothetical\w*|nicht|nur als)\b|"
    r"不要|勿",
    re.IGNORECASE,
)
# A few plain words behind calls, and nothing more, say something about them; unless they tell
# what the calls do or what comes next.
REMARK: Final = re.compile(
    # A whole sentence, or a word or two.
    r"(?=\W{0,4}[^\Wa-z]|[^\n]{0,240}[.!?…)*~]\s*\Z|\S{1,40}(?: \S{1,40})?\s*\Z)"
    r"[\"'“(*_~/#\s]{0,4}(?:I|[^\W\d_][\w'’./-]{1,30})"
    r"(?:[ ,;]{1,2}[\w'’./-]{1,30}){0,7}[.!?…)*~\s]{0,6}"
)
PLAIN_REMARK: Final = re.compile(
    r"\W*(?:done|ok(?:ay)?|waiting|now|next|then|and|also|here|based|finally|lastly|running|"
    r"\w+ing (?!back\b)\w+|"
    r"(?:this|it|that|these|they) (?!is\b|was\b|has\b|does\b|seems\b|looks\b|needs\b)"
    r"(?:will\b|\w+s\b)|the (?!user\b|above\b|call\b)\w+|"
    r"ich (?:warte|melde|schaue|sehe|prüfe|mache|fahre|werde|arbeite)|"
    r"i(?:['’]ve| have)? (?:asked for|requested|looked|checked|started|queried|searched|fetched)|"
    r"i(?:['’]m| am) (?:now )?(?!ask|hesitat|withdraw|retract|stopp|sorry)\w+ing|"
    r"après|ensuite|puis|luego|ahora|después|dopo|poi|depois|danach|anschließend|dann|jetzt|"
    r"(?:damit|das|dies) (?:wird|werden|zeigt|liest|listet|sucht|prüft))\b",
    re.IGNORECASE,
)
# What the writer does next, with the result of the calls before it.
FOLLOW_UP: Final = re.compile(
    r"\W*(?:(?:then|now|next|afterwards?|(?:after|with) (?:that|this)),? )?"
    r"(?:i(?:'ll| will|'m| am)|waiting for|once i (?:have|see|get|know)) "
    r"(?:(?!\b(?:\w+n't|not|never|you|your|if|unless|until|permission|approv\w*|confirm\w*|ok(?:ay)?|"
    r"go-ahead|would|could|should|might|example|only|instead|cancel\w*|stop\w*|before|explain\w*|"
    r"unsure|afraid|sorry|unable|worried|hesitant|reluctant|"
    r"show|describ\w*|later|run|execut\w*|send|call\w*|do)\b)[^.!?\n]){1,140}[.!…]{0,3}|"
    r"(?:我)?(?:会|将|在)?(?:正在)?等待?(?:命令|工具|执行)?(?:的)?(?:结果|输出)[。.…]{0,3}",
    re.IGNORECASE,
)
# Words that say nothing about the call behind them.
GREETING: Final = re.compile(
    r"(?:(?:final )?answer|content|response)\W{0,3}|"
    r"(?:hello|hi|hey|thanks|thank you|great|perfect)(?:,? (?:there|world|you|so much|again))?"
    r"[!.,]?(?:\s(?:how|what)[\w' ]{1,20}\?)?|"
    r"(?:hallo|hola|bonjour|salut|ciao|olá|привет|здравствуйте|你好|您好|こんにちは|안녕하세요)[!.！。]?",
    re.IGNORECASE,
)
# A log line or a shell prompt: what stands beside it was recorded.
RECORDED: Final = re.compile(
    r"^\W{0,3}\d{4}-\d\d-\d\d|^\W{0,3}\d\d?:\d\d|^\s*(?:\$|>>>|%|[\w.\-]+@[\w.\-]+\S*[$#])\s",
    re.MULTILINE,
)
# Between two calls: signs that the model made up what the first one returned.
INVENTED_RESULT: Final = re.compile(
    r"\b(?:results?|output|outputs|returned|observation|response|tool_response|stdout)\b",
    re.IGNORECASE,
)
# What stands for a value in a schema or a template, where a value should stand.
PLACEHOLDER: Final = re.compile(
    r"\s*(?:\.\.\.|…|TODO|TBD|FIXME|<[^\W\d_][\w \-]{1,60}>|"
    r"\{\{[^{}\n]{1,60}\}\}|\$\{[^{}\n]{1,60}\}|"
    r"YOUR_\w{1,40}|x{3,8}|string|integer|number|boolean|str|int|bool|float|object|array|"
    r"(?:your|insert|put|enter|add|the|an?|some|example|sample) [\w \-]{0,40}"
    r"(?:here|command|code|path|file ?name|text|content|value|argument)s?"
    r"(?: (?:to|of) [\w ]{1,30})?|"
    r"(?:command|code|path|file ?name|text|content|value|argument)s? (?:goes )?here|"
    r"(?:deine?|ihre?|eure?)[rmn]? [\w \-]{1,40} hier|"
    r"(?:hier )?[\w \-]{0,40}(?:hier )(?:[\w \-]{1,40} )?(?:einfügen|eingeben|eintragen|einsetzen)|"
    r"(?:请)?(?:在此处?|在这里|此处|这里)\w{0,12}(?:填写|输入|填入|插入|替换)\w{0,12}|"
    r"(?:#|//)?\s{0,4}(?:\.\.\.|…)\s{0,4}(?:the )?(?:rest|remaining|remainder|existing|previous)\b"
    r"[^\n]{0,60})\s*",
    re.IGNORECASE,
)
