"""The word for a password in the languages that people write in, as bytes of UTF-8 read as Latin-1.

Texts are gone through byte by byte, so the words are too: `as_bytes` turns a name into what the
patterns of `wording` are written in. Where a script has two cases, both are here.
"""

import re
from typing import Final

_LATIN: Final = (
    "kennwort", "zugangscode", "contrase[nñ]a", "contrasen\u0303a", "contrasenya", "mots? de passe",
    "mot_de_passe", "mots?depasse", "senha", "palavra[- _]passe", "hasł[oa]",
    "haslo", "wachtwoord", "l[öo]senord", "lo\u0308senord", "adgangskode", "kodeord", "passord",
    "salasana", "heslo", "jelsz[óo]", "[şs]ifre", "parol[ăa]", "lozinka", "geslo", "zaporka",
    "slaptažodis", "parool", "m[ậa]t kh[ẩa]u", "matkhau", "kata ?sandi", "kata laluan", "wagwoord",
    "fjal[ëe]kalimi?", "lykilorð", "pasahitza", "focal faire", "nenosiri",
)  # fmt: skip
_OTHERS: Final = (
    "пароль", "Пароль", "ПАРОЛЬ", "пароля", "паролем", "парола", "Парола", "лозинка", "Лозинка",
    "密码", "密碼", "口令", "パスワード", "ﾊﾟｽﾜｰﾄﾞ", "暗証番号", "合言葉", "비밀번호", "암호",
    "รหัสผ่าน", "كلمة المرور", "كلمة السر", "كلمه السر", "رمز عبور", "گذرواژه", "סיסמה", "סיסמא",
    "ססמה", "पासवर्ड", "কুপিশব্দ", "পাসওয়ার্ড", "கடவுச்சொல்", "κωδικός", "Κωδικός", "συνθηματικό",
    "գաղտնաբառ", "პაროლი", "құпиясөз", "нууц үг", "密語", "通關密碼",
)  # fmt: skip


def as_bytes(text: str) -> str:
    """Return a text's bytes in UTF-8, each as the character of its number."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def _spelled(word: str) -> str:
    """Return a pattern of a word in letters of either case, in brackets those of two spellings."""
    parts: list[str] = []
    for place, part in enumerate(re.split(r"\[(.*?)\]", word)):
        letters = [_in_cases(letter) for letter in part]
        parts.append(f"(?:{'|'.join(letters)})" if place % 2 else "".join(letters))
    return as_bytes("".join(parts))


def _in_cases(letter: str) -> str:
    other = letter.upper()
    return letter if letter.isascii() or other == letter else f"(?:{letter}|{other})"


WORDS: Final = "|".join((*map(_spelled, _LATIN), *map(as_bytes, _OTHERS)))
"""A pattern of them all."""
IS: Final = as_bytes("(?:是|为|為|は|ist|lautet|es|est|é|is|was|è|jest)")
"""What stands between such a word and a password in a sentence."""
WIDE: Final = as_bytes("：|＝|﹕|︰|→|⇒")
"""Signs that assign, in the width of East Asian letters and as arrows."""
