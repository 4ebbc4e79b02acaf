//! How much of anything a request may ask for, and what it gets that it does not ask for.

use encoderfile::Options;

/// Limits on requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests at once.
    pub max_concurrent_requests: usize,
    /// Tokens that may wait or be computed, estimated as bytes / 4.
    pub max_queued_tokens: usize,
    /// Texts of a request, and entries in any list among its options.
    pub max_client_batch_size: usize,
    /// Characters of a text, multiplied by how often it is encoded.
    pub max_input_chars: usize,
    /// Bytes of a body.
    pub payload_limit: usize,
    /// Truncate texts of too many tokens, on routes whose requests leave it open.
    pub auto_truncate: bool,
}

impl Limits {
    /// Those that hold unless somebody says otherwise.
    pub const DEFAULT: Self = Self {
        max_concurrent_requests: 512,
        max_queued_tokens: 1 << 20,
        max_client_batch_size: 2048,
        max_input_chars: 1_000_000,
        payload_limit: 8_000_000,
        auto_truncate: true,
    };
}

/// What texts get whose request says nothing.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Prepended.
    pub prompt: Option<String>,
    /// The model's prompt of this name is prepended.
    pub prompt_name: Option<String>,
}

impl Defaults {
    /// Fills in what a request leaves out.
    pub fn apply(&self, mut options: Options) -> Options {
        let says = options.prompt.is_some() || options.prompt_name.is_some();
        if !says && options.role.is_none() {
            options.prompt.clone_from(&self.prompt);
            options.prompt_name.clone_from(&self.prompt_name);
        }
        options
    }
}
