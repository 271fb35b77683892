"""More forms by which secrets are told alone: keys of models' and agents' services, and hashes.

They are issued as those in `issued` are, whose rules hold here too; gitleaks has no rule for them.
Hashes of passwords are secrets as well: who has one tries passwords against it at leisure.
"""

from typing import Final

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

SERVICES: Final[dict[str, str]] = {
    "anyscale": r"esecret_[A-Za-z0-9]{20,}",
    "apify": r"apify_(?:api|proxy)_[A-Za-z0-9]{30,}",
    "axiom": r"xa[ap]t-" + _UUID,
    "azure-issued": r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{20,}|[A-Za-z0-9]{42}AzSe[A-Z][A-Za-z0-9]{5}",
    "baidu": r"bce-v3/ALTAK-[A-Za-z0-9]{16,}/[a-f0-9]{40}",
    "braintree": r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",
    "brave-search": r"BSA[A-Za-z0-9_-]{26,}\b",
    "browserbase": r"bb_(?:live|test)_[A-Za-z0-9_-]{20,}",
    "cal": r"cal_(?:live|test)_[a-f0-9]{32}",
    "cerebras": r"csk-[a-z0-9]{40,}",
    "clickup": r"pk_[0-9]{5,10}_[A-Z0-9]{32}",
    "cloudflare-token": r"cf(?:ut|at|k)_[A-Za-z0-9]{40,}",
    "context7": r"ctx7sk-[A-Za-z0-9-]{32,}",
    "cursor": r"(?:crsr|key)_[a-f0-9]{64}",
    "databricks-other": r"(?:dose|dkea)[a-f0-9]{32}",
    "daytona": r"dtn_[a-f0-9]{64}",
    "dbt": r"dbt[cu]_[A-Za-z0-9_-]{36,}",
    "e2b": r"e2b_[a-f0-9]{40,}",
    "fcm": r"AAAA[A-Za-z0-9_-]{7}:APA91[A-Za-z0-9_-]{100,}",
    "firecrawl": r"fc-[a-f0-9]{32}",
    "fireworks": r"(?:fw|fpk)_[A-Za-z0-9]{20,}",
    "gitpod": r"gitpod_pat_[A-Za-z0-9_.-]{30,}",
    "google-api-key-bound": r"AQ\.Ab8[A-Za-z0-9_-]{40,}",
    "honeycomb": r"hc[a-z]ik_[a-z0-9]{50,}",
    "hubspot-private-app": r"pat-(?:na|eu|ap)[0-9]-" + _UUID,
    "inngest": r"signkey-[a-z]+-[a-f0-9]{32,}",
    "jina": r"jina_[A-Za-z0-9_-]{40,}",
    "kaggle": r"KGAT_[a-f0-9]{32}",
    "langfuse": r"[sp]k-lf-" + _UUID,
    "langsmith-legacy": r"ls__[a-f0-9]{32}",
    "launchdarkly-key": r"(?:api|sdk|mob)-" + _UUID,
    "llama-cloud": r"llx-[A-Za-z0-9]{40,}",
    "mailersend": r"mlsn\.[a-f0-9]{64}",
    "mem0": r"m0-[A-Za-z0-9]{40}\b",
    "mongodb-atlas": r"mdb_sa_sk_[A-Za-z0-9_-]{30,}",
    "neon": r"napi_[a-z0-9]{48,}|npg_[A-Za-z0-9]{12,}\b",
    "netlify-other": r"nf[cbou]_[A-Za-z0-9]{36,}",
    "nuget": r"oy2[a-z0-9]{43}\b",
    "onesignal": r"os_v2_(?:app|org)_[a-z0-9]{60,}",
    "paddle": r"pdl_(?:live|sdbx)_apikey_[A-Za-z0-9_]{40,}",
    "pinecone": r"pcsk_[A-Za-z0-9_]{40,}",
    "polar": r"polar_(?:oat|pat|wat|whs)_[A-Za-z0-9_-]{20,}",
    "posthog-other": r"ph[asr]_[A-Za-z0-9]{40,}",
    "razorpay": r"rzp_(?:live|test)_[A-Za-z0-9]{14,}",
    "render": r"rnd_[A-Za-z0-9]{24,}",
    "resend": r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}",
    "runpod": r"rpa_[A-Z0-9]{40,}[a-z0-9]*",
    "snyk": r"snyk_[us]at\.[a-f0-9]{8}\.[A-Za-z0-9_.-]{40,}",
    "socket": r"sktsec_[A-Za-z0-9_-]{40,}",
    "stytch": r"secret-(?:test|live)-[A-Za-z0-9_-]{36}=",
    "tavily": r"tvly-(?:dev-|prod-)?[A-Za-z0-9_-]{20,}",
    "tencent": r"AKID[A-Za-z0-9]{32}\b",
    "together": r"tgp_v[0-9]_[A-Za-z0-9_-]{40,}",
    "trigger": r"tr_(?:dev|prod|stg|pat|preview)_[A-Za-z0-9]{20,}",
    "unkey": r"unkey_[A-Za-z0-9]{20,}",
    "vercel": r"vc[aikpr]_[A-Za-z0-9]{40,}|vercel_blob_rw_[A-Za-z0-9]{16}_[A-Za-z0-9]{30,}",
    "volcengine": r"AKLT[A-Za-z0-9_-]{40,}",
    "voyage": r"pa-[A-Za-z0-9_-]{43}\b",
    "wakatime": r"waka_" + _UUID,
    "wandb-new": r"wandb_v1_[A-Za-z0-9_]{60,}",
    "xata": r"xau_[A-Za-z0-9]{36,}",
    "zhipu": r"[a-f0-9]{32}\.[A-Za-z0-9]{16}\b",
}  # fmt: skip
_CRYPT: Final = r"[./A-Za-z0-9]"
_B64: Final = r"[A-Za-z0-9+/=._-]"
HASHES: Final[dict[str, str]] = {
    "crypt-md5": rf"\$(?:1|apr1)\${_CRYPT}{{1,8}}\${_CRYPT}{{22}}",
    "crypt-sha": rf"\$[56]\$(?:rounds=[0-9]{{1,9}}\$)?{_CRYPT}{{1,16}}\${_CRYPT}{{20,86}}",
    "bcrypt": rf"\$2[abxy]?\$[0-9]{{2}}\${_CRYPT}{{30,53}}",
    "yescrypt": rf"\$(?:y|gy)\$[./A-Za-z0-9]{{1,20}}\$[./A-Za-z0-9]{{1,86}}\${_CRYPT}{{20,86}}"
    rf"|\$7\${_CRYPT}{{11,100}}\${_CRYPT}{{40,}}",
    "argon2": r"\$argon2(?:id|i|d)\$(?:v=[0-9]+\$)?m=[0-9]+,t=[0-9]+,p=[0-9]+"
    rf"\${_B64}{{8,}}\${_B64}{{8,}}",
    "phpass": rf"\$[PH]\${_CRYPT}{{31}}|\$S\${_CRYPT}{{52}}",
    "sha1-crypt": rf"\$sha1\$[0-9]+\${_CRYPT}{{1,64}}\${_CRYPT}{{28}}",
    "scrypt": rf"\$scrypt\$ln=[0-9]+,r=[0-9]+,p=[0-9]+\${_B64}{{8,}}\${_B64}{{20,}}",
    "passlib": rf"\$(?:pbkdf2|scram)(?:-[a-z0-9]+)?\$[0-9]+\${_B64}{{8,}}\${_B64}{{20,}}",
    "django": rf"(?:pbkdf2_sha(?:1|256|512)|scrypt|bcrypt_sha256|argon2)"
    rf"\$[0-9a-z$]{{1,12}}\${_B64}{{8,}}\$[A-Za-z0-9+/=.,$_-]{{20,}}",
    "werkzeug": rf"(?:pbkdf2:sha(?:1|256|512):[0-9]+|scrypt:[0-9]+:[0-9]+:[0-9]+)"
    rf"\${_B64}{{6,}}\$[0-9a-f]{{40,}}",
    "ldap": r"\{(?:S?(?:SHA|MD5|SHA256|SHA384|SHA512)|CRYPT|PBKDF2[A-Z0-9-]*|ARGON2)\}"
    r"[A-Za-z0-9+/=$,.]{20,}",
    "scram": r"SCRAM-SHA-(?:1|256)\$[0-9]+:[A-Za-z0-9+/=]{8,}"
    r"\$[A-Za-z0-9+/=]{20,}:[A-Za-z0-9+/=]{20,}",
    "ntlm": r"[0-9]{1,6}:[0-9a-fA-F]{32}:[0-9a-fA-F]{32}:::",
    "kerberos": r"\$krb5[a-z]{2,6}\$[0-9]{2}\$[^\s\"']{40,}",
    "cisco": r"\$(?:8|9|14)\$[./A-Za-z0-9]{14}\$[./A-Za-z0-9]{43}",
}  # fmt: skip
"""What systems keep instead of a password, by the function that made it (crypt(5), PHC strings)."""

