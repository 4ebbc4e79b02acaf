//! Reads a pattern as Oniguruma 6.9.10 does with its own syntax, which is what the
//! `tokenizers` package has (`ONIG_SYNTAX_ONIGURUMA`, no options, UTF-8).

use super::Unsupported;
use super::chars::{self, Case};
use super::check;
use super::class::{self, Class};
use super::cursor::Cursor;
use super::escape::{self, Escape};
use super::fold;
use super::group::Groups;
use super::node::{Newline, Node, Unit, Zero};
use super::property::Place;
use super::segment;

/// Groups in groups, more than which fancy-regex does not take, and repetitions of
/// repetitions, more than which nobody writes.
const DEPTH_MAX: usize = 60;

/// What `(?imx)` sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) case: Case,
    /// Whether `.` is a newline too.
    pub(super) newline: Newline,
    /// Whether blanks and `#` comments mean nothing.
    pub(super) extended: bool,
}

/// Reads one pattern.
pub(super) struct Parser<'p> {
    pub(super) cursor: Cursor<'p>,
    pub(super) options: Options,
    pub(super) groups: Groups,
    /// Look-behinds around the cursor.
    pub(super) lookbehinds: usize,
    depth: usize,
}

/// The whole of a pattern.
pub(super) fn parse(pattern: &str) -> Result<Node, Unsupported> {
    let mut parser = Parser {
        cursor: Cursor::new(pattern),
        options: Options {
            case: Case::Sensitive,
            newline: Newline::Excluded,
            extended: false,
        },
        groups: Groups::default(),
        lookbehinds: 0,
        depth: 0,
    };
    let node = parser.alternatives()?;
    if parser.cursor.peek().is_some() {
        let at = parser.cursor.at();
        return Err(Unsupported::unread(at, ")", "it closes no group"));
    }
    parser.groups.check()?;
    check::whole(&node)?;
    Ok(node)
}

