//! Where case is ignored, Oniguruma takes some characters for several: ß for ss, ﬁ for
//! fi. fancy-regex does not, so these are written out.
//!
//! The table is Unicode's (CaseFolding.txt, status F), as Oniguruma 6.9.10 has it.

use super::node::{GroupKind, Node, Unit};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// Several letters, and the characters that are the same in another case.
const FOLDS: [(&str, &str); 73] = [
    ("a\u{2BE}", "\u{1E9A}"),
    ("ff", "\u{FB00}"),
    ("fi", "\u{FB01}"),
    ("fl", "\u{FB02}"),
    ("h\u{331}", "\u{1E96}"),
    ("j\u{30C}", "\u{1F0}"),
    ("ss", "\u{DF}\u{1E9E}"),
    ("st", "\u{FB05}\u{FB06}"),
    ("t\u{308}", "\u{1E97}"),
    ("w\u{30A}", "\u{1E98}"),
    ("y\u{30A}", "\u{1E99}"),
    ("\u{2BC}n", "\u{149}"),
    ("\u{3AC}\u{3B9}", "\u{1FB4}"),
    ("\u{3AE}\u{3B9}", "\u{1FC4}"),
    ("\u{3B1}\u{342}", "\u{1FB6}"),
    ("\u{3B1}\u{3B9}", "\u{1FB3}\u{1FBC}"),
    ("\u{3B7}\u{342}", "\u{1FC6}"),
    ("\u{3B7}\u{3B9}", "\u{1FC3}\u{1FCC}"),
    ("\u{3B9}\u{342}", "\u{1FD6}"),
    ("\u{3C1}\u{313}", "\u{1FE4}"),
    ("\u{3C5}\u{313}", "\u{1F50}"),
    ("\u{3C5}\u{342}", "\u{1FE6}"),
    ("\u{3C9}\u{342}", "\u{1FF6}"),
    ("\u{3C9}\u{3B9}", "\u{1FF3}\u{1FFC}"),
    ("\u{3CE}\u{3B9}", "\u{1FF4}"),
    ("\u{565}\u{582}", "\u{587}"),
    ("\u{574}\u{565}", "\u{FB14}"),
    ("\u{574}\u{56B}", "\u{FB15}"),
    ("\u{574}\u{56D}", "\u{FB17}"),
    ("\u{574}\u{576}", "\u{FB13}"),
    ("\u{57E}\u{576}", "\u{FB16}"),
    ("\u{1F00}\u{3B9}", "\u{1F80}\u{1F88}"),
    ("\u{1F01}\u{3B9}", "\u{1F81}\u{1F89}"),
    ("\u{1F02}\u{3B9}", "\u{1F82}\u{1F8A}"),
    ("\u{1F03}\u{3B9}", "\u{1F83}\u{1F8B}"),
    ("\u{1F04}\u{3B9}", "\u{1F84}\u{1F8C}"),
    ("\u{1F05}\u{3B9}", "\u{1F85}\u{1F8D}"),
    ("\u{1F06}\u{3B9}", "\u{1F86}\u{1F8E}"),
    ("\u{1F07}\u{3B9}", "\u{1F87}\u{1F8F}"),
    ("\u{1F20}\u{3B9}", "\u{1F90}\u{1F98}"),
    ("\u{1F21}\u{3B9}", "\u{1F91}\u{1F99}"),
    ("\u{1F22}\u{3B9}", "\u{1F92}\u{1F9A}"),
    ("\u{1F23}\u{3B9}", "\u{1F93}\u{1F9B}"),
    ("\u{1F24}\u{3B9}", "\u{1F94}\u{1F9C}"),
    ("\u{1F25}\u{3B9}", "\u{1F95}\u{1F9D}"),
    ("\u{1F26}\u{3B9}", "\u{1F96}\u{1F9E}"),
    ("\u{1F27}\u{3B9}", "\u{1F97}\u{1F9F}"),
    ("\u{1F60}\u{3B9}", "\u{1FA0}\u{1FA8}"),
    ("\u{1F61}\u{3B9}", "\u{1FA1}\u{1FA9}"),
    ("\u{1F62}\u{3B9}", "\u{1FA2}\u{1FAA}"),
    ("\u{1F63}\u{3B9}", "\u{1FA3}\u{1FAB}"),
    ("\u{1F64}\u{3B9}", "\u{1FA4}\u{1FAC}"),
    ("\u{1F65}\u{3B9}", "\u{1FA5}\u{1FAD}"),
    ("\u{1F66}\u{3B9}", "\u{1FA6}\u{1FAE}"),
    ("\u{1F67}\u{3B9}", "\u{1FA7}\u{1FAF}"),
    ("\u{1F70}\u{3B9}", "\u{1FB2}"),
    ("\u{1F74}\u{3B9}", "\u{1FC2}"),
    ("\u{1F7C}\u{3B9}", "\u{1FF2}"),
    ("i\u{307}", "\u{130}"),
    ("ffi", "\u{FB03}"),
    ("ffl", "\u{FB04}"),
    ("\u{3B1}\u{342}\u{3B9}", "\u{1FB7}"),
    ("\u{3B7}\u{342}\u{3B9}", "\u{1FC7}"),
    ("\u{3B9}\u{308}\u{300}", "\u{1FD2}"),
    ("\u{3B9}\u{308}\u{301}", "\u{390}\u{1FD3}"),
    ("\u{3B9}\u{308}\u{342}", "\u{1FD7}"),
    ("\u{3C5}\u{308}\u{300}", "\u{1FE2}"),
    ("\u{3C5}\u{308}\u{301}", "\u{3B0}\u{1FE3}"),
    ("\u{3C5}\u{308}\u{342}", "\u{1FE7}"),
    ("\u{3C5}\u{313}\u{300}", "\u{1F52}"),
    ("\u{3C5}\u{313}\u{301}", "\u{1F54}"),
    ("\u{3C5}\u{313}\u{342}", "\u{1F56}"),
    ("\u{3C9}\u{342}\u{3B9}", "\u{1FF7}"),
];

