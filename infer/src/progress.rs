//! A progress bar on standard error, for long inputs on a terminal.

/// Fewer texts than this are done before a bar could be read.
const SHOWN_FROM: usize = 100;

/// How much is left of a file is guessed again after so many texts.
const GUESSED_EACH: u64 = 64;

#[cfg(not(target_family = "wasm"))]
pub(crate) struct Progress {
    bar: indicatif::ProgressBar,
    is_known: bool,
    /// How much had been read of the file when the first text was done.
    start: Option<f64>,
}

#[cfg(not(target_family = "wasm"))]
impl Progress {
    /// A bar for `texts` texts; where nobody knows how many there are, by how much of the file has
    /// been read, or a count. Hidden for few, and where nobody looks. `before` were done by earlier
    /// runs.
    pub(crate) fn new(texts: Option<usize>, before: u64) -> Self {
        use indicatif::ProgressBar;
        let (bar, template) = match texts {
            Some(texts) if texts < SHOWN_FROM => (ProgressBar::hidden(), ""),
            Some(texts) => (
                ProgressBar::new(texts as u64),
                "{bar:40} {pos}/{len} texts, {per_sec}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{pos} texts, {per_sec}"),
        };
        let this = Self {
            bar,
            is_known: texts.is_some(),
            start: None,
        };
        this.set_style(template);
        if before > 0 {
            this.note(&format!("note: going on after {before} rows"));
        }
        this
    }

    fn set_style(&self, template: &str) {
        if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    /// One more is done, of a file of which so much has been read.
    pub(crate) fn advance(&mut self, fraction: Option<f64>) {
        self.bar.inc(1);
        let done = self.bar.position();
        let Some(fraction) = fraction.filter(|_| !self.is_known) else {
            return;
        };
        let start = *self.start.get_or_insert(fraction);
        if done.is_multiple_of(GUESSED_EACH) && fraction > start {
            if self.bar.length().is_none() {
                self.set_style("{bar:40} {pos} of about {len} texts, {per_sec}, {eta} left");
            }
            #[allow(clippy::cast_possible_truncation, reason = "a guess; a cast saturates")]
            let left = (done as f64 / (fraction - start) * (1.0 - fraction)) as u64;
            self.bar.set_length(done.saturating_add(left));
        }
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away and says what there is to say.
    pub(crate) fn finish(&self, lines: &[String]) {
        self.bar.finish_and_clear();
        for line in lines {
            eprintln!("{line}");
        }
    }
}

/// WASI has no way to ask for a terminal's width; a plain count must do.
#[cfg(target_family = "wasm")]
pub(crate) struct Progress {
    texts: Option<usize>,
    done: u64,
}

#[cfg(target_family = "wasm")]
impl Progress {
    pub(crate) fn new(texts: Option<usize>, before: u64) -> Self {
        let this = Self { texts, done: 0 };
        if before > 0 {
            this.note(&format!("note: going on after {before} rows"));
        }
        this
    }

    pub(crate) fn advance(&mut self, fraction: Option<f64>) {
        self.done += 1;
        if self.is_shown() && self.done.is_multiple_of(GUESSED_EACH) {
            match (self.texts, fraction) {
                (Some(texts), _) => eprint!("\r{}/{texts} texts", self.done),
                (None, Some(fraction)) => {
                    eprint!(
                        "\r{} texts, {:.0} % of the input",
                        self.done,
                        fraction * 100.0
                    );
                }
                (None, None) => eprint!("\r{} texts", self.done),
            }
        }
    }

    pub(crate) fn note(&self, line: &str) {
        eprintln!("{line}");
    }

    pub(crate) fn finish(&self, lines: &[String]) {
        if self.is_shown() {
            eprint!("\r\x1b[K");
        }
        for line in lines {
            eprintln!("{line}");
        }
    }

    fn is_shown(&self) -> bool {
        use std::io::IsTerminal;
        self.texts.is_none_or(|texts| texts >= SHOWN_FROM) && std::io::stderr().is_terminal()
    }
}