impl<'p> Parser<'p> {
    /// Branches up to the end of a group or of the pattern.
    pub(super) fn alternatives(&mut self) -> Result<Node, Unsupported> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let at = self.cursor.at();
            return Err(Unsupported::untranslated(
                at,
                "(",
                "write fewer groups in groups",
            ));
        }
        let options = self.options;
        let mut branches = vec![self.branch()?];
        while self.cursor.eat("|") {
            branches.push(self.branch()?);
        }
        self.options = options;
        self.depth -= 1;
        Ok(if branches.len() == 1 {
            branches.remove(0)
        } else {
            Node::Alternatives(branches)
        })
    }

    fn branch(&mut self) -> Result<Node, Unsupported> {
        let mut parts = Vec::new();
        loop {
            self.skip_blanks()?;
            if matches!(self.cursor.peek(), None | Some('|' | ')')) {
                break;
            }
            // An option for the rest of the group takes the branches after it, too.
            if let Some(rest) = self.isolated_options()? {
                parts.push(rest);
                break;
            }
            let part = self.atom()?;
            let part = self.repeated(part)?;
            parts.push(part);
        }
        Ok(self.written_out(parts))
    }

    /// A sequence, with the characters that are several in another case.
    fn written_out(&self, parts: Vec<Node>) -> Node {
        // In a look-behind Oniguruma takes every character for one.
        let is_folded = self.options.case == Case::Ignored && self.lookbehinds == 0;
        let written = is_folded.then(|| fold::write_out(&parts)).flatten();
        Node::sequence(written.unwrap_or(parts))
    }

    /// Comments, and in extended patterns blanks, before a token.
    fn skip_blanks(&mut self) -> Result<(), Unsupported> {
        loop {
            let at = self.cursor.at();
            if self.cursor.eat("(?#") {
                self.comment(at)?;
            } else if self.options.extended
                && self
                    .cursor
                    .peek()
                    .is_some_and(|next| " \t\n\r\x0C".contains(next))
            {
                self.cursor.next();
            } else if self.options.extended && self.cursor.eat("#") {
                while self.cursor.next().is_some_and(|next| next != '\n') {}
            } else {
                return Ok(());
            }
        }
    }

    fn comment(&mut self, start: usize) -> Result<(), Unsupported> {
        loop {
            match self.cursor.next() {
                Some(')') => return Ok(()),
                Some('\\') => {
                    self.cursor.next();
                }
                Some(_) => {}
                None => {
                    return Err(Unsupported::unread(
                        start,
                        "(?#",
                        "a comment without its `)`",
                    ));
                }
            }
        }
    }

    fn atom(&mut self) -> Result<Node, Unsupported> {
        let start = self.cursor.at();
        if let Some(quantifier) = self.quantifier()? {
            let text = quantifier.source;
            return Err(Unsupported::unread(
                start,
                text,
                "nothing to repeat before it",
            ));
        }
        match self.cursor.next() {
            Some('(') => self.group(start),
            Some('[') => self.class(start),
            Some('\\') => self.escape(start),
            Some('.') => Ok(any(".", self.options.newline)),
            Some('^') => Ok(Node::Zero(Zero::LineStart)),
            Some('$') => Ok(Node::Zero(Zero::LineEnd)),
            Some(character) => Ok(self.literal(start, character)),
            None => Ok(Node::Sequence(Vec::new())),
        }
    }

    /// One character, written as it is or as an escape.
    fn literal(&self, start: usize, character: char) -> Node {
        let source = self.cursor.since(start);
        // fancy-regex takes `{,}` for a repetition, and a comment in one for a blank.
        let is_brace = source == "{"
            && (self.cursor.rest().starts_with([',', '('])
                || self
                    .cursor
                    .rest()
                    .starts_with(|next: char| next.is_ascii_digit()));
        let set = chars::Chars::of(character).set;
        let is_same = !is_brace && chars::read_back(source, Case::Sensitive) == Some(set);
        Node::One {
            text: if is_same {
                source.to_owned()
            } else {
                chars::literal(character)
            },
            literal: Some(character),
        }
    }

    fn class(&mut self, start: usize) -> Result<Node, Unsupported> {
        let Class { chars, negative } = class::read(&mut self.cursor)?;
        let mut set = chars.set.clone();
        let mut beside = Vec::new();
        if self.options.case == Case::Ignored {
            set.case_fold_simple();
            if !negative {
                beside = fold::beside_class(&set);
            }
        }
        let symbols = if negative {
            set.negate();
            chars.negated().class()
        } else {
            chars.class()
        };
        let source = self.cursor.since(start);
        let text = chars::spelling(source, &symbols, &set, self.options.case);
        Ok(if beside.is_empty() {
            Node::One {
                text,
                literal: None,
            }
        } else {
            Node::Unit(Unit::Choice(format!("(?:{text}|{})", beside.join("|"))))
        })
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self, start: usize) -> Result<Node, Unsupported> {
        let mut after = self.cursor;
        let letter = after.next();
        let node = match letter {
            Some('A') => Node::Zero(Zero::TextStart),
            Some('z') => Node::Zero(Zero::TextEnd),
            Some('Z') => Node::Zero(Zero::LastLineEnd),
            Some('b') => self.boundary(word_boundary("!", "=")),
            Some('B') => self.boundary(word_boundary("=", "!")),
            Some('y') => self.boundary(segment::boundary()),
            Some('Y') => self.boundary(segment::inside()),
            Some('X') => Node::Unit(Unit::Cluster(self.of_any_case(segment::cluster()))),
            // There Oniguruma takes `\R` for `\r\n` only.
            Some(letter @ ('G' | 'R')) if self.lookbehinds > 0 => {
                let problem = "no translation in a look-behind; write something else";
                return Err(Unsupported::untranslated(
                    start,
                    format!(r"\{letter}"),
                    problem,
                ));
            }
            Some('R') => Node::Unit(Unit::Newline),
            Some('O') => any(r"\O", Newline::Included),
            Some('N') => any(r"[^\n]", Newline::Excluded),
            Some('K') => Node::Keep(start),
            Some('G') => Node::SearchStart(start),
            _ => return self.reference_or_character(start),
        };
        self.cursor = after;
        Ok(node)
    }

    fn boundary(&self, text: String) -> Node {
        Node::Zero(Zero::Boundary(self.of_any_case(text)))
    }

    /// Sets of characters that keep their case: U+0345 is no ι where a cluster ends.
    fn of_any_case(&self, text: String) -> String {
        match self.options.case {
            Case::Sensitive => text,
            Case::Ignored => format!("(?-i:{text})"),
        }
    }

    fn reference_or_character(&mut self, start: usize) -> Result<Node, Unsupported> {
        if let Some(node) = self.reference(start)? {
            return Ok(node);
        }
        Ok(
            match escape::read(&mut self.cursor, start, Place::Outside)? {
                Escape::Character(character) => self.literal(start, character),
                // Properties keep their case where the case of letters is ignored.
                Escape::Set(chars) => Node::One {
                    text: chars::spelling(
                        self.cursor.since(start),
                        &chars.class(),
                        &chars.set,
                        self.options.case,
                    ),
                    literal: None,
                },
            },
        )
    }

    /// `part` with the repetitions that follow it.
    fn repeated(&mut self, part: Node) -> Result<Node, Unsupported> {
        let mut part = part;
        let mut last = "";
        for _ in 0..DEPTH_MAX {
            self.skip_blanks()?;
            let start = self.cursor.at();
            let Some(quantifier) = self.quantifier()? else {
                return Ok(part);
            };
            if !part.is_repeatable() {
                let problem = "what is before it has no length";
                return Err(Unsupported::unread(start, quantifier.source, problem));
            }
            last = quantifier.source;
            // Oniguruma forgets `{1}`, and joins the characters around it.
            let is_once = quantifier.min == 1 && quantifier.max == Some(1);
            if !is_once || self.options.case == Case::Sensitive {
                part = quantifier.of(self.written_out(vec![part]));
            }
        }
        let at = self.cursor.at();
        let instead = "write fewer repetitions of repetitions";
        Err(Unsupported::untranslated(at, last, instead))
    }
}

fn any(text: &'static str, newline: Newline) -> Node {
    Node::Any { text, newline }
}

/// Between two characters of which one is a word's, or both or none are.
fn word_boundary(after_word: &str, after_other: &str) -> String {
    let word = format!("[{}]", chars::WORD_OUTSIDE);
    format!("(?:(?<={word})(?{after_word}{word})|(?<!{word})(?{after_other}{word}))")
}
