//! A progress bar on standard error, for long inputs on a terminal.

/// Fewer texts than this are done before a bar could be read.
const SHOWN_FROM: usize = 100;

#[cfg(not(target_family = "wasm"))]
pub(crate) struct Progress(indicatif::ProgressBar);

#[cfg(not(target_family = "wasm"))]
impl Progress {
    /// A bar for `texts` texts, a count where nobody knows how many there are;
    /// hidden for few, and where nobody looks.
    pub(crate) fn new(texts: Option<usize>) -> Self {
        use indicatif::{ProgressBar, ProgressStyle};
        let (bar, template) = match texts {
            Some(texts) if texts < SHOWN_FROM => return Self(ProgressBar::hidden()),
            Some(texts) => (
                ProgressBar::new(texts as u64),
                "{bar:40} {pos}/{len} texts, {per_sec}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{pos} texts, {per_sec}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn advance(&self) {
        self.0.inc(1);
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn note(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// WASI has no way to ask for a terminal's width; a plain count must do.
#[cfg(target_family = "wasm")]
pub(crate) struct Progress {
    texts: Option<usize>,
    done: std::cell::Cell<usize>,
}

#[cfg(target_family = "wasm")]
impl Progress {
    pub(crate) fn new(texts: Option<usize>) -> Self {
        Self {
            texts,
            done: std::cell::Cell::new(0),
        }
    }

    pub(crate) fn advance(&self) {
        self.done.set(self.done.get() + 1);
        if self.is_shown() {
            match self.texts {
                Some(texts) => eprint!("\r{}/{texts} texts", self.done.get()),
                None => eprint!("\r{} texts", self.done.get()),
            }
        }
    }

    pub(crate) fn note(&self, line: &str) {
        eprintln!("{line}");
    }

    pub(crate) fn finish(&self) {
        if self.is_shown() {
            eprint!("\r\x1b[K");
        }
    }

    fn is_shown(&self) -> bool {
        use std::io::IsTerminal;
        self.texts.is_none_or(|texts| texts >= SHOWN_FROM) && std::io::stderr().is_terminal()
    }
}
