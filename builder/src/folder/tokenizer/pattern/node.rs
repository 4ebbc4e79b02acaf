//! A pattern as Oniguruma reads it, and its text for fancy-regex.
//!
//! What both read alike keeps its text, so a pattern that needs no translation is
//! printed as it was written.

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// One character of a set.
    One {
        /// For fancy-regex; can be repeated as it is.
        text: String,
        /// If the set is a character as it was written, which matches in either case
        /// where case is ignored.
        literal: Option<char>,
    },
    /// One character: `.` and its like.
    Any {
        text: &'static str,
        newline: Newline,
    },
    /// Several characters, or a choice of them, that can be repeated as it is.
    Unit(Unit),
    /// A condition on a place in the text.
    Zero(Zero),
    /// `\K`, and where it is written.
    Keep(usize),
    /// `\G`, and where it is written.
    SearchStart(usize),
    /// What a group matched before.
    Backreference(String),
    /// Something between parentheses.
    Group {
        kind: GroupKind,
        /// The opening parenthesis and what follows it, for fancy-regex.
        open: String,
        body: Box<Node>,
    },
    /// Something repeated.
    Repeat {
        body: Box<Node>,
        min: u32,
        /// `None` for any number.
        max: Option<u32>,
        /// Whether it prefers more and gives back.
        is_greedy: bool,
        /// For fancy-regex.
        suffix: String,
    },
    /// One after the other.
    Sequence(Vec<Node>),
    /// One or the other, the first that fits first.
    Alternatives(Vec<Node>),
}

/// Whether `.` is a newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newline {
    Included,
    Excluded,
}

/// What needs several characters, or may.
#[derive(Clone, Debug)]
pub(super) enum Unit {
    /// A choice of characters and strings, in the syntax of both.
    Choice(String),
    /// `\R`.
    Newline,
    /// `\X`, for fancy-regex.
    Cluster(String),
}

/// Conditions on a place in the text.
#[derive(Clone, Debug)]
pub(super) enum Zero {
    /// `^`: the beginning of the text, or after a newline that is not its end.
    LineStart,
    /// `$`: before a newline, or the end of the text.
    LineEnd,
    /// `\A`.
    TextStart,
    /// `\z`.
    TextEnd,
    /// `\Z`: `\z`, or before a newline that is the end of the text.
    LastLineEnd,
    /// `\b` and its like, for fancy-regex.
    Boundary(String),
}

/// What parentheses mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupKind {
    /// `(?:…)`
    Plain,
    /// `(…)`
    Capture,
    /// `(?i:…)`
    Options,
    /// An option at the beginning of a pattern, for all of it.
    WholeOptions,
    /// `(?>…)`
    Atomic,
    /// `(?=…)`
    Ahead,
    /// `(?!…)`
    NotAhead,
    /// `(?<=…)`
    Behind,
    /// `(?<!…)`
    NotBehind,
}

impl GroupKind {
    /// Whether it is a condition on a place.
    pub(super) fn is_look(self) -> bool {
        self.is_behind() || matches!(self, Self::Ahead | Self::NotAhead)
    }

    /// Whether it is a condition on what is before a place.
    pub(super) fn is_behind(self) -> bool {
        matches!(self, Self::Behind | Self::NotBehind)
    }
}

