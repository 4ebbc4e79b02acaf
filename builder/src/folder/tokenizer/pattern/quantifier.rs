//! Quantifiers as Oniguruma reads them: `{2}+` repeats a repetition, `{3,1}` never
//! backtracks, `{,}` is text.

use super::Unsupported;
use super::cursor::Cursor;
use super::node::{GroupKind, Node};
use super::parse::Parser;

/// More repetitions than Oniguruma takes.
const REPETITIONS_MAX: u32 = 100_000;

/// How often something is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantifier<'p> {
    pub(super) source: &'p str,
    pub(super) min: u32,
    /// `None` for any number.
    pub(super) max: Option<u32>,
    /// Whether it is written with the larger number first.
    swapped: bool,
    /// Whether it prefers more and gives back.
    is_greedy: bool,
}

impl Quantifier<'_> {
    /// `body`, repeated.
    pub(super) fn of(self, body: Node) -> Node {
        let suffix = match (self.swapped, self.max) {
            (true, Some(max)) => format!("{{{},{max}}}", self.min),
            _ => self.source.to_owned(),
        };
        let repeat = Node::Repeat {
            body: Box::new(body),
            min: self.min,
            max: self.max,
            is_greedy: self.is_greedy,
            suffix,
        };
        if !self.swapped {
            return repeat;
        }
        Node::Group {
            kind: GroupKind::Atomic,
            open: "(?>".into(),
            body: Box::new(repeat),
        }
    }
}

impl<'p> Parser<'p> {
    /// A quantifier, if one comes next.
    pub(super) fn quantifier(&mut self) -> Result<Option<Quantifier<'p>>, Unsupported> {
        let start = self.cursor.at();
        let (min, max) = match self.cursor.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.interval(start),
            _ => return Ok(None),
        };
        self.cursor.next();
        let is_greedy = !self.cursor.eat("?") && !self.cursor.eat("+");
        Ok(Some(Quantifier {
            source: self.cursor.since(start),
            min,
            max,
            swapped: false,
            is_greedy,
        }))
    }

    /// `{min,max}`; anything else is text.
    fn interval(&mut self, start: usize) -> Result<Option<Quantifier<'p>>, Unsupported> {
        let mut cursor = self.cursor;
        cursor.next();
        let low = number(&mut cursor, start)?;
        let has_comma = cursor.eat(",");
        let high = if has_comma {
            number(&mut cursor, start)?
        } else {
            low
        };
        if low.is_none() && high.is_none() || !cursor.eat("}") {
            return Ok(None);
        }
        let (min, max) = (low.unwrap_or(0), high);
        let swapped = max.is_some_and(|max| max < min);
        // `{n}?` is `{n}`, or nothing; only of a range `?` prefers less.
        let is_lazy = has_comma && !swapped && cursor.eat("?");
        self.cursor = cursor;
        Ok(Some(Quantifier {
            source: self.cursor.since(start),
            min: if swapped { max.unwrap_or(0) } else { min },
            max: if swapped { Some(min) } else { max },
            swapped,
            is_greedy: !is_lazy,
        }))
    }
}

fn number(cursor: &mut Cursor<'_>, start: usize) -> Result<Option<u32>, Unsupported> {
    let digits = cursor.digits(10, usize::MAX);
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(number) if number <= REPETITIONS_MAX => Ok(Some(number)),
        _ => {
            let text = cursor.since(start);
            Err(Unsupported::unread(start, text, "too many repetitions"))
        }
    }
}
