//! Escapes that are one character or a set of them, in a class and outside of one.

use super::Unsupported;
use super::chars::{Chars, WORD, WORD_OUTSIDE};
use super::cursor::Cursor;
use super::property::{self, Place};

/// What an escape stands for.
#[derive(Clone, Debug)]
pub(super) enum Escape {
    Character(char),
    Set(Chars),
}

/// Reads an escape; `cursor` is behind its backslash, which is at `start`.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    start: usize,
    place: Place,
) -> Result<Escape, Unsupported> {
    let ends = || Unsupported::unread(start, r"\", "a backslash at the end");
    let letter = cursor.next().ok_or_else(ends)?;
    if let Some(chars) = shorthand(letter, place) {
        return Ok(Escape::Set(chars));
    }
    let character = match letter {
        'p' | 'P' if cursor.eat("{") => {
            return property(cursor, start, letter == 'P', place).map(Escape::Set);
        }
        'x' if cursor.rest().starts_with('{') => braced(cursor, start, 'x', 16, 8)?,
        'o' if cursor.rest().starts_with('{') => braced(cursor, start, 'o', 8, 11)?,
        // At the end of a pattern these are letters.
        'x' | 'u' if cursor.rest().is_empty() => letter,
        'x' => {
            let byte = byte(cursor.digits(16, 2), 16, cursor, start)?;
            utf8(cursor, start, byte)?
        }
        'u' => {
            let digits = cursor.digits(16, 4);
            if digits.len() < 4 {
                return Err(unread(cursor, start, "not a code point of four digits"));
            }
            code_point(digits, 16, cursor, start)?
        }
        '0'..='7' => {
            let mut digits = String::from(letter);
            // `\0` outside of a class has two digits more, like everything else.
            digits += cursor.digits(8, 2);
            let byte = byte(&digits, 8, cursor, start)?;
            utf8(cursor, start, byte)?
        }
        'c' => control(cursor, start)?,
        'C' if cursor.eat("-") => control(cursor, start)?,
        'C' | 'M' => return Err(unread(cursor, start, "a control or meta character")),
        letter => unescaped(letter),
    };
    Ok(Escape::Character(character))
}

/// `\w` and its like.
fn shorthand(letter: char, place: Place) -> Option<Chars> {
    let items = match letter.to_ascii_lowercase() {
        'w' if place == Place::InClass => WORD,
        'w' => WORD_OUTSIDE,
        'd' => r"\d",
        's' => r"\s",
        'h' => "0-9A-Fa-f",
        _ => return None,
    };
    let chars = Chars::of_items(items)?;
    Some(if letter.is_ascii_uppercase() {
        chars.negated()
    } else {
        chars
    })
}

/// `{name}` or `{^name}`, behind its brace.
fn property(
    cursor: &mut Cursor<'_>,
    start: usize,
    negative: bool,
    place: Place,
) -> Result<Chars, Unsupported> {
    let negative = cursor.eat("^") != negative;
    let name_at = cursor.at();
    while cursor.peek().is_some_and(|next| !"(){}|".contains(next)) {
        cursor.next();
    }
    let name = cursor.since(name_at);
    if !cursor.eat("}") {
        return Err(unread(cursor, start, "a property without its `}`"));
    }
    let Some(chars) = property::find(name, place) else {
        return Err(unread(cursor, start, "no such property"));
    };
    Ok(if negative { chars.negated() } else { chars })
}

/// `{digits}` behind `\x` or `\o`; the `letter`, if there are none.
fn braced(
    cursor: &mut Cursor<'_>,
    start: usize,
    letter: char,
    radix: u32,
    max: usize,
) -> Result<char, Unsupported> {
    let mut inside = *cursor;
    inside.next();
    let digits = inside.digits(radix, max);
    if digits.is_empty() {
        return Ok(letter);
    }
    *cursor = inside;
    if !cursor.eat("}") {
        let several = cursor.rest().starts_with([' ', '\n', '-']);
        return Err(if several {
            Unsupported::untranslated(
                start,
                cursor.since(start),
                "write each character for itself",
            )
        } else {
            unread(cursor, start, "not a code point")
        });
    }
    code_point(digits, radix, cursor, start)
}

fn code_point(
    digits: &str,
    radix: u32,
    cursor: &Cursor<'_>,
    start: usize,
) -> Result<char, Unsupported> {
    let code = u32::from_str_radix(digits, radix).ok();
    code.and_then(char::from_u32)
        .ok_or_else(|| unread(cursor, start, "not a code point of a character"))
}

/// A byte by its digits; none are zero.
fn byte(digits: &str, radix: u32, cursor: &Cursor<'_>, start: usize) -> Result<u8, Unsupported> {
    if digits.is_empty() {
        return Ok(0);
    }
    u8::from_str_radix(digits, radix).map_err(|_| unread(cursor, start, "more than a byte"))
}

/// The character whose first byte is `first`. `\xE2\x80\x99` is the three bytes of ’.
fn utf8(cursor: &mut Cursor<'_>, start: usize, first: u8) -> Result<char, Unsupported> {
    let len = match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
        _ => 1,
    };
    let mut bytes = vec![first];
    while bytes.len() < len {
        let next = next_byte(cursor, start)?;
        bytes.push(next);
    }
    let character = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.chars().next());
    character.ok_or_else(|| unread(cursor, start, "not the bytes of a character in UTF-8"))
}

fn next_byte(cursor: &mut Cursor<'_>, start: usize) -> Result<u8, Unsupported> {
    if cursor.eat(r"\x") && !cursor.rest().starts_with('{') {
        byte(cursor.digits(16, 2), 16, cursor, start)
    } else if cursor.eat(r"\") && cursor.peek().is_some_and(|next| next.is_digit(8)) {
        byte(cursor.digits(8, 3), 8, cursor, start)
    } else {
        Err(unread(
            cursor,
            start,
            "not all bytes of a character in UTF-8",
        ))
    }
}

/// `\cX` and `\C-X`, behind everything but the X.
fn control(cursor: &mut Cursor<'_>, start: usize) -> Result<char, Unsupported> {
    match cursor.next() {
        Some('?') => Ok('\x7F'),
        Some(letter) if letter.is_ascii() && letter != '\\' => {
            let code = u32::from(letter) & 0x9F;
            char::from_u32(code).ok_or_else(|| unread(cursor, start, "not a control character"))
        }
        _ => Err(unread(cursor, start, "not a control character")),
    }
}

/// The character behind a backslash that is nothing else.
fn unescaped(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'f' => '\x0C',
        'v' => '\x0B',
        'a' => '\x07',
        'b' => '\x08',
        'e' => '\x1B',
        letter => letter,
    }
}

fn unread(cursor: &Cursor<'_>, start: usize, problem: &'static str) -> Unsupported {
    Unsupported::unread(start, cursor.since(start), problem)
}
