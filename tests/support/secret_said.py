"""Passwords and sessions as people and programs say them, to be redrawn: none is anybody's.

Each kind has texts with `{s}` where a secret stands, and what is drawn for it.
"""

import random
import string
from collections.abc import Callable
from typing import Final

from msgspec import Struct

WORDS: Final = (
    "swordfish", "opensesame", "dragon", "monkey", "sunshine", "letmein", "trustno", "banana",
    "galadriel", "manchester", "butterfly", "chocolate", "liverpool", "wolverine", "starwars",
    "Elephant", "Midnight", "gandalf", "cheesecake", "thunder", "hedgehog", "marmalade", "orchid",
)  # fmt: skip
NAMES: Final = (
    "password", "PASSWORD", "db_password", "DB_PASSWORD", "passwd", "MYSQL_PWD", "passphrase",
    "PGPASSWORD", "user.password", "spring.datasource.password", "adminPassword", "DB_PASS",
    "smtp-password", "SECRET", "client_secret",
)  # fmt: skip
FOREIGN: Final = (
    "Passwort", "Kennwort", "contraseña", "Contraseña", "CONTRASEÑA", "mot de passe",
    "Mot de passe", "motdepasse", "senha", "Senha", "пароль", "Пароль", "密码", "密碼",
    "パスワード", "hasło", "Hasło", "wachtwoord", "lösenord", "heslo", "jelszó", "şifre",
    "비밀번호", "mật khẩu", "סיסמה", "كلمة المرور", "κωδικός", "adgangskode", "passord", "salasana",
)  # fmt: skip
ALNUM: Final = string.ascii_letters + string.digits


def _word(chance: random.Random) -> str:
    return chance.choice(WORDS)


def _phrase(chance: random.Random) -> str:
    words = chance.sample(WORDS, chance.randint(2, 4))
    return " ".join((*words, *((str(chance.randint(10, 99)),) if chance.random() < 0.5 else ())))


def _drawn(kinds: str, size: int) -> Callable[[random.Random], str]:
    return lambda chance: "".join(chance.choices(kinds, k=size))


class Kind(Struct, frozen=True):
    """A way in which secrets are said."""

    id: str
    texts: tuple[str, ...]
    draw: Callable[[random.Random], str]


def _named(*texts: str, names: tuple[str, ...] = NAMES) -> tuple[str, ...]:
    return tuple(text.replace("{n}", name) for text in texts for name in names)


