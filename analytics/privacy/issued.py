"""Secrets that are told by how they begin: the forms that issuers of keys and tokens publish.

Each is a form in RE2's syntax; what stands before it is no letter and no digit. `ISSUED` are told
by the form alone. `LOOSE` begin with less, so what follows has to look drawn at random as well (see
`guesses`). The ids are those of gitleaks where it has the form: its rules are what the tests hold
these to (https://github.com/gitleaks/gitleaks, MIT licence). Lengths are lower limits where the
beginning is telling, so that a longer token, or one that was cut, does not get past.
"""

from typing import Final

ISSUED: Final[dict[str, str]] = {
    "1password-secret-key": (
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"
    ),
    "1password-service-account-token": r"ops_eyJ[A-Za-z0-9+/]{40,}={0,3}",
    "adobe-client-secret": r"p8e-[A-Za-z0-9_-]{32,}",
    "age-secret-key": r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{40,}",
    "airtable-personnal-access-token": r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
    "alibaba-access-key-id": r"LTAI[A-Za-z0-9]{16,}",
    "amazon-mws": r"amzn\.mws\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "amazon-oauth": r"amzn1\.oa2-cs\.v1\.[a-f0-9]{32,}|Atz[ar]\|[A-Za-z0-9_-]{32,}",
    "anthropic-api-key": r"sk-ant-[a-z]{3,5}[0-9]{2}-[A-Za-z0-9_-]{16,}",
    "artifactory-api-key": r"AKCp[A-Za-z0-9]{60,}",
    "artifactory-reference-token": r"cmVmd[A-Za-z0-9]{56,}",
    "asana-personal-access-token": r"[0-9]/[0-9]{16}(?:/[0-9]{16})?:[0-9a-f]{32}",
    "atlassian-api-token": r"AT[AC]TT3[A-Za-z0-9_=-]{40,}|ATBB[A-Za-z0-9]{32}",
    "authress-service-client-access-key": (
        r"(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-]"
        r"[A-Za-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,}"
    ),
    "aws-amazon-bedrock-api-key-long-lived": r"ABSK[A-Za-z0-9+/]{80,}={0,2}",
    "aws-amazon-bedrock-api-key-short-lived": r"bedrock-api-key-[A-Za-z0-9+/]{24,}={0,2}",
    "aws-access-token": r"(?:A3T[A-Z0-9]|AKIA|ABIA|ACCA)[A-Z0-9]{16,}",
    "azure-ad-client-secret": r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
    "azure-devops": r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}",
    "buildkite": r"bk[a-z]{2}_[a-f0-9]{40,}",
    "circleci": r"CCIP[A-Z]{2}_[A-Za-z0-9]{16,}_[a-f0-9]{40}",
    "clojars-api-token": r"(?i:clojars)_[A-Za-z0-9]{60}",
    "cloudflare-origin-ca-key": r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}",
    "contentful-personal-access-token": r"CFPAT-[A-Za-z0-9_-]{43}",
    "crates-io": r"cio[A-Za-z0-9]{32}\b",
    "databricks-api-token": r"dapi[a-f0-9]{32}(?:-[0-9])?",
    "defined-networking-api-token": r"dnkey-[A-Za-z0-9=_-]{26}-[A-Za-z0-9=_-]{52}",
    "digitalocean": r"do[opr]_v1_[a-fA-F0-9]{64}",
    "discord-bot-token": r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",
    "discord-webhook": (
        r"(?:https?://)?discord(?:app)?\.com/api(?:/v[0-9]+)?/webhooks/[0-9]{10,}/[A-Za-z0-9_-]{40,}"
    ),
    "docker": r"dckr_[po]at_[A-Za-z0-9_-]{20,}",
    "doppler-api-token": (
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}"
    ),
    "dropbox-short-lived-api-token": r"sl\.(?:u\.)?[A-Za-z0-9=_-]{120,}",
    "duffel-api-token": r"duffel_(?:test|live)_[A-Za-z0-9=_-]{40,}",
    "dynatrace-api-token": r"dt0[a-z][0-9]{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}",
    "easypost-api-token": r"EZ[AT]K[A-Za-z0-9]{54}",
    "facebook-access-token": r"[0-9]{15,16}(?:\||%7C)[A-Za-z0-9_-]{27,40}\b",
    "facebook-page-access-token": r"EAA[MC][A-Za-z0-9]{100,}",
    "figma": r"fig[dou]r?_[A-Za-z0-9_-]{40,}",
    "flutterwave": r"FLW(?:SECK|PUBK)(?:_TEST)?-[A-Za-z0-9]{12,}(?:-X)?",
    "flyio-access-token": r"fo1_[A-Za-z0-9_-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{80,}={0,3}",
    "frameio-api-token": r"fio-u-[A-Za-z0-9_=-]{60,}",
    "gcp-api-key": r"AIza[A-Za-z0-9_-]{30,}",
    "github-app-key": r"v1\.[0-9a-f]{40}\b",
    "github-fine-grained-pat": r"github_pat_[A-Za-z0-9_]{20,}",
    "github-token": r"gh[oprsu]_[A-Za-z0-9]{36,}",
    "gitlab-token": (
        r"gl(?:pat|cbt|dt|ffct|ft|imt|agent|oas|ptt|rtr?|soat|wt)-[A-Za-z0-9_-]{20,}"
        r"(?:\.[A-Za-z0-9_-]{2,})*"
    ),
    "gitlab-rrt": r"GR1348941[A-Za-z0-9_-]{20,}",
    "gitlab-session-cookie": r"_gitlab_session=[0-9a-z]{32}",
    "google-oauth": r"ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{40,}",
    "grafana-api-key": r"eyJrIjoi[A-Za-z0-9+/]{60,}={0,3}",
    "grafana-cloud-api-token": r"glc_[A-Za-z0-9+/]{32,}={0,3}",
    "grafana-service-account-token": r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}",
    "groq": r"gsk_[A-Za-z0-9]{40,}",
    "harness-api-key": r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",
    "hashicorp-tf-api-token": r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{56,}",
    "heroku-api-key-v2": r"HRKU-[A-Za-z0-9_-]{36,}",
    "huggingface-access-token": r"hf_[A-Za-z0-9]{30,}",
    "huggingface-organization-api-token": r"api_org_[A-Za-z0-9]{30,}",
    "infracost-api-token": r"ico-[A-Za-z0-9]{32}",
    "intra42-client-secret": r"s-s4t2(?:ud|af)-[a-f0-9]{64}",
    "jwt": r"ey[A-Za-z0-9_-]{14,}\.ey[A-Za-z0-9/_\\-]{12,}(?:\.[A-Za-z0-9/_\\-]*={0,2})?"
    r"|eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){4}",
    "jwt-base64": r"ZXlK[A-Za-z0-9+/_-]{60,}={0,2}",
    "langsmith": r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
    "linear-api-key": r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{32,}",
    "lob-api-key": r"(?:live|test)_(?:pub_)?[a-f0-9]{31,35}\b",
    "logfire": r"pylf_v[0-9]_[a-z]{2}_[A-Za-z0-9]{30,}",
    "mailchimp-api-key": r"[a-f0-9]{32}-us[0-9]{1,2}\b",
    "mailgun": r"(?:pub)?key-[a-f0-9]{32}|[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}\b",
    "mapbox-api-token": r"[ps]k\.[A-Za-z0-9_-]{60,}\.[A-Za-z0-9_-]{20,}",
    "maxmind-license-key": r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk",
    "microsoft-teams-webhook": r"(?:https?://)?(?:[a-z0-9-]+\.)?webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{60,}",
    "netlify-access-token": r"nfp_[A-Za-z0-9]{36,}",
    "new-relic": r"NR(?:AK|II|JS|AL|IQ)-[A-Za-z0-9-]{19,}",
    "notion-api-token": r"ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}\b",
    "npm-access-token": r"npm_[A-Za-z0-9]{36,}",
    "nvidia": r"nvapi-[A-Za-z0-9_-]{40,}",
    "octopus-deploy-api-key": r"API-[A-Z0-9]{25,}",
    "openai-api-key": r"sk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{16,}",
    "openshift-user-token": r"sha256~[A-Za-z0-9_-]{43}",
    "perplexity-api-key": r"pplx-[A-Za-z0-9]{32,}",
    "plaid-api-token": r"access-(?:sandbox|development|production)-[0-9a-f-]{36}",
    "planetscale": r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_=.-]{32,}",
    "posthog": r"ph[cx]_[A-Za-z0-9]{40,}",
    "postman-api-token": r"PMAK-[A-Fa-f0-9]{24}-[A-Fa-f0-9]{34}",
    "prefect-api-token": r"pn[ub]_[A-Za-z0-9]{36}",
    "pulumi-api-token": r"pul-[a-f0-9]{40}",
    "pypi-upload-token": r"pypi-Ag[A-Za-z0-9_-]{30,}",
    "readme-api-token": r"rdme_[a-z0-9]{70}",
    "replicate": r"r8_[A-Za-z0-9]{37,}",
    "rubygems-api-token": r"rubygems_[a-f0-9]{48}",
    "scalingo-api-token": r"tk-us-[A-Za-z0-9_-]{48}",
    "sendgrid-api-token": r"SG\.[A-Za-z0-9_=-]{16,}\.[A-Za-z0-9_=.-]{16,}|SG\.[A-Za-z0-9_=.-]{60,}",
    "sendinblue-api-token": r"x(?:keys|smtps)ib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
    "sentry-org-token": r"sntrys_[A-Za-z0-9+/=_]{40,}",
    "sentry-user-token": r"sntryu_[a-f0-9]{64}",
    "settlemint": r"sm_[aps]at_[A-Za-z0-9]{16}",
    "shippo-api-token": r"shippo_(?:live|test)_[A-Fa-f0-9]{40}",
    "shopify": r"shp(?:at|ca|pa|ss|tka|ua)_[A-Fa-f0-9]{32}",
    "slack-app-token": r"xapp-[0-9]-[A-Za-z0-9]+-[0-9]+-[A-Za-z0-9]+",
    "slack-config-access-token": r"xoxe\.xox[a-z]-[0-9]-[A-Za-z0-9]{60,}",
    "slack-webhook-url": r"(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}",
    "sonar-api-token": r"sq[upa]_[A-Za-z0-9]{40}",
    "sourcegraph-access-token": r"sgp_(?:(?:[A-Fa-f0-9]{16}|local)_)?[A-Fa-f0-9]{40}",
    "square-access-token": r"sq0[a-z]{3}-[A-Za-z0-9_-]{22,}",
    "stripe-access-token": r"[srp]k_(?:test|live|prod)_[A-Za-z0-9]{10,}",
    "stripe-webhook-secret": r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
    "supabase": r"sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{22,}",
    "tailscale": r"tskey-[a-z]+-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}",
    "telegram-bot-api-token": r"(?:bot)?[0-9]{5,16}:A[A-Za-z0-9_-]{34}",
    "twilio-api-key": r"SK[0-9a-fA-F]{32}\b",
    "typeform-api-token": r"tfp_[A-Za-z0-9_.=-]{40,}",
    "vault-token": r"hv[bsr]\.[A-Za-z0-9_-]{24,}",
    "x-ai": r"xai-[A-Za-z0-9]{60,}",
    "yandex-access-token": r"t1\.[A-Za-z0-9_-]+={0,2}\.[A-Za-z0-9_-]{86}={0,2}",
}  # fmt: skip

