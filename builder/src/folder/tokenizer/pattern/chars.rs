//! Sets of characters: what a class is to Oniguruma, and whether fancy-regex
//! reads a spelling of it as the same set.
//!
//! Both have the tables of Unicode 16. What they call `\w` differs, and what a class
//! means under `(?i)`, so every spelling is read back before it is used.

use super::property;
use fancy_regex::Expr;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, HirKind};
use std::fmt::Write;

/// Whether letters match in either case where a class stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Ignored,
}

/// Word characters: U+200C and U+200D, which regex-syntax has in `\w`, are none.
pub(super) const WORD: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}";

/// Those that Oniguruma takes for word characters everywhere but in a class, where it
/// looks them up in a table of ISO 8859-1.
pub(super) const WORD_OUTSIDE: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\xB2\xB3\xB9\xBC-\xBE";

/// A set and how it is best written between brackets.
#[derive(Clone, Debug)]
pub(super) struct Chars {
    pub(super) set: ClassUnicode,
    /// Items of a class in the syntax of regex-syntax.
    items: String,
    /// Whether the items are a whole class.
    is_class: bool,
}

impl Chars {
    /// The set that regex-syntax reads as `[items]`.
    pub(super) fn of_items(items: &str) -> Option<Self> {
        Some(Self {
            set: parse(&format!("[{items}]"))?,
            items: items.to_owned(),
            is_class: false,
        })
    }

    pub(super) fn of(character: char) -> Self {
        Self::range(character, character)
    }

    pub(super) fn range(first: char, last: char) -> Self {
        let mut items = in_class(first);
        if first != last {
            items = format!("{items}-{}", in_class(last));
        }
        Self {
            set: ClassUnicode::new([ClassUnicodeRange::new(first, last)]),
            items,
            is_class: false,
        }
    }

    /// No character.
    pub(super) fn none() -> Self {
        Self {
            set: ClassUnicode::empty(),
            items: property::NOTHING.into(),
            is_class: true,
        }
    }

    /// The same as one item.
    pub(super) fn nested(mut self) -> Self {
        self.items = self.class();
        self.is_class = true;
        self
    }

    /// Between brackets.
    pub(super) fn class(&self) -> String {
        if self.is_class {
            self.items.clone()
        } else {
            format!("[{}]", self.items)
        }
    }

    /// The characters of either.
    pub(super) fn add(&mut self, other: &Self) {
        self.set.union(&other.set);
        self.items += &other.items;
        self.is_class = false;
    }

    /// What is in both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.set.intersect(&other.set);
        self.items = format!("{}&&{}", self.items, other.items);
        self.is_class = false;
        self
    }

    /// Every other character.
    pub(super) fn negated(mut self) -> Self {
        self.set.negate();
        self.items = format!("[^{}]", self.items);
        self.is_class = true;
        self
    }
}

/// The characters of a POSIX bracket, as Oniguruma has them in Unicode.
pub(super) fn posix(name: &str) -> Option<Chars> {
    let items = match name {
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "alpha" => r"\p{Alphabetic}",
        "blank" => r"\p{Zs}\t",
        "cntrl" => r"\p{Cc}",
        "digit" => r"\p{Nd}",
        "graph" => property::GRAPH,
        "lower" => r"\p{Lowercase}",
        "print" => property::PRINT,
        "punct" => r"\p{P}\p{S}",
        "space" => r"\s",
        "upper" => r"\p{Uppercase}",
        "xdigit" => "0-9A-Fa-f",
        "ascii" => r"\x00-\x7F",
        "word" => WORD,
        _ => return None,
    };
    Chars::of_items(items)
}

/// The set that fancy-regex takes `text` for where case is as in `case`; `None` if it is
/// something else than one character.
pub(super) fn read_back(text: &str, case: Case) -> Option<ClassUnicode> {
    let whole = match case {
        Case::Sensitive => text.to_owned(),
        Case::Ignored => format!("(?i:{text})"),
    };
    let tree = Expr::parse_tree(&whole).ok()?;
    if !matches!(
        tree.expr,
        Expr::Delegate { .. } | Expr::Literal { .. } | Expr::Any { .. }
    ) {
        return None;
    }
    let mut delegated = String::new();
    tree.expr.to_str(&mut delegated, 1);
    parse(&delegated)
}

/// A set of characters in the syntax of regex-syntax.
fn parse(pattern: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    match hir.kind() {
        HirKind::Class(regex_syntax::hir::Class::Unicode(set)) => Some(set.clone()),
        HirKind::Class(regex_syntax::hir::Class::Bytes(bytes)) => bytes.to_unicode_class(),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            let mut characters = text.chars();
            let (first, rest) = (characters.next()?, characters.next());
            rest.is_none()
                .then(|| ClassUnicode::new([ClassUnicodeRange::new(first, first)]))
        }
        _ => None,
    }
}

/// How fancy-regex is told `set`: as in the `source`, if it reads that as the same
/// set, else in symbols, else range by range.
pub(super) fn spelling(source: &str, symbols: &str, set: &ClassUnicode, case: Case) -> String {
    for candidate in [source, symbols] {
        if read_back(candidate, case).as_ref() == Some(set) {
            return candidate.to_owned();
        }
    }
    let explicit = match read_back(symbols, Case::Sensitive) {
        Some(read) if read == *set => symbols.to_owned(),
        _ => ranges(set),
    };
    match case {
        Case::Sensitive => explicit,
        Case::Ignored => format!("(?-i:{explicit})"),
    }
}

/// A class of nothing but ranges.
fn ranges(set: &ClassUnicode) -> String {
    if set.ranges().is_empty() {
        return r"[^\x{0}-\x{10FFFF}]".into();
    }
    let mut class = String::from("[");
    for range in set.ranges() {
        class += &in_class(range.start());
        if range.start() != range.end() {
            class.push('-');
            class += &in_class(range.end());
        }
    }
    class.push(']');
    class
}

/// One character between brackets.
fn in_class(character: char) -> String {
    escaped(character, r"\[]^-&~")
}

/// One character outside of brackets.
pub(super) fn literal(character: char) -> String {
    escaped(character, r"\.+*?()|[]{}^$")
}

fn escaped(character: char, special: &str) -> String {
    let mut text = String::new();
    if special.contains(character) {
        text.push('\\');
        text.push(character);
    } else if character.is_control() || character.is_whitespace() && character != ' ' {
        // A String takes whatever is written to it.
        let _ = write!(text, "\\x{{{:X}}}", u32::from(character));
    } else {
        text.push(character);
    }
    text
}
