"""SSML: every element, what is refused, and that no input costs much time or crashes."""

import logging
import math
import random
import time

import pytest

from speechkit.errors import InputError
from speechkit.tts.ssml import Passage, is_ssml, parse_ssml
from speechkit.tts.ssml_values import MAX_BREAK_S


def said(text: str, kind: str, detail: str) -> str:
    return f"({text} as {kind} {detail})" if detail else f"({text} as {kind})"


def parse(body: str) -> list[Passage]:
    return parse_ssml(f"<speak>{body}</speak>", said)


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("<speak>Hi</speak>", True),
        ("\ufeff \n<?xml version='1.0'?>\n<!-- a > b -->\n<speak version='1.1'>Hi</speak>", True),
        ("<speak/>", True),
        ("<ssml:speak>Hi</ssml:speak>", True),
        ("<!DOCTYPE speak><speak>Hi</speak>", True),
        ("<speaker>Hi</speaker>", False),
        ("Hi <speak>", False),
        ("<p>Hi</p>", False),
        ("<!-- never closed <speak>", False),
        ("<?xml", False),
        ("", False),
        ("Is 1 < 2?", False),
        ("<!-- -->" * 100_000 + "Hi", False),
    ],
)
def test_is_ssml(text: str, yes: bool) -> None:
    assert is_ssml(text) is yes


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Hello.", "Hello."),
        ("  A\n\n b\t&amp; c ", "A b & c"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("One<p>Two</p> Three", "One\n\nTwo\n\nThree"),
        ("<p><s>Aha</s><s>Oh</s></p>\n<p>C</p>", "Aha. Oh.\n\nC"),
        ("<s>Hello</s><s>World!</s> <s>Done?</s>", "Hello. World! Done?"),
        ("<s>He said “no.”</s><s>Yes</s>", "He said “no.” Yes."),
        ("<s>A <emphasis>b</emphasis> </s>c", "A b. c"),
        ("before <s>after</s>", "before. after."),
        ("<s></s><s> </s>", None),
        ("<s>We met on Main St.</s><s>It rained.</s>", "We met on Main St.\n\nIt rained."),
        ("<s>Plan B</s><s>It works</s>", "Plan B.\n\nIt works."),
        ("<say-as interpret-as='date' format='mdy'>1/2/3</say-as>", "(1/2/3 as date mdy)"),
        ("<say-as interpret-as='x' detail='2'> 5 </say-as>", "(5 as x 2)"),
        ("a<say-as interpret-as='x'><w>5</w> 6</say-as>.", "a(5 6 as x)."),
        ("a <say-as interpret-as='x'> </say-as> b", "a b"),
        ("the <sub alias='World Wide Web'>WWW</sub>!", "the World Wide Web!"),
        ("<phoneme ph='həlˈoʊ'>hello</phoneme> you", "[[həlˈoʊ]] you"),
        ("<phoneme alphabet='ipa' ph=' a  b '/>", "[[a b]]"),
        ("keep [[həlˈoʊ]] as it is", "keep [[həlˈoʊ]] as it is"),
        ("<w>un</w><token>do</token> <audio src='x'>a bell<desc>!</desc></audio>", "undo a bell!"),
        ("<voice name='x'><lang xml:lang='fr'>oui</lang></voice><mark name='m'/>", "oui"),
        ("<metadata><x>secret</x></metadata><meta name='a' content='b'/>open", "open"),
        ("<prosody rate='medium' volume='+0dB'>a</prosody> b", "a b"),
        ("a<break strength='none'/> b<break time='0s'/>", "a b"),
        ("<![CDATA[1 < 2]]> &#233;", "1 < 2 é"),
        ("", None),
        (" <!-- nothing --> ", None),
    ],
)
def test_one_passage(body: str, text: str | None) -> None:
    assert parse(body) == ([] if text is None else [Passage(text)])


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ("x-slow", 0.5),
        ("slow", 0.75),
        ("fast", 1.5),
        ("x-fast", 2.0),
        ("80%", 0.8),
        ("+20%", 1.2),
        ("-20%", 0.8),
        ("1.5", 1.5),
        ("+.5", 1.5),
        ("900%", 4.0),
        ("1%", 0.25),
    ],
)
def test_rate(given: str, rate: float) -> None:
    (passage,) = parse(f"<prosody rate='{given}'>a</prosody>")
    assert passage.rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("given", "volume_db"),
    [
        ("silent", -math.inf),
        ("x-soft", -12),
        ("soft", -6),
        ("loud", 3),
        ("x-loud", 6),
        ("+6dB", 6),
        ("-3.5DB", -3.5),
        ("50", -6.0206),
        ("+100%", 6.0206),
        ("0", -math.inf),
        ("+900dB", 20),
    ],
)
def test_volume(given: str, volume_db: float) -> None:
    (passage,) = parse(f"<prosody volume='{given}'>a</prosody>")
    assert passage.volume_db == pytest.approx(volume_db, abs=1e-4)