impl Node {
    /// A sequence, or its only part.
    pub(super) fn sequence(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            parts.remove(0)
        } else {
            Self::Sequence(parts)
        }
    }

    /// The fewest characters it matches.
    pub(super) fn min_len(&self) -> u32 {
        match self {
            Self::One { .. } | Self::Any { .. } | Self::Unit(_) => 1,
            Self::Zero(_) | Self::Keep(_) | Self::SearchStart(_) | Self::Backreference(_) => 0,
            Self::Group { kind, .. } if kind.is_look() => 0,
            Self::Group { body, .. } => body.min_len(),
            Self::Repeat { body, min, .. } => body.min_len().saturating_mul(*min),
            Self::Sequence(parts) => {
                let lens = parts.iter().map(Self::min_len);
                lens.fold(0, u32::saturating_add)
            }
            Self::Alternatives(branches) => branches.iter().map(Self::min_len).min().unwrap_or(0),
        }
    }

    /// The most characters it matches; `None` if there is no limit.
    pub(super) fn max_len(&self) -> Option<u32> {
        match self {
            Self::One { .. } | Self::Any { .. } => Some(1),
            Self::Unit(Unit::Newline) => Some(2),
            // Of no more than three letters.
            Self::Unit(Unit::Choice(_)) => Some(3),
            Self::Unit(Unit::Cluster(_)) | Self::Backreference(_) => None,
            Self::Zero(_) | Self::Keep(_) | Self::SearchStart(_) => Some(0),
            Self::Group { kind, .. } if kind.is_look() => Some(0),
            Self::Group { body, .. } => body.max_len(),
            Self::Repeat { body, max, .. } => match (body.max_len(), max) {
                (Some(0), _) => Some(0),
                (Some(len), Some(max)) => Some(len.saturating_mul(*max)),
                _ => None,
            },
            Self::Sequence(parts) => parts
                .iter()
                .map(Self::max_len)
                .try_fold(0, |sum: u32, len| Some(sum.saturating_add(len?))),
            Self::Alternatives(branches) => {
                let mut lens = branches.iter().map(Self::max_len);
                lens.try_fold(0, |most, len| Some(len?.max(most)))
            }
        }
    }

    /// Whether fancy-regex has to backtrack for it.
    pub(super) fn is_hard(&self) -> bool {
        match self {
            Self::One { .. } | Self::Any { .. } | Self::Unit(Unit::Choice(_)) => false,
            Self::Zero(Zero::LineEnd | Zero::TextStart | Zero::TextEnd) => false,
            Self::Zero(_)
            | Self::Unit(_)
            | Self::Keep(_)
            | Self::SearchStart(_)
            | Self::Backreference(_) => true,
            Self::Group { kind, body, .. } => {
                kind.is_look() || *kind == GroupKind::Atomic || body.is_hard()
            }
            Self::Repeat {
                body, max, suffix, ..
            } => {
                let is_possessive = suffix.len() == 2 && suffix.ends_with('+');
                is_possessive || body.is_hard() || max.is_none() && body.min_len() == 0
            }
            Self::Sequence(parts) | Self::Alternatives(parts) => parts.iter().any(Self::is_hard),
        }
    }

    /// Whether Oniguruma lets it be repeated.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Zero(_) | Self::Keep(_) | Self::SearchStart(_) => false,
            Self::Group { kind, body, .. } => match kind {
                GroupKind::Plain => body.is_repeatable(),
                kind => !kind.is_look(),
            },
            Self::Alternatives(branches) => branches.iter().all(Self::is_repeatable),
            _ => true,
        }
    }

    /// Whether it matches nothing, anywhere.
    fn is_empty(&self) -> bool {
        match self {
            Self::Group { kind, body, .. } => {
                !kind.is_look() && *kind != GroupKind::Capture && body.is_empty()
            }
            Self::Repeat { body, .. } => body.is_empty(),
            Self::Sequence(parts) | Self::Alternatives(parts) => parts.iter().all(Self::is_empty),
            _ => false,
        }
    }

    /// Where the first part is that `is_it`, in any depth.
    pub(super) fn find(&self, is_it: fn(&Self) -> Option<usize>) -> Option<usize> {
        is_it(self).or_else(|| match self {
            Self::Group { body, .. } | Self::Repeat { body, .. } => body.find(is_it),
            Self::Sequence(parts) | Self::Alternatives(parts) => {
                parts.iter().find_map(|part| part.find(is_it))
            }
            _ => None,
        })
    }

    /// For fancy-regex.
    pub(super) fn to_pattern(&self) -> String {
        let mut text = String::new();
        self.print(&mut text);
        text
    }

    fn print(&self, out: &mut String) {
        match self {
            Self::One { text, .. }
            | Self::Unit(Unit::Choice(text) | Unit::Cluster(text))
            | Self::Zero(Zero::Boundary(text))
            | Self::Backreference(text) => *out += text,
            Self::Any { text, .. } => *out += text,
            Self::Unit(Unit::Newline) => *out += r"(?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}])",
            Self::Zero(Zero::LineStart) => *out += r"(?:\A|(?<=\n)(?!\z))",
            Self::Zero(Zero::LineEnd) => *out += "(?m:$)",
            Self::Zero(Zero::TextStart) => *out += r"\A",
            Self::Zero(Zero::TextEnd) => *out += r"\z",
            Self::Zero(Zero::LastLineEnd) => *out += r"(?=\n?\z)",
            Self::Keep(_) => *out += r"\K",
            Self::SearchStart(_) => *out += r"\G",
            Self::Group { kind, open, body } => {
                *out += open;
                body.print(out);
                if *kind != GroupKind::WholeOptions {
                    out.push(')');
                }
            }
            Self::Repeat {
                body, max, suffix, ..
            } => print_repeat(body, *max, suffix, out),
            Self::Sequence(parts) => print_sequence(parts, out),
            Self::Alternatives(branches) => {
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        out.push('|');
                    }
                    branch.print(out);
                }
            }
        }
    }
}

fn print_sequence(parts: &[Node], out: &mut String) {
    for (index, part) in parts.iter().enumerate() {
        let mut rest = parts[index + 1..].iter();
        match part {
            // Where characters follow, the place is not the end of the text, and
            // this needs no backtracking.
            Node::Zero(Zero::LineStart) if rest.any(|part| part.min_len() > 0) => {
                *out += "(?m:^)";
            }
            part => part.print(out),
        }
    }
}

/// A repetition that may be empty begins with `(?=)`: it makes fancy-regex backtrack,
/// as Oniguruma does, instead of simulating an automaton, which does not try empty
/// repetitions in the same order. It also lets conditions be repeated.
fn print_repeat(body: &Node, max: Option<u32>, suffix: &str, out: &mut String) {
    if body.is_empty() {
        return;
    }
    let text = body.to_pattern();
    let is_loop = max.is_none() && body.min_len() == 0;
    let is_condition = body.max_len() == Some(0);
    if is_loop || is_condition {
        *out += &format!("(?:(?=){text}){suffix}");
    } else if matches!(body, Node::Repeat { .. }) {
        *out += &format!("(?:{text}){suffix}");
    } else {
        *out += &text;
        *out += suffix;
    }
}
