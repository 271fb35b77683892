"""Passwords that programs are given on the command line, by the program and its flag for them.

`-p` means a password to one program, a port to another and nothing to most, so the flag counts only
behind its program's name, in the same command (one line, and those that it goes on in).
"""

import re
from typing import Final

from analytics.privacy.guesses import is_stand_in

COMMAND_BYTES_MAX: Final = 512
"""Bytes behind a program's name that are looked at."""

_VALUE: Final = (
    r"""(?:\\{0,3}"([^"\\\n]{1,128})|\\{0,3}'([^'\\\n]{1,128})"""
    r"""|([^\s"'\x60\\|;&<>(),\[\]{}-][^\s"'\x60\\|;<>(),\[\]{}]{0,127}))"""
)
_GAP: Final = r"""(?:\\?["'])?(?:[ \t]{0,4}\\\r?\n\s{0,16}|[ \t]{1,4}|,\s{0,16})"""
"""What ends a flag in a shell's line, or in a list."""
_BEFORE: Final = r"""(?:^|[\s"',\[])"""


def _apart(flags: str) -> str:
    """Return a pattern of flags whose value is another word, or follows `=`, or at once."""
    return rf"{_BEFORE}(?:{flags})(?:{_GAP}|=?){_VALUE}"


def _spaced(flags: str) -> str:
    """Return a pattern of flags whose value is another word, or follows `=`."""
    return rf"{_BEFORE}(?:{flags})(?:=|{_GAP}){_VALUE}"


def _glued(flags: str) -> str:
    """Return a pattern of flags whose value follows at once; without one the program asks."""
    return rf"{_BEFORE}(?:{flags}){_VALUE}"