def test_nested_prosody_multiplies_and_adds() -> None:
    found = parse(
        "a <prosody rate='80%' volume='-3dB'>b <prosody rate='50%' volume='-3dB'>c</prosody>. d"
        "</prosody>, e"
    )
    assert found == [
        Passage("a"),
        Passage("b", 0.8, -3.0),
        Passage("c.", 0.4, -6.0),
        Passage("d,", 0.8, -3.0),
        Passage("e"),
    ]
    (silent,) = parse("<prosody volume='silent'><prosody volume='+6dB'>x</prosody></prosody>")
    assert silent.volume_db == -math.inf


@pytest.mark.parametrize(
    ("given", "pause_s"),
    [
        ("", 0.4),
        ("strength='x-weak'", 0.1),
        ("strength='weak'", 0.2),
        ("strength='medium'", 0.4),
        ("strength='strong'", 0.8),
        ("strength='x-strong'", 1.2),
        ("time='500ms'", 0.5),
        ("time='1.5s' strength='weak'", 1.5),
        ("time='+2s'", 2.0),
        ("time='90s'", 60.0),
    ],
)
def test_break(given: str, pause_s: float) -> None:
    assert parse(f"a <break {given}/> b") == [Passage("a", pause_s=pause_s), Passage("b")]


def test_breaks_in_unusual_places() -> None:
    assert parse("<break time='1s'/>a") == [Passage("", pause_s=1.0), Passage("a")]
    assert parse("a<break time='1s'/> <break time='2s'/>.") == [Passage("a.", pause_s=3.0)]
    assert parse("<s>a<break/></s><s>b</s>") == [Passage("a.", pause_s=0.4), Passage("b.")]
    many = parse("a" + "<break time='60s'/>" * 3)
    assert many == [Passage("a", pause_s=MAX_BREAK_S)]


def test_namespaces_are_ignored() -> None:
    head = 'xmlns="http://www.w3.org/2001/10/synthesis" xmlns:m="urn:m" xml:lang="en" version="1.1"'
    assert parse_ssml(f"<speak {head}><m:s>a</m:s><break m:time='1s'/></speak>", said) == [
        Passage("a.", pause_s=1.0)
    ]
    assert parse_ssml("<x:speak>undeclared</x:speak>", said) == [Passage("undeclared")]


@pytest.mark.parametrize("head", ["", "\ufeff\n ", '<?xml version="1.0" encoding="utf-16"?>'])
def test_declarations(head: str) -> None:
    assert parse_ssml(f"{head}<speak>é</speak>", said) == [Passage("é")]


def test_one_warning_names_all_that_is_not_supported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "speechkit"):
        parse("<emphasis>a</emphasis><emphasis>b</emphasis><prosody pitch='high'>c</prosody><x/>")
    (record,) = caplog.records
    assert record.name == "speechkit"
    assert record.getMessage().endswith(": emphasis, prosody pitch, x")
    caplog.clear()
    parse("<p><s>a<break/></s></p><prosody rate='fast'><sub alias='b'>c</sub></prosody>")
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<speak>R & D</speak>", r"line 1, column 11: .*& must be written &amp;"),
        ("<speak>\nAT&T</speak>", r"line 2, column 5: .*& must be written &amp;"),
        ("\n\n<speak>1 < 2</speak>", r"line 3, column 11: .*< must be written &lt;"),
        ("<speak>&nbsp;</speak>", r"column 8: undefined entity; write the character itself"),
        ("<speak><p>a</speak>", r"column 14: mismatched tag; close each element"),
        ("<speak>a", r"close every element; the last is </speak>"),
        ("<speak/>a", r"put all of the text into one <speak>"),
        ("<speak>\0</speak>", r"column 8: not well-formed"),
        ("", r"no element found"),
        ("plain", r"give well-formed XML"),
        ("<p>a</p>", r"outermost element is <p>; it must be <speak>"),
        ("<speak>\n <break time='soon'/></speak>", r"line 2, column 2: break time='soon'; write"),
        ("<speak><break time='5'/></speak>", r"500ms or 1\.5s"),
        ("<speak><break strength='big'/></speak>", r"choose none, x-weak, weak"),
        ("<speak><prosody rate='0%'/></speak>", r"choose x-slow, slow, .*above 0"),
        ("<speak><prosody rate='-200%'/></speak>", r"above 0"),
        ("<speak><prosody rate='nan'/></speak>", r"above 0"),
        ("<speak><prosody volume='11 dB'/></speak>", r"choose silent, .*\+6dB"),
        ("<speak><say-as>1</say-as></speak>", r"<say-as> without interpret-as"),
        ("<speak><sub>1</sub></speak>", r"<sub> without alias"),
        ("<speak><phoneme>1</phoneme></speak>", r"<phoneme> without ph"),
        ("<speak><phoneme alphabet='x-sampa' ph='h'/></speak>", r"'x-sampa'; only ipa is known"),
        ("<speak><phoneme ph='a]]b'/></speak>", r"IPA without brackets"),
        ("<speak>" + "a<break time='60s'/>" * 61 + "</speak>", r"add up to more than 3600 s"),
    ],
)
def test_errors_say_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_ssml(text, said)
    assert str(caught.value).startswith("SSML line ")
    assert "\n" not in str(caught.value)


