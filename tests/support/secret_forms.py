"""Forms of secrets, as samples to be redrawn in each test: none is a secret of anybody's.

Each line has an id, the name of the service that has to stand before it (`-` if none has to), and
the form: what is in braces is drawn, a kind of character and how many. The ids of `PUBLIC` are
those of gitleaks, version 8.30 (MIT licence), with a form that its rule of that name takes; `OURS`
are of issuers that it has no rule for.
"""

import random
import re
import string
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

KINDS: Final = {
    "a": string.ascii_letters + string.digits,
    "b": string.ascii_letters + string.digits + "+/",
    "d": string.digits,
    "g": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "l": string.ascii_lowercase,
    "q": string.ascii_uppercase + "234567",
    "u": string.ascii_uppercase,
    "U": string.ascii_uppercase + string.digits,
    "w": string.ascii_letters + string.digits + "_-",
    "x": string.ascii_lowercase + string.digits,
}
PUBLIC: Final = """
1password-secret-key - A3-{U:6}-{U:11}-{U:5}-{U:5}-{U:5}
1password-service-account-token - ops_eyJ{b:250}
adafruit-api-key adafruit {x:32}
adobe-client-id adobe {h:32}
adobe-client-secret - p8e-{x:32}
age-secret-key - AGE-SECRET-KEY-1{g:58}
airtable-api-key airtable {x:17}
airtable-personnal-access-token - pat{a:14}.{h:64}
algolia-api-key algolia {x:32}
alibaba-access-key-id - LTAI{x:20}
alibaba-secret-key alibaba {x:30}
anthropic-admin-api-key - sk-ant-admin01-{w:93}AA
anthropic-api-key - sk-ant-api03-{w:93}AA
artifactory-api-key - AKCp{a:69}
artifactory-reference-token - cmVmd{a:59}
asana-client-id asana {d:16}
asana-client-secret asana {x:32}
atlassian-api-token atlassian {x:20}{h:4}
authress-service-client-access-key - sc_{x:17}.{x:5}.acc-{x:21}.{x:50}
aws-access-token - AKIA{q:16}
aws-amazon-bedrock-api-key-long-lived - ABSK{b:129}
aws-amazon-bedrock-api-key-short-lived - bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t{b:60}
azure-ad-client-secret - {a:3}{d:1}Q~{w:32}
beamer-api-token beamer b_{x:44}
bitbucket-client-id bitbucket {x:32}
bitbucket-client-secret bitbucket {x:64}
bittrex-access-key bittrex {x:32}
bittrex-secret-key bittrex {x:32}
cisco-meraki-api-key meraki {h:40}
clickhouse-cloud-api-secret-key - 4b1d{a:38}
clojars-api-token - CLOJARS_{x:60}
cloudflare-api-key cloudflare {x:40}
cloudflare-global-api-key cloudflare {h:37}
cloudflare-origin-ca-key - v1.0-{h:24}-{h:146}
codecov-access-token codecov {x:32}
cohere-api-token cohere {a:40}
coinbase-access-token coinbase {x:64}
confluent-access-token confluent {x:16}
confluent-secret-key confluent {x:64}
contentful-delivery-api-token contentful {x:43}
databricks-api-token - dapi{h:32}
datadog-access-token datadog {x:40}
defined-networking-api-token dnkey dnkey-{x:26}-{x:52}
digitalocean-access-token - doo_v1_{h:64}
digitalocean-pat - dop_v1_{h:64}
digitalocean-refresh-token - dor_v1_{h:64}
discord-api-token discord {h:64}
discord-client-id discord {d:18}
discord-client-secret discord {x:32}
doppler-api-token - dp.pt.{x:43}
droneci-access-token droneci {x:32}
dropbox-api-token dropbox {x:15}
dropbox-long-lived-api-token dropbox {x:11}AAAAAAAAAA{x:43}
dropbox-short-lived-api-token dropbox sl.{x:135}
duffel-api-token - duffel_test_{x:43}
dynatrace-api-token - dt0c01.{x:24}.{x:64}
easypost-api-token - EZAK{x:54}
easypost-test-api-token - EZTK{x:54}
etsy-access-token etsy {x:24}
facebook-access-token facebook {d:15}|{x:33}
facebook-page-access-token - EAAM{x:100}
facebook-secret facebook {h:32}
fastly-api-token fastly {x:32}
finicity-api-token finicity {h:32}
finicity-client-secret finicity {x:20}
finnhub-access-token finnhub {x:20}
flickr-access-token flickr {x:32}
flutterwave-encryption-key - FLWSECK_TEST-{h:12}
flutterwave-public-key - FLWPUBK_TEST-{h:32}-X
flutterwave-secret-key - FLWSECK_TEST-{h:32}-X
flyio-access-token - fo1_{w:43}
frameio-api-token - fio-u-{x:64}
freshbooks-access-token freshbooks {x:64}
gcp-api-key - AIza{w:35}
github-app-token - ghs_{a:36}
github-fine-grained-pat - github_pat_{a:82}
github-oauth - gho_{a:36}
github-pat - ghp_{a:36}
github-refresh-token - ghr_{a:36}
gitlab-cicd-job-token - glcbt-{a:3}_{w:20}
gitlab-deploy-token - gldt-{w:20}
gitlab-feature-flag-client-token - glffct-{w:20}
gitlab-feed-token - glft-{w:20}
gitlab-incoming-mail-token - glimt-{w:25}
gitlab-kubernetes-agent-token - glagent-{w:50}
gitlab-oauth-app-secret - gloas-{w:64}
gitlab-pat - glpat-{w:20}
gitlab-pat-routable - glpat-{w:47}.{x:2}{x:7}
gitlab-ptt - glptt-{h:40}
gitlab-rrt - GR1348941{w:20}
gitlab-runner-authentication-token - glrt-{w:20}
gitlab-runner-authentication-token-routable - glrt-t{d:1}_{w:47}.{x:2}{x:7}
gitlab-scim-token - glsoat-{w:20}
gitlab-session-cookie - _gitlab_session={x:32}
gitter-access-token gitter {x:40}
gocardless-api-token gocardless live_{x:40}
grafana-api-key - eyJrIjoi{a:90}
grafana-cloud-api-token - glc_{b:52}
grafana-service-account-token - glsa_{a:32}_{h:8}
harness-api-key - pat.{w:22}.{a:24}.{a:20}
hashicorp-tf-api-token - {x:14}.atlasv1.{x:65}
hashicorp-tf-password administrator_login_password {x:14}
heroku-api-key heroku {h:8}-{h:4}-{h:4}-{h:4}-{h:12}
heroku-api-key-v2 - HRKU-AA{w:58}
hubspot-api-key hubspot {H:8}-{H:4}-{H:4}-{H:4}-{H:12}
huggingface-access-token - hf_{l:34}
huggingface-organization-api-token - api_org_{l:34}
infracost-api-token - ico-{a:32}
intercom-api-key intercom {x:60}
intra42-client-secret - s-s4t2ud-{h:64}
jfrog-api-key jfrog {x:73}
jfrog-identity-token jfrog {x:64}
jwt - ey{a:30}.ey{w:60}.{w:43}
kraken-access-token kraken {x:85}
kucoin-access-token kucoin {h:24}
kucoin-secret-key kucoin {h:8}-{h:4}-{h:4}-{h:4}-{h:12}
launchdarkly-access-token launchdarkly {x:40}
linear-api-key - lin_api_{x:40}
linear-client-secret linear {h:32}
linkedin-client-id linkedin {x:14}
linkedin-client-secret linkedin {x:16}
lob-api-key lob live_{h:35}
lob-pub-api-key lob test_pub_{h:31}
looker-client-id looker {x:20}
looker-client-secret looker {x:24}
mailchimp-api-key mailchimp {h:32}-us{d:1}{d:1}
mailgun-private-api-token mailgun key-{h:32}
mailgun-pub-key mailgun pubkey-{h:32}
mailgun-signing-key mailgun {h:32}-{h:8}-{h:8}
mapbox-api-token mapbox pk.{x:60}.{x:22}
mattermost-access-token mattermost {x:26}
maxmind-license-key - {a:6}_{a:29}_mmk
messagebird-api-token message_bird {x:25}
messagebird-client-id message_bird {h:8}-{h:4}-{h:4}-{h:4}-{h:12}
microsoft-teams-webhook - https://{x:8}.webhook.office.com/webhookb2/{x:8}-{x:4}-{x:4}-{x:4}-{x:12}@{x:8}-{x:4}-{x:4}-{x:4}-{x:12}/IncomingWebhook/{x:32}/{x:8}-{x:4}-{x:4}-{x:4}-{x:12}
netlify-access-token netlify {x:43}
new-relic-browser-api-token new-relic NRJS-{h:19}
new-relic-insert-key new-relic NRII-{x:32}
new-relic-user-api-id new-relic {x:64}
new-relic-user-api-key new-relic NRAK-{x:27}
notion-api-token - ntn_{d:11}{a:32}{a:3}
npm-access-token - npm_{x:36}
nytimes-access-token nytimes {x:32}
octopus-deploy-api-key - API-{U:26}
okta-access-token okta 00{w:40}
openai-api-key - sk-proj-{w:74}T3BlbkFJ{w:74}
openshift-user-token - sha256~{w:43}
perplexity-api-key - pplx-{a:48}
plaid-api-token plaid access-sandbox-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
plaid-client-id plaid {x:24}
plaid-secret-key plaid {x:30}
planetscale-api-token - pscale_tkn_{w:48}
planetscale-oauth-token - pscale_oauth_{w:48}
planetscale-password - pscale_pw_{w:48}
postman-api-token - PMAK-{h:24}-{h:34}
prefect-api-token - pnu_{a:36}
privateai-api-token private_ai {x:32}
pulumi-api-token - pul-{h:40}
pypi-upload-token - pypi-AgEIcHlwaS5vcmc{w:70}
rapidapi-access-token rapidapi {x:50}
readme-api-token - rdme_{x:70}
rubygems-api-token - rubygems_{h:48}
scalingo-api-token - tk-us-{w:48}
sendbird-access-id sendbird {h:8}-{h:4}-{h:4}-{h:4}-{h:12}
sendbird-access-token sendbird {h:40}
sendgrid-api-token - SG.{x:66}
sendinblue-api-token - xkeysib-{h:64}-{x:16}
sentry-access-token sentry {h:64}
sentry-org-token - sntrys_eyJpYXQiO{b:30}LCJyZWdpb25fdXJs{b:30}_{b:43}
sentry-user-token - sntryu_{h:64}
settlemint-application-access-token - sm_aat_{a:16}
settlemint-personal-access-token - sm_pat_{a:16}
settlemint-service-access-token - sm_sat_{a:16}
shippo-api-token - shippo_live_{h:40}
shopify-access-token - shpat_{h:32}
shopify-custom-access-token - shpca_{h:32}
shopify-private-app-access-token - shppa_{h:32}
shopify-shared-secret - shpss_{h:32}
sidekiq-secret BUNDLE_ENTERPRISE__CONTRIBSYS__COM {h:8}:{h:8}
slack-app-token - xapp-{d:1}-{U:11}-{d:13}-{x:64}
slack-bot-token - xoxb-{d:11}-{d:11}
slack-config-access-token - xoxe.xoxb-{d:1}-{U:164}
slack-config-refresh-token - xoxe-{d:1}-{U:146}
slack-legacy-bot-token - xoxb-{d:11}-{a:22}
slack-legacy-token - xoxs-{d:10}-{d:10}-{d:10}-{h:10}
slack-legacy-workspace-token - xoxa-{a:28}
slack-user-token - xoxp-{d:11}-{d:11}-{d:11}-{a:31}
slack-webhook-url - https://hooks.slack.com/services/{b:49}
snyk-api-token snyk {h:8}-{h:4}-{h:4}-{h:4}-{h:12}
sonar-api-token sonar {x:40}
sourcegraph-access-token - sgp_{h:16}_{h:40}
square-access-token - EAAA{w:41}
squarespace-access-token squarespace {h:8}-{h:4}-{h:4}-{h:4}-{h:12}
stripe-access-token - sk_test_{a:30}
sumologic-access-id sumo su{a:12}
sumologic-access-token sumo {x:64}
telegram-bot-api-token telegr {d:10}:A{x:34}
travisci-access-token travis {x:22}
twilio-api-key - SK{h:32}
twitch-api-token twitch {x:30}
twitter-access-secret twitter {x:45}
twitter-access-token twitter {d:20}-{a:30}
twitter-api-key twitter {x:25}
twitter-api-secret twitter {x:50}
twitter-bearer-token twitter AAAAAAAAAAAAAAAAAAAAAA{a:90}
typeform-api-token typeform tfp_{x:59}
vault-batch-token - hvb.{w:158}
vault-service-token - hvs.{w:105}
yandex-access-token yandex t1.{w:12}.{w:86}
yandex-api-key yandex AQVN{w:36}
yandex-aws-access-token yandex YC{w:38}
zendesk-secret-key zendesk {x:40}
"""
OURS: Final = """
amazon-mws - amzn.mws.{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
asana-personal-access-token - 1/{d:16}:{h:32}
atlassian-cloud - ATATT3{w:186}
azure-devops - {a:76}AZDO{a:4}
azure-storage accountkey {b:86}==
bitbucket-app-password - ATBB{a:32}
buildkite - bkua_{h:40}
circleci - CCIPAT_{a:22}_{h:40}
contentful-personal - CFPAT-{w:43}
discord-bot - M{a:23}.{a:6}.{w:38}
discord-webhook - https://discord.com/api/webhooks/{d:18}/{w:68}
docker - dckr_pat_{w:27}
figma - figd_{w:40}
google-oauth - ya29.{w:120}
google-client-secret - GOCSPX-{w:28}
groq - gsk_{a:52}
langsmith - lsv2_pt_{h:32}_{h:10}
linear-oauth - lin_oauth_{h:64}
logfire - pylf_v1_us_{a:43}
netlify-personal - nfp_{a:36}
notion-legacy - secret_{a:43}
nvidia - nvapi-{w:64}
openai-legacy - sk-{a:48}
openrouter - sk-or-v1-{h:64}
posthog - phx_{a:43}
replicate - r8_{a:37}
sendgrid - SG.{w:22}.{w:43}
square-oauth - sq0csp-{w:43}
stripe-live - sk_live_{a:24}
stripe-webhook - whsec_{a:32}
supabase - sbp_{h:40}
tailscale - tskey-auth-{a:12}-{a:32}
telegram - {d:10}:AA{w:33}
terraform - {a:14}.atlasv1.{w:67}
vault-legacy - s.{a:24}
wandb wandb {h:40}
x-ai - xai-{a:80}
aws-secret aws_secret_access_key {b:40}
"""
_DRAWN: Final = re.compile(r"\{(\w):(\d+)\}")


class Form(Struct, frozen=True):
    """How a kind of secret is written."""

    id: str
    service: str
    template: str

    def draw(self, chance: random.Random) -> str:
        """Return a secret of this form that nobody was ever given."""
        return _DRAWN.sub(
            lambda found: "".join(chance.choices(KINDS[found[1]], k=int(found[2]))), self.template
        )


def forms(lines: str) -> Iterator[Form]:
    """Yield the forms in one of the lists."""
    for line in lines.strip().splitlines():
        name, service, template = line.split(" ", 2)
        yield Form(name, "" if service == "-" else service, template)
