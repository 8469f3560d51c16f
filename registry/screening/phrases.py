"""The phrases that `poison` looks for. One alternative a line; long lines are data here, not prose."""
# ruff: noqa: E501, ISC004, RUF001

from __future__ import annotations

_USER = r"(?:the |this |that |any |your )?(?:user|human|person|customer|operator|client|people|anyone|anybody|them)s?"
_TELL = (
    r"(?:tell|inform|mention|notify|reveal|disclose|show|say|alert|warn|ask|explain|report|let|expose|discuss|confirm)"
)
_NOT = r"(?:do not|don't|dont|never|must not|mustn't|should not|shouldn't|without|avoid|refrain from)"
_RULES = (
    r"(?:(?:all|any|the|your|other|its|every|of) ){0,3}(?:previous|prior|earlier|above|preceding|existing|former|other|original|"
    r"system|safety|security|default)"
)
_ORDERS = (
    r"(?:instruction|prompt|rule|guideline|direction|order|command|polic|message|restriction|constraint|guardrail)"
)
_SEND = r"(?:send|post|forward|upload|transmit|e-?mail|bcc|cc|copy|submit|deliver|leak|exfiltrate|report|append|attach|pass)"
_PRIVATE = (
    r"(?:api.?keys?|access.?tokens?|passwords?|credentials?|secrets?|private.?keys?|ssh.?keys?|session.?cookies?|env(?:ironment)?"
    r" variables?|system prompt|chat history|conversation(?: history| so far| context)?|whole conversation|full context|"
    r"prior messages|previous messages|message history|tool results|other tools'? (?:output|result)s?)"
)
_FILES = (
    r"(?:~/\.|/\.ssh|\.ssh/|id_rsa|id_ed25519|\.aws/|\.npmrc|\.netrc|\.pgpass|\.env\b|/etc/passwd|/etc/shadow|mcp\.json|\.kube/config"
    r"|claude_desktop_config|\.git-credentials|\.bash_history|\.docker/config|login keychain|known_hosts|authorized_keys)"
)
_SECRECY = r"(?:secretly|silently|quietly|covertly|discreetly|invisibly|unnoticed|behind the scenes)"