_WITH_P: Final = (
    r"mongo(?:sh|dump|restore|import|export|stat|top|files)?|cqlsh|cypher-shell|arangosh|cbq|influx"
    r"|rabbitmqadmin|sshpass|(?:docker|podman|nerdctl|buildah|skopeo|oras|crane|registry|az|oc|cf"
    r"|ibmcloud|argocd|auth|acr|trivy|regctl|nomad|cloudctl)[ \t\"',]{1,4}login"
    r"|twine|psexec(?:64)?|rdesktop|ncftp\w{0,3}|isql|exaplus|vsql|gsql|tsh|psftp|bw|nordvpn"
)
TOOLS: Final[tuple[tuple[str, str], ...]] = (
    (r"(?:mysql|mariadb)(?:-?(?:dump|admin|import|show|check|pump|sh|binlog|slap|upgrade))?|mycli",
     _glued("-p")),
    (r"7z[aru]{0,2}|7zz|p7zip|rar|unrar|arj", _glued("-hp|-p")),
    (_WITH_P,
     _apart("-p|-password|--pass")),
    (r"zip|unzip|zipcloak|zipinfo|sqlcmd|bcp|tsql|fisql|bsqldb|osql|ipmitool|mosquitto_\w{2,6}",
     _apart("-P")),
    (r"ldap(?:search|add|modify|delete|whoami|passwd|compare|modrdn|exop|url)|nsupdate",
     _apart("-w|-s|-a")),
    (r"(?:redis|valkey|keydb)-(?:cli|benchmark)|kcat|dragonfly", _apart("-a|--pass")),
    (r"plink|pscp|psftp|putty|klink", _spaced("-pw")),
    (r"keytool|jarsigner|apksigner|javaws",
     _spaced("-{1,2}(?:(?:src|dest)?(?:store|key)pass|new|(?:ks|key)-pass|srcpass|destpass)")),
    (r"ssh-keygen|puttygen", _spaced("-N|-P|--new-passphrase")),
    (r"openssl", _spaced("-k|-K")),
    (r"curl", _spaced("-U|--proxy-user|--pass|--proxy-pass|--key-pass|--tlspassword")),
    (r"snmp(?:get|walk|set|bulkwalk|bulkget|trap|inform|status|table)", _spaced("-A|-X")),
    (r"http|https|xh|xhs|ab|siege|wrk|vegeta",
     rf"{_BEFORE}(?:-a|-A|--auth)(?:=|{_GAP})[\"']?[\w.@+-]{{1,64}}:{_VALUE}"),
    (r"smbclient|smbmap|rpcclient|smbget|winexe|mount\.cifs",
     rf"{_BEFORE}(?:-U|--user)(?:=|{_GAP}|)[\"']?[\w.\\@+-]{{1,64}}%{_VALUE}"),
    (r"lftp|ncftp", rf"{_BEFORE}(?:-u|--user)(?:=|{_GAP}|)[\"']?[\w.@+-]{{1,64}},{_VALUE}"),
    (r"sqlplus|sqlldr|expdp|impdp|rman|exp|imp|tnsping",
     rf"[ \t\"']{{1,3}}[A-Za-z][\w$#.]{{0,30}}/{_VALUE}@"),
    (r"htpasswd",
     rf"[ \t]-[A-Za-z]{{0,6}}b[A-Za-z]{{0,6}}[ \t](?:\S{{1,128}}[ \t]){{1,2}}{_VALUE}"),
    (r"x?freerdp3?|cmdkey|net(?:[ \t]use)?|schtasks|runas|rdesktop|mstsc|setx",
     _glued("/(?:p|pass|rp):")),
    (r"nmcli", rf"[ \t](?:wifi-sec\.psk|password){_GAP}{_VALUE}"),
    (r"wpa_passphrase", rf"[ \t]{{1,4}}(?:\"[^\"]{{1,64}}\"|\S{{1,64}})[ \t]{_VALUE}"),
    (r"mysqladmin", rf"[ \t]password{_GAP}{_VALUE}"),
    (r"pdftk|qpdf",
     rf"[ \t](?:user_pw|owner_pw|input_pw|--encrypt|--password)(?:=|{_GAP}){_VALUE}"),
    (r"net[ \t]user", rf"[ \t]{{1,4}}[\w.-]{{1,64}}[ \t]{{1,4}}{_VALUE}[ \t]{{1,4}}/add"),
    (r"gpg2?|borg|restic|duplicity|cryptsetup", _spaced("--passphrase|--pass")),
)  # fmt: skip
"""Names of programs, and the pattern of what they are given a password with."""
NAMES: Final = "|".join(names for names, _ in TOOLS)
PATTERN: Final = rf"(?:^|[^\w.-]|\\n)({NAMES})(?:\.exe)?(?:[ \t]|\\?[\"'],|\\\r?\n)"
"""A program's name, as a word of its own with others behind it."""
PHRASES: Final = (
    rf"(?:-pass(?:in|out|word)?|pass(?:in|out)?){_GAP}pass:([^\s\"'\x60\\|;&<>]{{1,128}})"
    r"|--?[\w-]{0,16}pass[\w-]{0,8}[= ]pass:([^\s\"'\x60\\|;&<>]{1,128})"
    r"""|\becho[ \t]{1,4}"""
    r"""(?:-[ne][ \t])?\\?["']?[\w.@-]{1,32}:([^\s"'|\\]{3,128})\\?["']?[ \t]{0,4}\|[ \t]{0,4}"""
    r"""(?:sudo[ \t])?chpasswd"""
    r"""|\becho[ \t]{1,4}"""
    r"""(?:-[ne][ \t])?\\?["']?([^\s"'|\\]{3,128})\\?["']?[ \t]{0,4}\|[ \t]{0,4}"""
    r"""(?:sudo[ \t]{1,4}-S|(?:sudo[ \t])?passwd[ \t]--stdin"""
    r"""|[\w \t./:-]{1,64}--password-stdin|\w{2,20}[ \t]login)"""
    r"""|\bsudo[ \t]{1,4}-S[^\n<]{0,128}<<<[ \t]{0,4}\\?["']?([^\s"'|\\]{3,128})"""
    r"""|(?:^|[\s"'])(?i:requirepass|masterauth"""
    r"""|redis-cli[^\n|]{0,64}[ \t]auth)[ \t]{1,4}\\?["']?([^\s"'\\]{3,128})"""
    r"""|(?i:\b(?:with|encrypted|user|role|alter|set"""
    r"""|login)[^\n;]{0,64}?\bpassword[ \t]{1,4}(?:=[ \t]{0,4})?\\?'([^'\\\n]{2,128})')"""
    r"""|(?i:ConvertTo-SecureString[ \t]{1,4}(?:-String[ \t]{1,4})?\\?["']([^"'\\\n]{2,128}))"""
)
"""What is told by more than a flag: a pipe into a program, a line of a file, a statement."""
HEADS: Final = (
    rf"(?:^|[^\w.-]|\\n)(?:{NAMES})(?:\.exe)?(?:[ \t]|\\?[\"'],|\\\r?\n)",
    r"pass:|chpasswd|sudo[ \t]+-S|stdin|[ \t]login",
    r"(?i:requirepass|masterauth|[ \t]auth[ \t]|password[ \t]+[=\\'])",
    r"(?i:SecureString)",
)
_NO_PASSWORD: Final = re.compile(
    r"(?i)(?:my|your|the|new|old|user|admin|db|root|some)?[-_]?(?:pass(?:word|wd|phrase|code)?"
    r"|pw|pwd"
    r"|secret|token|key|file|port|host|name)[0-9]?|stdin|file:.*|env:.*|fd:.*|and|or|the|to|is"
    r"|option"
    r"|flag|for|with|\.\.\."
)
_TABLE: Final = re.compile("|".join(f"({names})" for names, _ in TOOLS))


def is_password(value: str) -> bool:
    """Say whether what a program is given is no variable and no word for one."""
    return not (is_stand_in(value) or _NO_PASSWORD.fullmatch(value))


def number_of(name: str) -> int:
    """Return the place in `TOOLS` of a program."""
    found = _TABLE.fullmatch(name)
    assert found is not None
    assert found.lastindex is not None
    return found.lastindex - 1


def command(data: bytes, start: int) -> bytes:
    """Return what follows a program's name in its command."""
    rest = data[start : start + COMMAND_BYTES_MAX]
    end = _END.search(rest)
    return rest[: end.start()] if end else rest


_END: Final = re.compile(rb"(?<![\\,])(?<!,\r)(?<!\\\r)\n|\||&&|;[ \t\n]")