TOOLS: Final = (
    "mysql -h db -u root -p{s} shop", "mysqldump -uroot -p'{s}' shop > x.sql",
    "mariadb --host=db -p{s}", "mongosh mongo.example/admin -u ada -p {s}",
    "mongodump --host db -u ada -p '{s}' --gzip", "sshpass -p {s} ssh ada@host",
    'sshpass -p "{s}" scp a b:', "docker login -u ada -p {s} registry.example",
    "podman login --username ada -p={s} quay.example", "7z a -p{s} -mhe=on x.7z dir",
    "7za x x.7z -p{s}", "unrar x -p{s} x.rar", "zip -r -P {s} x.zip dir", "unzip -P {s} x.zip",
    "openssl enc -aes-256-cbc -salt -in a -pass pass:{s}",
    "openssl pkcs12 -in a.p12 -passin pass:{s} -nodes",
    "openssl genrsa -aes256 -passout 'pass:{s}' 4096", "openssl enc -d -k {s} -in a",
    "ldapsearch -x -H ldap://h -D cn=admin -w {s} -b dc=x", "ldapadd -w '{s}' -f a.ldif",
    "redis-cli -h cache -a {s} ping", "redis-cli -a '{s}' --scan", "valkey-cli -a {s} info",
    "curl -u ada:{s} https://x.example", "curl -X PUT --user 'ada:{s}' https://x.example",
    "PGPASSWORD={s} psql -h db", 'env PGPASSWORD="{s}" pg_dump x', "MYSQL_PWD={s} mysql",
    "wget --http-user=ada --http-password={s} https://x", "mosquitto_pub -u a -P {s} -t x -m y",
    "sqlcmd -S db -U sa -P {s}", "plink -ssh -pw {s} ada@host", "keytool -storepass {s} -list",
    "ssh-keygen -t ed25519 -N '{s}' -f k", "gpg --batch --passphrase {s} -d a.gpg",
    "smbclient //h/share -U ada%{s}", "lftp -u ada,{s} ftp.example", "http -a ada:{s} GET x",
    "echo 'ada:{s}' | chpasswd", "echo {s} | sudo -S apt update",
    "echo {s} | docker login -u a --password-stdin", "htpasswd -bc .htpasswd ada {s}",
    "cqlsh -u ada -p {s}", "twine upload -u ada -p {s} dist/*", "xfreerdp /u:ada /p:{s} /v:h",
    "ipmitool -H h -U ada -P {s} power on", "snmpget -v3 -A {s} h x",
    '["mongosh","-u","ada","-p","{s}"]', "sudo mysqladmin -u root password '{s}'",
    "command: redis-server --requirepass {s}", "requirepass {s}", "tool --password {s} run",
    "tool --db-password={s}", "tool --passphrase '{s}'", "mysql \\\n  -u root \\\n  -p{s}",
    "create user ada with password '{s}'", "alter role ada password '{s}'",
    "nmcli device wifi connect net password {s}", "az login -u ada -p {s}",
)  # fmt: skip
PLAIN: Final = (
    "{n}={s}", "export {n}={s}", "{n}: {s}", "{n} = {s}", "# settings\n{n}={s}\nport=5432\n",
    "a=b {n}={s} c=d", "https://x.example/?user=a&{n}={s}&x=1", "docker run -e {n}={s} image",
    "user=ada;{n}={s};host=db",
)  # fmt: skip
QUOTED: Final = (
    '{n}="{s}"', "{n} = '{s}'", '"{n}": "{s}"', "'{n}': '{s}',", 'export {n}="{s}"',
    '{{"user":"ada","{n}":"{s}"}}', '{{\\"{n}\\":\\"{s}\\"}}', 'login(user="a", {n}="{s}")',
)  # fmt: skip
TORN: Final = (
    '{{"user":"ada","{n}":"{s}', '{{"user":"ada","{n}":"{s}","host":"d',
    '[{{"a":1,"db":{{"{n}": "{s}"', 'da","{n}":"{s}"}}}}', 'answer: {{"{n}":"{s}","x":[1,2',
    '{{\\"a\\":1,\\"{n}\\":\\"{s}',
)  # fmt: skip
COOKIES: Final = (
    "Cookie: JSESSIONID={s}; theme=dark", "Set-Cookie: PHPSESSID={s}; path=/; HttpOnly",
    "Cookie: lang=en; ASP.NET_SessionId={s}", "set-cookie: connect.sid={s}; Path=/",
    "curl -b 'session={s}' https://x.example", "-H 'Cookie: session={s}'", "session={s}",
    "GET /x;jsessionid={s}?a=b", "Cookie: sessionid={s}", '{{"Cookie": "sid={s}; a=b"}}',
    "laravel_session={s}", "PHPSESSID={s}", "Cookie: auth_token={s}", "_app_session={s};",
)  # fmt: skip
HASHED: Final = (
    ("$6${8}${86}", "$5$rounds=5000${16}${43}", "$1${8}${22}", "$apr1${8}${22}", "$2b$12${53}",
     "$2y$10${53}", "$2a$08${53}", "$y$j9T${22}${43}", "$argon2id$v=19$m=65536,t=3,p=4${22}${43}",
     "$argon2i$v=19$m=4096,t=3,p=1${22}${43}", "$P$B{30}", "pbkdf2_sha256$600000${22}${43}=",
     "{{SSHA}}{32}", "$7$CU..../....{22}${43}", "scrypt:32768:8:1${16}$"),
)  # fmt: skip


def _hash(template: str) -> Callable[[random.Random], str]:
    def draw(chance: random.Random) -> str:
        out = template.replace("{{", "\0").replace("}}", "\1")
        while "{" in out:
            before, _, rest = out.partition("{")
            size, _, after = rest.partition("}")
            out = before + "".join(chance.choices(ALNUM, k=int(size))) + after
        out = out.replace("\0", "{").replace("\1", "}")
        return out + "".join(chance.choices("0123456789abcdef", k=64)) if out[-1] == "$" else out

    return draw