CLEAR: dict[str, tuple[str, ...]] = {
    "imperative-tag": (
        r"</?\s*(?:important|system|instructions?|admin|critical|secret|hidden|assistant|developer|prompt|sys|urgent|override)\s*/?>",
        r"<\|[a-z_]{2,20}\|>|\[/?inst\]|<<sys>>|\[(?:system|admin|assistant|developer)(?: (?:message|note|override|prompt))?\]",
        r"#{2,} ?(?:system|admin|hidden)\b|\bsystem(?: prompt| message| override| note)? ?:|"
        r"\b(?:begin|start|end) (?:of )?(?:system|admin|hidden|secret|developer)",
        r"\b(?:note|message|instructions?|reminder) (?:to|for) (?:the )?(?:ai|llm|model|assistant|agent|language model)\b",
        r"<!--",
    ),
    "concealment": (
        rf"{_NOT} (?:\w+ ){{0,2}}?{_TELL}(?:ing|ling)?\b(?: \w+){{0,3}}? ?(?:to |with )?{_USER}\b",
        rf"without (?:\w+ ){{0,2}}?(?:{_USER}(?:'s)? (?:knowledge|knowing|noticing|consent|approval|being|seeing)|asking for|"
        rf"telling|informing|notifying|mentioning|alerting|asking {_USER}|confirmation from)",
        rf"\b(?:hide|conceal|keep|withhold)\b.{{0,40}}\b(?:from {_USER}|secret|hidden|confidential|between us|to yourself|invisible)",
        rf"\b(?:{_USER}|they) (?:must|should|need|may|can|will|does|do)(?: ?not|n't) (?:\w+ )?(?:know|see|notice|learn|be told|be aware|find out|be shown)",
        rf"\b{_NOT} (?:\w+ ){{0,2}}?(?:mention|reveal|disclose|reference|acknowledge|display|output|admit)(?:ing)?\b.{{0,30}}"
        r"\b(?:this|these|that|it|instructions?|step|tool|note|message|parameter)\b",
        rf"\b{_SECRECY}\b.{{0,60}}\b(?:{_SEND}|read|include|add|run|call|copy|collect|store|save|execute|fetch|record|use)",
        rf"\b(?:{_SEND}|read|include|add|run|call|collect|store|save|execute|fetch|record|use)\b.{{0,60}}\b{_SECRECY}\b",
    ),
    "override": (
        rf"\b(?:ignore|disregard|forget|override|bypass|overrule|supersede|discard|drop|skip)s? {_RULES}\b.{{0,30}}{_ORDERS}",
        rf"\b(?:ignore|disregard|forget|override|bypass) (?:all |any |your |every |everything |the )+(?:{_ORDERS}|you (?:were|have been))",
        r"\b(?:you are now|from now on,? (?:you|always|every)|your new (?:role|task|goal|instructions?)|new instructions? ?:)",
        r"\b(?:takes? (?:precedence|priority) over|supersedes?|overrides?|more important than|regardless of) .{0,30}"
        r"(?:instruction|prompt|user|guideline|polic|rules|tools?\b)",
        r"\b(?:jailbreak|developer mode|god mode|do anything now|unrestricted mode)\b",
        r"\byou (?:are|have been) (?:authori[sz]ed|permitted|allowed|cleared) to (?:bypass|ignore|skip|override|disable|read any|access any)",
        r"\b(?:the )?(?:user|human|admin\w*|operator) (?:has )?already (?:approved|consented|agreed|authori[sz]ed|confirmed|granted)",
        r"\bno (?:need (?:to|for)|further) .{0,20}(?:confirm|ask|approval|permission|consent)",
        r"\b(?:skip|disable|suppress|bypass|turn off) .{0,24}(?:confirmation|approval|safety|consent|warning|verification|logging|audit)",
    ),
    "other-tools": (
        r"\b(?:before|after|prior to|when(?:ever)?|each time|every time|upon) .{0,24}(?:using|us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|run(?:ning)?|"
        r"execut(?:e|ing)) .{0,16}\b(?:any|every|each|all|other|another)\b.{0,16}\b(?:tools?|functions?|servers?)",
        r"\b(?:always|must|first|have to|required to|need to|make sure to|ensure you) .{0,24}(?:call|use|invoke|run|execute|prefer) this (?:tool|function)?"
        r".{0,24}\b(?:first|before|instead|prior|after every|in every|for every|every)",
        r"\b(?:instead of|rather than|replaces?|in place of|never use|do not use|don't use|stop using|avoid) (?!this\b).{0,30}\b(?:other|any other|all other|"
        r"built-?in|official|\w+_\w+) .{0,16}\b(?:tools?|functions?|servers?)",
        r"\b(?:all|every|any) (?:the )?(?:other|subsequent|following|future|previous) (?:tool|function|call|request|mail|e-?mail|message|response)s?\b"
        r".{0,60}\b(?:must|should|need|has to|have to|shall|will|are|is|to|with)\b",
        r"\b(?:when|whenever|if|each time|every time) .{0,40}\b(?:send_\w+|\w+_(?:send|email|mail|write|read|pay|transfer)\w*|another tool|other tools?) .{0,50}"
        r"\b(?:change|replace|set|add|append|use|modify|redirect|also)",
        r"\b(?:this tool|it) (?:is|has) (?:the )?(?:only|most) (?:trusted|reliable|secure|trustworthy|authori[sz]ed|official)",
    ),
    "exfiltration": (
        rf"\b(?:read|open|cat|load|fetch|access|include|get|retrieve|copy|collect|dump|print|encode|paste|find|look (?:up|in))\b.{{0,60}}{_FILES}",
        rf"{_FILES}.{{0,80}}\b(?:content|contents|parameter|argument|value|include|pass|send|attach|as|into|{_SEND})\b",
        rf"\b(?:{_SEND}|include|put|insert|provide|supply|write|encode|embed|add|fill|place|paste|give|read)\b.{{0,40}}\b{_PRIVATE}.{{0,60}}"
        r"\b(?:parameter|argument|field|url|query|header|here|to\b|in\b|into|as\b|for\b|at\b)",
        rf"\b{_SEND}\b.{{0,80}}\b(?:to|at|via)\b.{{0,12}}(?:https?://|\b[\w.+-]+@[\w-]+\.[a-z]|\b\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}})",
        r"!\[[^\]]{0,80}\]\(https?://[^)]{0,200}[?&{=]",
        rf"\b{_PRIVATE}.{{0,40}}\b(?:must|should|has to|have to|need to|required to) be (?:\w+ )?(?:sent|included|passed|provided|attached|added|forwarded|copied)",
        rf"\b(?:{_SEND}|include|put|provide|supply|paste|write|call|use|with|give)\b.{{0,40}}\b(?:full|entire|complete|whole) .{{0,20}}"
        r"(?:conversation|chat|prompt|transcript|dialogue?|message history)",
        r"\b(?:curl|wget|nc|bash|powershell|eval|rm -rf)\b.{0,40}(?:https?://|\||/|-[a-z])",
    ),
}
FOREIGN = (
    r"ignorier(?:e|en|t) .{0,30}(?:anweisung|vorherig|regel|bisherig)|(?:sag|erz[aä]hl|verrat|teil|zeig|erw[aä]hn)\w*.{0,40}(?:nutzer|benutzer|anwender)\w*.{0,24}"
    r"\bnicht|(?:nutzer|benutzer|anwender)\w*.{0,30}\b(?:nicht|nichts)\b.{0,20}(?:sag|mitteil|erfahr|wiss|zeig|erw[aä]hn|inform)|ohne .{0,20}(?:nutzer|benutzer|anwender)",
    r"ignore[zr]? .{0,30}(?:instructions|consignes|r[eè]gles)|ne (?:le |la |les |lui )?(?:dis|dites|mentionne|mentionnez|r[eé]v[eè]le\w*|montre\w*|informe\w*) "
    r"(?:pas|jamais|rien)|(?:sans|à l'insu).{0,30}utilisateur",
    r"ignora .{0,30}(?:instrucciones|istruzioni|reglas|regole)|no (?:le |lo |se lo )?(?:digas|menciones|muestres|informes|reveles|cuentes)|"
    r"non (?:dire|menzionare|mostrare|informare|rivelare|dirlo)|(?:sin|senza) .{0,30}(?:usuario|utente)",
    r"ignore? .{0,30}(?:instru[cç][oõ]es|regras)|n[aã]o (?:diga|conte|mencione|informe|mostre|revele)|sem .{0,24}usu[aá]rio",
    r"negeer .{0,30}(?:instructies|regels)|(?:vertel|zeg|meld).{0,30}gebruiker.{0,20}\bniet",
    r"不要(?:告诉|告訴|提及|透露|通知|让|讓|向)|(?:忽略|无视|無視|忽視).{0,12}(?:指令|指示|规则|規則|提示|说明)|别告诉|不得告知|(?:用户|用戶).{0,6}(?:不知|不能知道)",
    r"(?:ユーザー|利用者).{0,16}(?:言わ|知らせ|伝え|見せ|教え|告げ)(?:ない|ず|るな)|(?:以前|前|すべて|これまで)の.{0,8}(?:指示|命令|ルール).{0,8}(?:無視|忘れ)|秘密に",
    r"(?:사용자|유저).{0,16}(?:말하지|알리지|보여주지|언급하지)|(?:이전|모든|앞의).{0,10}(?:지시|명령|규칙).{0,10}(?:무시|잊)",
    r"не (?:говори\w*|сообщай\w*|показывай\w*|упоминай\w*|рассказывай\w*|раскрывай\w*)|игнорируй\w*.{0,30}|втайне|без ведома",
    r"لا تخبر|تجاهل.{0,24}(?:التعليمات|الأوامر)|(?:kullanıcıya|kullaniciya).{0,24}(?:söyleme|soyleme|bildirme|gösterme)|(?:उपयोगकर्ता|यूज़र).{0,20}(?:न बता|मत बता)",
    r"nie (?:mów|mow|informuj|pokazuj|wspominaj|ujawniaj)|zignoruj .{0,30}(?:instrukcje|polecenia|zasady)|bez wiedzy",
)
FAINT = (
    r"\b(?:remember|memorize|note down|keep in mind|store) .{0,40}\b(?:value|step|later|next|other|second|part|combine|token|secret|for)",
    r"\b(?:api.?keys?|private.?keys?|system prompt|chat history|session.?cookies?|access.?tokens?)\b",
    _FILES,
    r"\b(?:step|part|half) (?:one|two|1|2)\b|\b(?:first|second|other) (?:half|part) of (?:the|this|these) (?:instruction|task|message|rule)",
    r"\bit is (?:mandatory|essential|crucial|critical) that\b|\bas a required (?:security|safety)",
    r"\b(?:the (?:ai|llm|model|assistant|agent)|you,? the) (?:must|should|shall|has to|will|needs to)\b",
    rf"\b{_SEND}\b.{{0,60}}(?:https?://|\b[\w.+-]+@[\w-]+\.[a-z]{{2,}})",
    r"\b(?:base64|hex|rot13)[- ]?(?:encode|encoded|decode)",
    r"\b(?:as|in|into|through) the [`'\"]?(?:sidenote|side_note|context|note|notes|extra|metadata|debug|feedback|trace|thoughts?|_\w+)[`'\"]? (?:parameter|argument|field)",
    r"\b(?:otherwise|or else|if you (?:don't|do not|fail)).{0,60}\b(?:crash|break|lost|die|terminated?|corrupt|blocked)",
    r"\b(?:hidden|secret|undisclosed|internal) (?:instruction|step|parameter|command|directive|field)s?",
)
