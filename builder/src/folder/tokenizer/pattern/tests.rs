//! What each construct becomes, and what is refused by which name. That translations
//! match alike is shown by the test `regex` of the `tests` package, against the
//! `tokenizers` package for Python.

use super::{Translation, translate, translate_all};
use serde_json::json;

/// Patterns that both read alike.
const UNCHANGED: [&str; 37] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Lu}\p{M}&&[^\p{Han}]]*",
    r"[^\r\n]++\.",
    " {2,}",
    r"\s{2,}|[\n\r\t]",
    "a{,2}b{1}c{2,}?",
    r"\A\s\S\d\D\h\H\O\z",
    r"\n\t\r\f\v\a\e\x41\x{1F600}\u2019",
    r"(?<name>a)(?'other'b)(c)(?>d)(?=e)(?!f)(?<=g)(?<!h)",
    r"(?<=a|bc)(?<=a+)",
    "(?i)abc",
    "(?i:a(?-i:b))",
    "[]a]",
    "[^]a]",
    r"[\b\]\[\-^]",
    "[a-]",
    "[-a]",
    "[a&&]",
    "a]}",
    "{x}",
    r"\{2}",
    r"\p{Greek}\P{Lu}\p{l u}\p{Extended_Pictographic}",
    r"(?i:[a-z]\h)",
    r"(?i:\d\s)",
    "",
    "|a|",
    "()",
    r"a\Kb",
    r"\G\s",
    r"\-\/\#\ \é",
    "é+日本",
    "(?:a|b)*+c?+d++",
    r"[a-c&&[^b]]",
    "\u{85}\u{2028}",
    r"\p{Any}",
    "[🙂-🙏]",
];

/// `\w` as Oniguruma has it outside of a class.
const WORD: &str = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\xB2\xB3\xB9\xBC-\xBE]";

/// Patterns, and what they become.
const TRANSLATED: [(&str, &str); 55] = [
    // Places.
    ("^#", "(?m:^)#"),
    ("^", r"(?:\A|(?<=\n)(?!\z))"),
    (r"\S+$", r"\S+(?m:$)"),
    (r"a\Z", r"a(?=\n?\z)"),
    // Characters of any kind.
    ("(?m:.)", "(?s:.)"),
    ("(?m-i:.)", "(?s-i:.)"),
    (r"\N+", r"[^\n]+"),
    (r"\R", r"(?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}])"),
    // Classes.
    (r"[\w-]", r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\-]"),
    (r"[^\w\s]", r"[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\s]"),
    ("[[:alpha:]]", r"[\p{Alphabetic}]"),
    ("[[:^alpha:]]", r"[^\p{Alphabetic}]"),
    ("[[:punct:]x]", r"[\p{P}\p{S}x]"),
    ("[a~~b]", r"[a\~\~b]"),
    ("[a-[b]]", "[b]"),
    (r"\p{^L}", r"[^\p{L}]"),
    (r"\P{^L}", r"[\p{L}]"),
    (r"\p{In_Hiragana}", r"[\x{3040}-\x{309F}]"),
    (r"\p{Alnum}", r"[\p{Alphabetic}\p{Nd}]"),
    (r"\pL", "pL"),
    (r"\xE2\x80\x99", "’"),
    (r"[\xE2\x80\x99]", "[’]"),
    // Case.
    (r"(?i:\p{Lu})", r"(?i:(?-i:[\p{Lu}]))"),
    ("(?i:[^a[^b]])", r"(?i:(?-i:[^\x{0}-\x{10FFFF}]))"),
    ("(?i:ss)", "(?i:(?:ss|ß|ẞ))"),
    ("(?i:sss)", "(?i:(?:ss|ß|ẞ)s)"),
    ("(?i:s(?:s))", "(?i:(?:ss|ß|ẞ))"),
    ("(?i:s(s))", "(?i:s(s))"),
    ("(?i:ss+)", "(?i:ss+)"),
    ("(?i:ß+)", "(?i:(?:ss|ß|ẞ)+)"),
    ("(?i:[ß])", "(?i:(?:[ß]|ss))"),
    ("(?i:[^ß])", "(?i:[^ß])"),
    ("(?i:(?<=ss)a)", "(?i:(?<=ss)a)"),
    // Options.
    ("x(?i)a|b", "x(?i:a|b)"),
    ("(a(?i)b)c", "(a(?i:b))c"),
    ("(?m)a.|b", "(?s:a.|b)"),
    ("(?x) a + # one\n b", "(?:a+b)"),
    (r"(?x: \ \# [ #])", r"(?:\ \#[ #])"),
    ("a(?#comment)+b", "a+b"),
    // Repetitions.
    ("a{2}+", "(?:a{2})+"),
    ("a{1,2}+", "(?:a{1,2})+"),
    ("a{2}?", "(?:a{2})?"),
    ("a{3,1}", "(?>a{1,3})"),
    ("a{,}", r"a\{,}"),
    ("(?:a*|b)*", "(?:(?=)(?:a*|b))*"),
    ("(a?)+", "(?:(?=)(a?))+"),
    ("a**", "(?:(?=)a*)*"),
    ("(?:)*", ""),
    ("(^)?", r"(?:(?=)((?:\A|(?<=\n)(?!\z))))?"),
    // Escapes.
    (r"\<b\>", "<b>"),
    (r"\0\012\i\cA", r"\x{0}\x{A}i\x{1}"),
    (r"[\012\i]", r"[\x{A}i]"),
    (r"\x4", r"\x{4}"),
    // References.
    (r"(a)\1", r"(a)\k<1>"),
    (r"(?<n>a)\k<n>", r"(?<n>a)\k<1>"),
];