HEADS: Final = (
    r"esecret_|apify_|xa[ap]t-|JQQJ99|AzSe|bce-v3|access_token\$|BSA[A-Za-z0-9_-]{8}|bb_(?:l|t)|cal_(?:l|t)|csk-",
    r"pk_[0-9]{5}|cf(?:ut|at|k)_|ctx7sk|crsr_|key_[a-f0-9]{8}|dose[a-f0-9]{8}|dkea[a-f0-9]{8}|dtn_|dbt[cu]_|e2b_",
    r":APA91|fc-[a-f0-9]{8}|fw_|fpk_|gitpod_|AQ\.Ab8|hc[a-z]ik_|pat-(?:na|eu|ap)|signkey-|jina_|KGAT_",
    r"k-lf-|ls__|(?:api|sdk|mob)-[0-9a-f]{8}-|llx-|mlsn\.|m0-|mdb_sa|napi_|npg_|nf[cbou]_|oy2[a-z0-9]{8}",
    r"os_v2|pdl_|pcsk_|polar_|ph[asr]_|rzp_|rnd_|re_[A-Za-z0-9]{8}_|rpa_|snyk_|sktsec|secret-(?:t|l)|tvly-",
    r"AKID|tgp_v|tr_(?:d|p|s)|unkey_|vc[aikpr]_|vercel_blob|AKLT|pa-[A-Za-z0-9_-]{8}|waka_|wandb_v1|xau_",
    r"[a-f0-9]{8}\.",
    r"\$(?:1|apr1|5|6|2[abxy]?|y|gy|7|8|9|14|P|H|S|argon2i?d?|sha1|scrypt|pbkdf2[a-z0-9-]*|scram)\$",
    r"sha(?:1|256|512)\$|scrypt\$|argon2\$|sha(?:1|256|512):[0-9]|scrypt:[0-9]",
    r"\{(?:S?SHA|S?MD5|CRYPT|PBKDF2|ARGON2)|SCRAM-SHA|[0-9a-fA-F]{8}:::|\$krb5",
)
"""What a text has somewhere if one of these is in it."""
GLUED: Final = (
    r"(gh[oprsu]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|sk-ant-[a-z]{3,5}[0-9]{2}-[A-Za-z0-9_-]{32,}|sk-proj-[A-Za-z0-9_-]{40,}"
    r"|sk-or-v1-[a-f0-9]{64}|sk_live_[A-Za-z0-9]{20,}|xox[abeprs]-[0-9]{8,}-[A-Za-z0-9-]{16,}"
    r"|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{40,}|hf_[A-Za-z0-9]{34}|AIza[A-Za-z0-9_-]{35}"
    r"|AKIA[A-Z2-7]{16}|dckr_pat_[A-Za-z0-9_-]{24,}|tvly-[A-Za-z0-9-]{28,}|gsk_[A-Za-z0-9]{48,}"
    r"|nvapi-[A-Za-z0-9_-]{60,}|xai-[A-Za-z0-9]{70,}|pplx-[A-Za-z0-9]{40,}|e2b_[a-f0-9]{40}"
    r"|csk-[a-z0-9]{44,}|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"
    r"|sbp_[a-f0-9]{40}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|lin_api_[A-Za-z0-9]{40})"
)
"""Forms so telling that letters may stand right before them, if the rest looks drawn."""
GLUED_HEAD: Final = (
    r"[A-Za-z0-9](?:gh[oprsu]_|github_pat_|glpat-|sk-|sk_live|xox|npm_|pypi-AgEI|hf_|AIza|AKIA|dckr"
    r"|tvly-|gsk_|nvapi|xai-|pplx|e2b_|csk-|do[opr]_v1|shp|sbp_|glsa_|lin_api)"
)