def test_an_error_of_say_as_says_where() -> None:
    def refuse(text: str, kind: str, detail: str) -> str:
        raise InputError(f"unknown kind {kind}")

    with pytest.raises(InputError, match=r"line 2, column .*unknown kind x"):
        parse_ssml("<speak>\n<say-as interpret-as='x'>1</say-as></speak>", refuse)


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        f'<!DOCTYPE lolz [<!ENTITY l0 "lol">{LAUGHS}]>',
        '<!DOCTYPE s [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE s [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>',
        '<!DOCTYPE speak PUBLIC "-//W3C//DTD SYNTHESIS 1.0//EN" "http://127.0.0.1:9/s.dtd">',
        "<!DOCTYPE speak>",
    ],
)
def test_a_document_type_is_refused_at_once(doctype: str) -> None:
    text = f"<?xml version='1.0'?>{doctype}<speak>&l9;</speak>"
    assert is_ssml(text)
    start = time.monotonic()
    with pytest.raises(
        InputError, match=r"column \d+: a document type .* is not allowed; remove it"
    ):
        parse_ssml(text, said)
    assert time.monotonic() - start < 0.5


def nest(opening: str, closing: str, depth: int = 10_000) -> str:
    return opening * depth + "x" + closing * depth


@pytest.mark.parametrize(
    "body",
    [
        nest("<p>", "</p>"),
        nest("<prosody rate='fast' volume='loud'>", "</prosody>"),
        nest("<emphasis>", "</emphasis>"),
        "<say-as interpret-as='x'>" + nest("<w>", "</w>") + "</say-as>",
        "word " * 200_000,
        " " * 1_000_000,
        "<s>a</s>" * 120_000,
        "<p/> " * 200_000,
        "<break strength='none'/> <s/>" * 30_000,
        "<prosody rate='fast'>a</prosody> . " * 30_000,
        "".join(f"<a{i}/>" for i in range(100_000)),
        "<a " + " ".join(f"a{i}=''" for i in range(80_000)) + "/>",
    ],
    ids=lambda body: body[:20],
)
def test_deep_and_long_documents_take_seconds_at_most(body: str) -> None:
    start = time.monotonic()
    parse(body)
    assert time.monotonic() - start < 20


def test_any_markup_gives_passages_or_an_input_error() -> None:
    pieces = ["<p>", "</p>", "<s>", "</s>", "<break/>", "<prosody rate='50%'>", "</prosody>", "é ."]
    pieces += ["&", "<", ">", "a b", "\n", "[[", "]]", "<sub alias='z'>", "</sub>", "\ud800", "\0"]
    draw = random.Random(3)
    read = 0
    for _ in range(3000):
        size = draw.randrange(1, 8)
        body = "".join(draw.choices(pieces, [6] * 8 + [1] * (len(pieces) - 8), k=size))
        try:
            found = parse(body)
        except InputError as e:
            assert str(e).startswith("SSML line ")  # noqa: PT017
            continue
        read += 1
        for passage in found:
            assert passage.text or passage.pause_s
            assert passage.text == passage.text.strip()
            assert "  " not in passage.text
    assert read > 200


def test_plain_text_comes_through_whole() -> None:
    draw = random.Random(4)
    for _ in range(300):
        text = "".join(draw.choices("ab é.,!?'\n\t 中&<>", k=30))
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        expected = " ".join(text.split())
        assert parse(escaped) == ([Passage(expected)] if expected else [])