/// Patterns, and what the refusal says.
const REFUSED: [(&str, &str); 41] = [
    (
        r"(?<n>a\g<n>?)",
        r"`\g<` at character 7 of the regular expression: a call",
    ),
    (
        "a(?~b)",
        "`(?~` at character 2 of the regular expression: an absent",
    ),
    (
        "(a)(?(1)b)",
        "`(?(` at character 4 of the regular expression: a condition",
    ),
    (
        "(*FAIL)",
        "`(*` at character 1 of the regular expression: a callout",
    ),
    ("(?{x})", "a callout"),
    ("(?W:a)", "`(?W` at character 1"),
    ("(?y{w})", "`(?y` at character 1"),
    (
        "(?i:(a))(?i:b\\1)",
        "a reference to a group has no translation where case",
    ),
    (
        r"(a\1)",
        "a reference has no translation that is inside of its group",
    ),
    (r"\1(a)", "a reference has no translation"),
    (r"(?<=(a))\1", "a reference has no translation"),
    (r"(?<n>a)(?<n>b)\k<n>", "two groups of this name"),
    (
        r"日\K",
        r"`\K` at character 2 of the regular expression: no translation",
    ),
    (r"(?:a\Kb)", r"`\K`"),
    (r"\G?", "what is before it has no length"),
    (r"(?:\Ga)?", r"`\G` at character 4"),
    (r"(?<=\Ga)b", r"`\G`"),
    (r"(?<=\R)b", r"`\R` at character 5"),
    (
        r"(?<=a*\b)c",
        "`(?<=` at character 1 of the regular expression: a look-behind of no fixed length",
    ),
    (r"(?<=a++)c", "a look-behind of no fixed length"),
    (r"(?<!\X)c", "a look-behind of no fixed length"),
    (
        r"\b\O*",
        "Oniguruma looks for it at beginnings of lines only",
    ),
    (r"\x{41 42}", "write each character for itself"),
    // What Oniguruma does not read either.
    (
        "(?s:.)",
        "`(?s` at character 1 of the regular expression is nothing that transformers reads",
    ),
    ("(?P<n>a)", "`(?P`"),
    (r"\p{IsGreek}", r"`\p{IsGreek}` at character 1"),
    (r"\p{Script=Greek}", "no such property"),
    (r"\p{Greek", "a property without its `}`"),
    ("[b-a]", "an empty range"),
    (r"[a-\d]", "a range that ends in a set"),
    (r"[\d-a]", "a range that begins with a set"),
    ("[[:nothing:]]", "no such POSIX bracket"),
    ("[a", "a class without its `]`"),
    ("[]", "an empty class"),
    ("(a", "a group without its `)`"),
    ("a)", "it closes no group"),
    ("+a", "nothing to repeat before it"),
    (r"(?:^|a)+", "what is before it has no length"),
    (r"\xFF", "UTF-8"),
    (r"\uD800", "not a code point of a character"),
    ("a\\", "a backslash at the end"),
];

