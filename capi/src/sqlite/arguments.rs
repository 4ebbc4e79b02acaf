//! Values of SQL as texts.

use crate::border::Failure;
use crate::memory::utf8;
use rusqlite::types::ValueRef;

/// An argument of a function.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    pub(super) function: &'static str,
    pub(super) name: &'static str,
    pub(super) value: ValueRef<'a>,
}

impl<'a> Argument<'a> {
    /// Its text; `None` for NULL.
    pub(super) fn text(self) -> Result<Option<&'a str>, Failure> {
        let found = match self.value {
            ValueRef::Null => return Ok(None),
            ValueRef::Text(bytes) => return utf8(self.name, bytes).map(Some),
            ValueRef::Integer(_) => "an integer",
            ValueRef::Real(_) => "a real number",
            ValueRef::Blob(_) => "a blob",
        };
        Err(Failure::SqlType {
            function: self.function,
            argument: self.name,
            found,
            takes: "a text",
        })
    }

    /// Its text, where NULL is none.
    pub(super) fn required(self) -> Result<&'a str, Failure> {
        self.text()?.ok_or(Failure::SqlType {
            function: self.function,
            argument: self.name,
            found: "NULL",
            takes: "a text",
        })
    }
}
