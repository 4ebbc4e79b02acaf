//! What was understood of a folder, for people to check.

use encoderfile::manifest::Finding;

/// In the order in which the folder was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Notes that `source` says `meaning` about `subject`.
    pub(super) fn note(
        &mut self,
        subject: &str,
        meaning: impl Into<String>,
        source: impl Into<String>,
    ) {
        self.0.push(Finding {
            subject: subject.into(),
            meaning: meaning.into(),
            source: source.into(),
        });
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
