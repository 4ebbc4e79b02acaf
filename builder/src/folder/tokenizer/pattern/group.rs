//! Parentheses, and what refers to them.

use super::Unsupported;
use super::chars::Case;
use super::node::{GroupKind, Newline, Node};
use super::parse::{Options, Parser};

/// Groups that capture, and what refers to them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// How many began.
    count: u32,
    /// Those that ended outside of look-ahead and look-behind.
    ended: Vec<u32>,
    names: Vec<(String, u32)>,
    /// Where one is referred to by its number.
    numbered: Vec<usize>,
}

impl Groups {
    /// References by number to groups beside named ones, which capture nothing.
    pub(super) fn check(&self) -> Result<(), Unsupported> {
        match self.numbered.first() {
            Some(at) if !self.names.is_empty() => {
                let problem = "a reference by number beside groups with names";
                Err(Unsupported::unread(*at, r"\", problem))
            }
            _ => Ok(()),
        }
    }
}

/// What `(?imx-imx` sets, and what of it fancy-regex is told.
struct OptionLetters {
    options: Options,
    open: String,
}

impl Parser<'_> {
    /// A group, behind its parenthesis, which is at `start`.
    pub(super) fn group(&mut self, start: usize) -> Result<Node, Unsupported> {
        if self.cursor.eat("*") {
            return Err(self.untranslated(start, "a callout has no translation; leave it away"));
        }
        if !self.cursor.eat("?") {
            return self.capture(start);
        }
        for (open, kind) in [
            (":", GroupKind::Plain),
            (">", GroupKind::Atomic),
            ("=", GroupKind::Ahead),
            ("!", GroupKind::NotAhead),
            ("<=", GroupKind::Behind),
            ("<!", GroupKind::NotBehind),
        ] {
            if self.cursor.eat(open) {
                return self.around(start, kind);
            }
        }
        match self.cursor.next() {
            Some('<') => self.named(start, '>'),
            Some('\'') => self.named(start, '\''),
            Some('~') => Err(self.untranslated(
                start,
                "an absent operator has no translation; write a look-ahead",
            )),
            Some('(') => Err(self.untranslated(
                start,
                "a condition has no translation; write both cases out",
            )),
            Some('{') => {
                Err(self.untranslated(start, "a callout has no translation; leave it away"))
            }
            _ => self.with_options(start),
        }
    }

    fn untranslated(&self, start: usize, instead: &'static str) -> Unsupported {
        Unsupported::untranslated(start, self.cursor.since(start), instead)
    }

    /// A group that captures nothing, behind what opens it.
    fn around(&mut self, start: usize, kind: GroupKind) -> Result<Node, Unsupported> {
        let open = self.cursor.since(start).to_owned();
        let ended = self.groups.ended.len();
        self.lookbehinds += usize::from(kind.is_behind());
        let body = self.body(start)?;
        self.lookbehinds -= usize::from(kind.is_behind());
        if kind.is_look() {
            self.groups.ended.truncate(ended);
        }
        if kind.is_behind() && !is_searchable_backwards(&body) {
            return Err(Unsupported::untranslated(
                start,
                open,
                "a look-behind of no fixed length has no translation with conditions, `\\X` or possessive repetitions in it; write one for each length",
            ));
        }
        Ok(Node::Group { kind, open, body })
    }

    fn capture(&mut self, start: usize) -> Result<Node, Unsupported> {
        self.groups.count += 1;
        let number = self.groups.count;
        let open = self.cursor.since(start).to_owned();
        let body = self.body(start)?;
        self.groups.ended.push(number);
        Ok(Node::Group {
            kind: GroupKind::Capture,
            open,
            body,
        })
    }

    fn named(&mut self, start: usize, end: char) -> Result<Node, Unsupported> {
        let name = self.name(start, end)?;
        let number = self.groups.count + 1;
        self.groups.names.push((name, number));
        self.capture(start)
    }

    /// A name up to its `end`, which is read too.
    fn name(&mut self, start: usize, end: char) -> Result<String, Unsupported> {
        let at = self.cursor.at();
        while self
            .cursor
            .peek()
            .is_some_and(|next| next != end && next != ')')
        {
            self.cursor.next();
        }
        let name = self.cursor.since(at).to_owned();
        let is_name = name
            .chars()
            .all(|character| character.is_alphanumeric() || character == '_')
            && !name.is_empty();
        if !is_name || !self.cursor.eat(end.encode_utf8(&mut [0; 4])) {
            let text = self.cursor.since(start);
            return Err(Unsupported::unread(start, text, "not the name of a group"));
        }
        Ok(name)
    }

    fn body(&mut self, start: usize) -> Result<Box<Node>, Unsupported> {
        let body = self.alternatives()?;
        if !self.cursor.eat(")") {
            return Err(Unsupported::unread(start, "(", "a group without its `)`"));
        }
        Ok(Box::new(body))
    }

    /// `(?i:…)`, behind the question mark and its first letter.
    fn with_options(&mut self, start: usize) -> Result<Node, Unsupported> {
        let letters = self.option_letters(start)?;
        // isolated_options has taken those that end here.
        if !self.cursor.eat(":") {
            let text = self.cursor.since(start);
            return Err(Unsupported::unread(start, text, "no such group"));
        }
        let outside = self.options;
        self.options = letters.options;
        let body = self.body(start)?;
        self.options = outside;
        Ok(Node::Group {
            kind: GroupKind::Options,
            open: format!("(?{}:", letters.open),
            body,
        })
    }

    /// `(?i)` and the rest of the group, of which it is an option.
    pub(super) fn isolated_options(&mut self) -> Result<Option<Node>, Unsupported> {
        let start = self.cursor.at();
        let letters = self.cursor.rest().strip_prefix("(?");
        let is_isolated = letters.is_some_and(|letters| {
            letters
                .trim_start_matches(|letter: char| letter.is_ascii_alphabetic() || letter == '-')
                .starts_with(')')
        });
        if !is_isolated {
            return Ok(None);
        }
        self.cursor.eat("(?");
        self.cursor.next();
        let letters = self.option_letters(start)?;
        self.cursor.eat(")");
        let outside = self.options;
        self.options = letters.options;
        let body = Box::new(self.alternatives()?);
        self.options = outside;
        let is_whole = start == 0 && self.cursor.rest().is_empty() && letters.open == "i";
        let (kind, end) = if is_whole {
            (GroupKind::WholeOptions, ")")
        } else {
            (GroupKind::Options, ":")
        };
        Ok(Some(Node::Group {
            kind,
            open: format!("(?{}{end}", letters.open),
            body,
        }))
    }

    /// The letters of options, the first of which is read.
    fn option_letters(&mut self, start: usize) -> Result<OptionLetters, Unsupported> {
        let mut options = self.options;
        let (mut on, mut off) = (String::new(), String::new());
        let mut negative = false;
        let mut letters = self.cursor;
        let mut letter = self.cursor.since(start).chars().last();
        loop {
            let list = if negative { &mut off } else { &mut on };
            match letter {
                Some('-') => negative = true,
                Some('i') => {
                    options.case = if negative {
                        Case::Sensitive
                    } else {
                        Case::Ignored
                    };
                    list.push('i');
                }
                Some('m') => {
                    options.newline = if negative {
                        Newline::Excluded
                    } else {
                        Newline::Included
                    };
                    list.push('s');
                }
                Some('x') => options.extended = !negative,
                Some('W' | 'D' | 'S' | 'P' | 'y' | 'C' | 'I' | 'L') => {
                    return Err(
                        self.untranslated(start, "this option has no translation; write a class")
                    );
                }
                _ => {
                    let text = letters.since(start);
                    return Err(Unsupported::unread(start, text, "no such group"));
                }
            }
            self.cursor = letters;
            if matches!(letters.peek(), Some(':' | ')')) {
                break;
            }
            letter = letters.next();
        }
        // The last of two contrary ones counts.
        on.retain(|letter| !off.contains(letter));
        if !off.is_empty() {
            on = format!("{on}-{off}");
        }
        Ok(OptionLetters { options, open: on })
    }

    /// `\1` and `\k<name>`; `None` if it is something else.
    pub(super) fn reference(&mut self, start: usize) -> Result<Option<Node>, Unsupported> {
        let number = match self.cursor.peek() {
            Some('1'..='9') => match self.number_of_reference() {
                Some(number) => number,
                None => return Ok(None),
            },
            Some('k') if self.cursor.rest().starts_with("k<") => {
                self.named_reference(start, '>')?
            }
            Some('k') if self.cursor.rest().starts_with("k'") => {
                self.named_reference(start, '\'')?
            }
            Some('g')
                if self.cursor.rest().starts_with("g<") || self.cursor.rest().starts_with("g'") =>
            {
                self.cursor.next();
                self.cursor.next();
                return Err(self.untranslated(
                    start,
                    "a call of a group has no translation; write the group out",
                ));
            }
            _ => return Ok(None),
        };
        if self.options.case == Case::Ignored {
            return Err(self.untranslated(
                start,
                "a reference to a group has no translation where case is ignored; write `(?-i:…)` around it",
            ));
        }
        if !self.groups.ended.contains(&number) {
            return Err(self.untranslated(
                start,
                "a reference has no translation that is inside of its group, before it, or to one in a look-ahead or look-behind; write the group out",
            ));
        }
        Ok(Some(Node::Backreference(format!(r"\k<{number}>"))))
    }

    /// Reads a number, if it is not one of an octal escape.
    fn number_of_reference(&mut self) -> Option<u32> {
        let mut cursor = self.cursor;
        let number = cursor.digits(10, usize::MAX).parse().ok()?;
        if number > 9 && number > self.groups.count {
            return None;
        }
        self.groups.numbered.push(self.cursor.at());
        self.cursor = cursor;
        Some(number)
    }

    fn named_reference(&mut self, start: usize, end: char) -> Result<u32, Unsupported> {
        self.cursor.next();
        self.cursor.next();
        let at = self.cursor.at();
        let is_relative = self.cursor.eat("-");
        let name = self.name(start, end)?;
        if let Ok(number) = name.parse::<u32>() {
            self.groups.numbered.push(at);
            let absolute = if is_relative {
                (self.groups.count + 1).saturating_sub(number)
            } else {
                number
            };
            return Ok(absolute);
        }
        let mut numbers = self.groups.names.iter().filter(|named| named.0 == name);
        match (numbers.next(), numbers.next()) {
            (Some((_, number)), None) if !is_relative => Ok(*number),
            (Some(_), Some(_)) => Err(self.untranslated(
                start,
                "two groups of this name have no translation; give them two",
            )),
            _ => Err(Unsupported::unread(
                start,
                self.cursor.since(start),
                "no such group",
            )),
        }
    }
}

/// Whether fancy-regex takes it for a look-behind: each branch of a fixed length, or
/// without anything that it has to backtrack for.
fn is_searchable_backwards(body: &Node) -> bool {
    match body {
        Node::Alternatives(branches) => branches.iter().all(is_searchable_backwards),
        Node::Group {
            kind: GroupKind::Plain,
            body,
            ..
        } => is_searchable_backwards(body),
        other => other.max_len() == Some(other.min_len()) || !other.is_hard(),
    }
}