#[test]
fn what_both_read_alike_stays_as_it_is() {
    for pattern in UNCHANGED {
        assert_eq!(translate(pattern).as_deref(), Ok(pattern));
    }
}

#[test]
fn what_they_read_differently_is_translated() {
    for (pattern, expected) in TRANSLATED {
        assert_eq!(translate(pattern).as_deref(), Ok(expected), "{pattern}");
    }
}

#[test]
fn words_are_oniguruma_s_words() {
    assert_eq!(translate(r"\w").as_deref(), Ok(WORD));
    let others = WORD.replacen('[', "[^", 1);
    assert_eq!(translate(r"\W").as_deref(), Ok(&*others));
    let boundary = format!("(?:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))");
    assert_eq!(translate(r"\b").as_deref(), Ok(&*boundary));
    let inside = format!("(?:(?<={WORD})(?={WORD})|(?<!{WORD})(?!{WORD}))");
    assert_eq!(translate(r"\B").as_deref(), Ok(&*inside));
}

#[test]
fn clusters_keep_their_case() {
    let cluster = translate(r"\X").expect("a translation");
    let ignored = translate(r"(?i:\X)").expect("a translation");
    assert_eq!(ignored, format!("(?i:(?-i:{cluster}))"));
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    for (pattern, expected) in REFUSED {
        let problem = translate(pattern).expect_err(pattern).to_string();
        assert!(problem.contains(expected), "{pattern}: {problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
    let large = "(?:a{1000}){1000}".repeat(20);
    let problem = translate(&large).expect_err("too large").to_string();
    assert!(problem.contains("too large"), "{problem}");
    let deep = "(".repeat(100) + &")".repeat(100);
    let problem = translate(&deep).expect_err("too deep").to_string();
    assert!(problem.contains("fewer groups"), "{problem}");
    for (hostile, expected) in [
        ("[".repeat(100_000) + "a", "fewer classes"),
        ("a".to_owned() + &"*".repeat(100_000), "fewer repetitions"),
        ("(?i)".repeat(100_000), "fewer groups"),
    ] {
        let problem = translate(&hostile).expect_err("hostile").to_string();
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn every_pattern_of_a_tokenizer_is_translated() {
    let mut tokenizer = json!({
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"Regex": r"\R"}, "content": "\n"},
            {"type": "Replace", "pattern": {"String": "$"}, "content": "^"},
        ]},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "^a"}, "behavior": "Isolated"},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"Regex": "a$"}, "content": ""},
            {"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""},
        ]},
        "model": {"vocab": {"pattern": 1}, "pattern": {"Regex": "$"}},
    });
    let translations = translate_all(&mut tokenizer).expect("a translation");
    let translation = |place: &str, from: &str, to: &str| Translation {
        place: place.into(),
        from: from.into(),
        to: to.into(),
    };
    let newline = r"(?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}])";
    let expected = [
        translation("normalizer.normalizers[0].pattern.Regex", r"\R", newline),
        translation("pre_tokenizer.pattern.Regex", "^a", "(?m:^)a"),
        translation("decoder.decoders[0].pattern.Regex", "a$", "a(?m:$)"),
    ];
    assert_eq!(translations, expected);
    assert_eq!(tokenizer["pre_tokenizer"]["pattern"]["Regex"], "(?m:^)a");
    assert_eq!(
        tokenizer["normalizer"]["normalizers"][1]["pattern"]["String"],
        "$"
    );
    assert_eq!(tokenizer["model"]["pattern"]["Regex"], "$");

    let mut refused = json!({"pre_tokenizer": {"pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "(?~a)"}},
    ]}});
    let refused = translate_all(&mut refused)
        .expect_err("a refusal")
        .to_string();
    assert!(
        refused.starts_with("`pre_tokenizer.pretokenizers[0].pattern.Regex`: `(?~`"),
        "{refused}"
    );
}
