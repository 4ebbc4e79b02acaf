//! Classes, `[…]`, as Oniguruma reads them: ranges, properties, POSIX brackets,
//! classes in classes and `&&`. `--` and `~~`, which regex-syntax has, are characters.

use super::Unsupported;
use super::chars::{self, Chars};
use super::cursor::Cursor;
use super::escape::{self, Escape};
use super::property::Place;

/// A class: what is between the brackets, and whether it is that or everything else.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) chars: Chars,
    pub(super) negative: bool,
}

/// What comes next in a class.
enum Token {
    Character(char),
    Set(Chars),
    /// A `-` as it is.
    Dash,
    And,
    Open,
    Close,
}

/// What a `-` would refer to.
#[derive(Clone, Copy)]
enum State {
    Start,
    /// A character that may begin a range, or a set, which may not.
    Value(Option<char>),
    /// A character and a `-`.
    Range(char),
    /// The end of a range or of a class.
    Complete,
}

/// Classes in classes, more than which nobody writes by hand.
const DEPTH_MAX: usize = 60;

/// Reads a class up to its bracket; `cursor` is behind the opening one.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Class, Unsupported> {
    read_at(cursor, 0)
}

fn read_at(cursor: &mut Cursor<'_>, depth: usize) -> Result<Class, Unsupported> {
    let start = cursor.at() - 1;
    if depth > DEPTH_MAX {
        let instead = "write fewer classes in classes";
        return Err(Unsupported::untranslated(start, "[", instead));
    }
    let negative = cursor.eat("^");
    let mut reader = Reader {
        start,
        state: State::Start,
        before_and: None,
        union: Union::default(),
    };
    // A bracket that would leave nothing in the class is a character.
    if cursor.rest().starts_with(']') {
        cursor.next();
        if !cursor.rest().contains(']') {
            return Err(Unsupported::unread(start, "[]", "an empty class"));
        }
        reader.character(']')?;
    }
    loop {
        let at = cursor.at();
        match token(cursor, start)? {
            Token::Close => break,
            Token::Character(character) => reader.character(character)?,
            Token::Set(chars) => reader.set(&chars, at)?,
            Token::Dash => reader.dash(cursor, at)?,
            Token::And => reader.and(),
            Token::Open => {
                let inner = read_at(cursor, depth + 1)?;
                reader.class(&inner);
            }
        }
    }
    Ok(Class {
        chars: reader.end(),
        negative,
    })
}

fn token(cursor: &mut Cursor<'_>, start: usize) -> Result<Token, Unsupported> {
    let at = cursor.at();
    let unclosed = || Unsupported::unread(start, "[", "a class without its `]`");
    Ok(match cursor.next().ok_or_else(unclosed)? {
        ']' => Token::Close,
        '-' => Token::Dash,
        '&' if cursor.eat("&") => Token::And,
        '[' => match posix_name(cursor.rest()) {
            Some(name) => {
                cursor.eat(&format!(":{name}:]"));
                Token::Set(posix(name, at)?)
            }
            None => Token::Open,
        },
        '\\' => match escape::read(cursor, at, Place::InClass)? {
            Escape::Character(character) => Token::Character(character),
            Escape::Set(chars) => Token::Set(chars),
        },
        character => Token::Character(character),
    })
}

/// The name in `:name:]`.
fn posix_name(rest: &str) -> Option<&str> {
    let (name, _) = rest.strip_prefix(':')?.split_once(":]")?;
    let letters = name.strip_prefix('^').unwrap_or(name);
    let is_name = !name.is_empty() && letters.chars().all(char::is_alphabetic);
    is_name.then_some(name)
}

fn posix(name: &str, at: usize) -> Result<Chars, Unsupported> {
    let chars = chars::posix(name.strip_prefix('^').unwrap_or(name))
        .ok_or_else(|| Unsupported::unread(at, format!("[:{name}:]"), "no such POSIX bracket"))?;
    Ok(if name.starts_with('^') {
        chars.negated()
    } else {
        chars
    })
}

/// The sets of a class so far, since its beginning or the last `&&`.
#[derive(Default)]
struct Union(Option<Chars>);

impl Union {
    fn add(&mut self, chars: &Chars) {
        match &mut self.0 {
            Some(all) => all.add(chars),
            None => self.0 = Some(chars.clone()),
        }
    }

    fn take(&mut self) -> Chars {
        self.0.take().unwrap_or_else(Chars::none)
    }
}

struct Reader {
    /// Where the class begins.
    start: usize,
    state: State,
    /// What is before the last `&&`.
    before_and: Option<Chars>,
    union: Union,
}

impl Reader {
    fn character(&mut self, character: char) -> Result<(), Unsupported> {
        match self.state {
            State::Range(first) if first > character => {
                let range = format!("{first}-{character}");
                return Err(Unsupported::unread(self.start, range, "an empty range"));
            }
            State::Range(first) => {
                self.union.add(&Chars::range(first, character));
                self.state = State::Complete;
            }
            State::Start | State::Value(_) | State::Complete => {
                self.flush();
                self.state = State::Value(Some(character));
            }
        }
        Ok(())
    }

    fn set(&mut self, chars: &Chars, at: usize) -> Result<(), Unsupported> {
        if matches!(self.state, State::Range(_)) {
            return Err(Unsupported::unread(at, "-", "a range that ends in a set"));
        }
        self.flush();
        self.union.add(chars);
        self.state = State::Value(None);
        Ok(())
    }

    fn dash(&mut self, cursor: &Cursor<'_>, at: usize) -> Result<(), Unsupported> {
        let is_last = cursor.rest().starts_with(']') || cursor.rest().starts_with("&&");
        match self.state {
            State::Value(Some(first)) if !is_last => {
                self.state = State::Range(first);
                Ok(())
            }
            State::Value(None) if !is_last => Err(Unsupported::unread(
                at,
                "-",
                "a range that begins with a set",
            )),
            _ => self.character('-'),
        }
    }

    fn and(&mut self) {
        self.flush();
        self.state = State::Start;
        self.before_and = Some(self.intersection());
    }

    fn class(&mut self, inner: &Class) {
        // A range that ends in a class is lost, as in Oniguruma.
        self.flush();
        let chars = inner.chars.clone();
        self.union.add(&if inner.negative {
            chars.negated()
        } else {
            chars.nested()
        });
        self.state = State::Complete;
    }

    /// A character that begins no range.
    fn flush(&mut self) {
        if let State::Value(Some(character)) = self.state {
            self.union.add(&Chars::of(character));
        }
    }

    fn intersection(&mut self) -> Chars {
        let last = self.union.take();
        match self.before_and.take() {
            Some(before) => before.and(&last),
            None => last,
        }
    }

    fn end(mut self) -> Chars {
        self.flush();
        self.intersection()
    }
}