/// What `class`, whose case is ignored, matches beside its characters.
pub(super) fn beside_class(class: &ClassUnicode) -> Vec<&'static str> {
    let in_class = |character| {
        let mut one = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        one.intersect(class);
        !one.ranges().is_empty()
    };
    let folds = FOLDS.iter().filter(|(_, same)| same.chars().any(in_class));
    folds.map(|(letters, _)| *letters).collect()
}

/// The parts of a sequence whose case is ignored, with what they match beside their
/// characters; `None` if that is nothing.
pub(super) fn write_out(parts: &[Node]) -> Option<Vec<Node>> {
    let parts = without_plain_groups(parts);
    let mut written = Vec::new();
    let mut rest = parts.as_slice();
    let mut changed = false;
    while let Some(first) = rest.first() {
        let (node, len) = match at_start(rest) {
            Some((choices, len)) => {
                changed = true;
                (
                    Node::Unit(Unit::Choice(format!("(?:{})", choices.join("|")))),
                    len,
                )
            }
            None => (first.clone(), 1),
        };
        written.push(node);
        rest = &rest[len..];
    }
    changed.then_some(written)
}

/// Oniguruma joins the characters of `s(?:s)`.
fn without_plain_groups(parts: &[Node]) -> Vec<Node> {
    let mut flat = Vec::new();
    for part in parts {
        match part {
            Node::Group {
                kind: GroupKind::Plain,
                body,
                ..
            } if !matches!(**body, Node::Alternatives(_)) => match &**body {
                Node::Sequence(inner) => flat.extend(without_plain_groups(inner)),
                one => flat.extend(without_plain_groups(std::slice::from_ref(one))),
            },
            part => flat.push(part.clone()),
        }
    }
    flat
}

/// What the first characters of `parts` can be, and how many these are. The longest
/// first, as Oniguruma does.
fn at_start(parts: &[Node]) -> Option<(Vec<String>, usize)> {
    let literals: Vec<char> = parts.iter().map_while(literal).take(3).collect();
    for len in [3, 2] {
        let Some(letters) = literals.get(..len) else {
            continue;
        };
        let is_same = |folded: &&(&str, &str)| {
            folded.0.chars().count() == len
                && folded
                    .0
                    .chars()
                    .zip(letters)
                    .all(|(a, b)| is_case_of(a, *b))
        };
        if let Some((letters, same)) = FOLDS.iter().find(is_same) {
            return Some((choices(letters, same), len));
        }
    }
    let first = *literals.first()?;
    let (letters, same) = FOLDS.iter().find(|(_, same)| same.contains(first))?;
    Some((choices(letters, same), 1))
}

fn choices(letters: &str, same: &str) -> Vec<String> {
    let characters = same.chars().map(String::from);
    std::iter::once(letters.to_owned())
        .chain(characters)
        .collect()
}

fn literal(node: &Node) -> Option<char> {
    match node {
        Node::One { literal, .. } => *literal,
        _ => None,
    }
}

/// Whether two characters differ in nothing but case.
fn is_case_of(a: char, b: char) -> bool {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(a, a)]);
    class.case_fold_simple();
    let mut ranges = class.ranges().iter();
    ranges.any(|range| (range.start()..=range.end()).contains(&b))
}