WITH_DIGIT: Final[dict[str, str]] = {
    "aws-temporary": r"ASIA[A-Z0-9]{16,}",
    "github-token": r"gh[oprsu]_[A-Za-z0-9_]{16,}",
    "gitlab-token": r"gl(?:pat|cbt|dt|ffct|ft|imt|agent|oas|ptt|rtr?|soat|wt)-[A-Za-z0-9_.-]{10,}",
    "slack-token": r"xox[a-z]-[A-Za-z0-9-]{10,}",
}  # fmt: skip
"""Forms that have to hold a digit."""
DRAWN: Final[dict[str, str]] = {
    "clickhouse-cloud-api-secret-key": r"4b1d[A-Za-z0-9]{38}",
    "jwt-cut": r"eyJ(?:hbGci|0eXAi|raWQi)[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_.-]+",
    "openai-like": r"sk-[A-Za-z0-9_-]{16,}",
    "pypi": r"pypi-[A-Za-z0-9_-]{20,}",
    "square-legacy": r"EAAA[A-Za-z0-9_-]{22,60}",
    "vault-service-token": r"[sb]\.[A-Za-z0-9]{24}\b",
}  # fmt: skip
"""Forms of which what follows their beginning has to look drawn at random."""

BEFORE: Final = (
    r"(?:^|[^A-Za-z0-9]|\\[abfnrtv]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|%[0-9A-Fa-f]{2}"
    r"|\x1b\[[0-9;]*m)"
)
"""What may stand before a form: the escapes of JSON, addresses and terminals end in letters."""

