//! What the items of a request have in common: its options, and what is computed once
//! for all of them.
//!
//! **Invariant:** a sequence that a head shares is computed by whichever thread needs it
//! first, and by no other: those wait for it.

use crate::error::Error;
use crate::heads::Part;
use crate::options::Options;
use crate::tokenizer::Tokens;
use std::sync::{Arc, OnceLock};

/// Options, and whatever of the request is the same for each of its items.
///
/// Whoever has many items with the same options makes one of these for all of them, so
/// that late interaction runs the query once.
#[derive(Default)]
pub struct SharedOptions {
    options: Options,
    /// Of the sequence that the items share; `None` where they share none.
    pub(crate) computed: OnceLock<Result<Option<Arc<Computed>>, Error>>,
}

impl SharedOptions {
    /// The options alone.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl From<Options> for SharedOptions {
    fn from(options: Options) -> Self {
        Self {
            options,
            computed: OnceLock::new(),
        }
    }
}

impl std::fmt::Debug for SharedOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(formatter)
    }
}

/// A sequence, and what is kept of the graph's output for it.
pub(crate) struct Computed {
    pub(crate) sequence: Tokens,
    pub(crate) part: Part,
}