_AROUND: Final = ("{s}", "ada:{s}:19000:0:99999:7:::", 'hash = "{s}"', "'{s}'", "x\n{s}\ny")
KINDS: Final = (
    Kind("a word after a name", _named(*PLAIN), _word),
    Kind("words in quotes", _named(*QUOTED), _phrase),
    Kind("a word in quotes", _named(*QUOTED), _word),
    Kind("torn JSON", _named(*TORN, names=("password", "db_password", "secret")), _phrase),
    Kind("wide colon", _named("{n}：{s}", "{n}： {s}", "{n} ： {s}", names=NAMES[:6]), _word),
    Kind("another language", _named("{n}: {s}", "{n}：{s}", "{n} = {s}", '"{n}": "{s}"',
         names=FOREIGN), _word),
    Kind("programs", TOOLS, _word),
    Kind("cookies", COOKIES, _drawn(ALNUM, 24)),
    Kind("cookies in hex", COOKIES, _drawn("0123456789ABCDEF", 32)),
    Kind("otpauth", ("otpauth://totp/Acme:ada@x.example?secret={s}&issuer=Acme",
         "otpauth://hotp/A?issuer=A&counter=1&secret={s}", 'url = "otpauth://totp/a?secret={s}"'),
         _drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
    *(Kind(f"hash {place}", _AROUND, _hash(one)) for place, one in enumerate(HASHED[0])),
)  # fmt: skip
MADE_UP: Final = ("xx", "id", "key", "Z9", "foo")
ISSUED: Final = """
tavily - tvly-dev-{a:32}
tavily-plain - tvly-{a:32}
e2b - e2b_{h:40}
cerebras - csk-{x:48}
fireworks - fw_{a:24}
pinecone - pcsk_{a:60}
langfuse - sk-lf-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
firecrawl - fc-{h:32}
jina - jina_{a:60}
llama-cloud - llx-{a:48}
cursor - crsr_{h:64}
context7 - ctx7sk-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
resend - re_{a:8}_{a:24}
neon - napi_{x:64}
render - rnd_{a:32}
runpod - rpa_{U:40}
apify - apify_api_{a:36}
daytona - dtn_{h:64}
together - tgp_v1_{w:43}
vercel - vcp_{a:56}
hubspot-app - pat-na1-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
nuget - oy2{x:43}
razorpay - rzp_live_{a:14}
tencent - AKID{a:32}
wakatime - waka_{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
launchdarkly - sdk-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}
databricks-other - dose{h:32}
polar - polar_oat_{a:43}
trigger - tr_prod_{a:20}
wandb - wandb_v1_{a:70}
zhipu - {h:32}.{a:16}
anyscale - esecret_{a:28}
honeycomb - hcaik_{x:58}
"""
"""Forms of issuers whom `secret_forms` does not have."""
HOSTILE: Final = (
    "password=ab ", 'password="', "mysql -p", "Cookie: a=b;", "session=a", "пароль：", "$6$a$",
    "-pass pass:", "openssl ", "otpauth://", "<password>", "echo a | ", "--password ",
    "password=abcd\n", "sshpass -p ab", '"password":"\\"', "ghp_", "pass", "JSESSIONID=",
    "password=abcd1\n", "key: aB3dE5fG7hI9kL1mN\n", "a=b1c2d3e4;Cookie: ", "://ab:cdefg1@",
    "mysql -pabcd ", "JSESSIONID=abcdefgh1;", "kind: secret\n  a: abcdefgh", "auth=abcd,",
    f"ghp_{'aB3d' * 9} ", f"tvly-{'aB3d' * 9} ", f"xghp_{'aB3d' * 9} ", f"$2b$12${'a' * 53} ",
    "-----BEGIN PRIVATE KEY-----\nabcd\n-----END PRIVATE KEY-----\n", "secret=secret>",
    "Authorization: Basic YTpiY2RlZmc= ", "curl -u a:b1cdef ", "password for a a: abcdef1 ",
)  # fmt: skip
"""What a text that is to cost much may repeat."""


def said(text: str, secret: str) -> str:
    """Return one of a kind's texts with a secret in it."""
    return text.replace("{{", "{").replace("}}", "}").replace("{s}", secret)