HEADS: Final = (
    r"A3-[A-Z]|A3-[0-9]|ops_eyJ|p8e-|AGE-SECRET|pat[A-Za-z0-9]+\.|LTAI|amzn|Atz[ar]\||AKCp|cmVmd",
    r"[0-9]:[0-9a-f]{8}|AT[AC]TT3|ATBB|\.acc[_-]|ABSK|bedrock-api|[0-9]Q~|AZDO|bk[a-z]{2}_|CCIP",
    r"(?i:clojars_)|v1\.0-|v1\.[0-9a-f]{8}|CFPAT-|cio[A-Za-z0-9]{8}|dapi[a-f0-9]{8}|dnkey-|do[opr]_v1",
    r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{8}|webhooks/[0-9]|dckr_|dp\.[a-z]{2,5}\.|sl\.[A-Za-z0-9=_.-]{8}",
    r"duffel_|dt0[a-z][0-9]|EZ[AT]K|[0-9](?:\||%7C)[A-Za-z0-9_-]{8}|EAA[AMC]|fig[dou]r?_|FLW|fo1_|fm[12][ar_]|fio-u-|AIza|github_pat",
    r"GR1348|gitlab_session|ya29\.|GOCSPX|1//0|glc_|glsa_|gsk_|[ps]at\.[A-Za-z0-9_-]{8}|atlasv1|HRKU",
    r"hf_|api_org_|ico-[A-Za-z0-9]{8}|s-s4t2|eyJ|\.ey|ZXlK|lsv2_|lin_[aow]|(?:live|test)_(?:pub_)?[a-f0-9]{8}",
    r"pylf_|[a-f0-9]-us[0-9]|key-[a-f0-9]{8}|[a-f0-9]-[a-f0-9]{8}-[a-f0-9]{8}",
    r"[ps]k\.[A-Za-z0-9_-]{8}|_mmk|webhookb2|nfp_|NR[A-Z]{2}-|ntn_|secret_|npm_|nvapi|API-[A-Z0-9]{8}",
    r"T3Blbk|sha256~|pplx-|access-(?:s|d|p)|pscale_|ph[cx]_|PMAK|pn[ub]_|pul-[a-f0-9]{8}|pypi-|rdme_|r8_",
    r"rubygems_|tk-us-|SG\.|x(?:keys|smtps)ib|sntry|sm_[aps]at|shippo_|shp[a-z]{2,3}_",
    r"xapp|xox|slack\.com/|sq[upa]_|sgp_|sq0|[srp]k_(?:test|live|prod)|whsec_|sbp_|sb_secret|tskey",
    r":A[A-Za-z0-9_-]{8}|SK[0-9a-fA-F]{8}|tfp_|hv[bsr]\.|[sb]\.[A-Za-z0-9]{8}|xai-|t1\.[A-Za-z0-9]|4b1d",
    r"gh[oprsu]_|gl[a-z]{2,5}-|AKIA|ASIA|ABIA|ACCA|A3T|sk-",
)
"""What a text has somewhere if one of the forms is in it."""
