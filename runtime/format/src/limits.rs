//! The limits on what a file and a request may say, each with its reason.

/// The manifest holds names, labels and hashes; the largest label sets known
/// (tens of thousands of classes) take under 2 MiB.
pub const MANIFEST_LEN_MAX: u64 = 16 << 20;

/// Fields of the manifest and of everything in it. The largest label sets known
/// have tens of thousands; an entry takes at most about a hundred bytes in memory.
pub const MANIFEST_ENTRIES_MAX: usize = 1 << 17;

/// Base programs: the tool carries one a target.
pub const BASES_MAX: usize = 64;

/// Graphs beside the first: models of several modalities have one for each.
pub const GRAPHS_MAX: usize = 16;

/// Inputs of a graph: encoders of text have up to four.
pub const INPUTS_MAX: usize = 16;

/// Pooling modes that are concatenated: there are six.
pub const POOLING_MODES_MAX: usize = 6;

/// Modules after pooling: published models have up to three.
pub const MODULES_MAX: usize = 64;

/// Rows of a token embedding. Ids are 32-bit signed integers in some graphs.
pub const VOCABULARY_MAX: u32 = i32::MAX as u32;

/// Golden cases with their token ids: the builder stores six texts of at most a
/// few hundred tokens.
pub const GOLDEN_ENTRIES_MAX: usize = 1 << 16;

/// The graph without its tensors, decoded as one protobuf message. Encoders
/// stay below 10 MiB; a copy of the weights does not belong here, and numbers
/// may take eight times as much in memory.
pub const GRAPH_LEN_MAX: u64 = 64 << 20;

/// Everything in the graph: nodes, names, attributes, tensors and their
/// dimensions. The largest encoders (48 layers) have a hundred thousand.
pub const GRAPH_ENTRIES_MAX: usize = 1 << 19;

/// The largest known `tokenizer.json` (a 250,000-word multilingual vocabulary)
/// is 17 MiB.
pub const TOKENIZER_LEN_MAX: u64 = 256 << 20;

/// Golden cases are a few short texts and their results.
pub const GOLDEN_LEN_MAX: u64 = 64 << 20;

/// `config.json` of a model with very many labels.
pub const MODEL_CONFIG_LEN_MAX: u64 = 16 << 20;

/// One text. The whole of it is tokenised before it is truncated, at about ten
/// times its size in memory.
pub const TEXT_LEN_MAX: usize = 16 << 20;

/// A row of a file of texts: a line, or a record of CSV. Two of the longest texts as
/// JSON, every byte of them escaped, fit.
pub const ROW_LEN_MAX: u64 = 256 << 20;

/// Numbers in a row of the graph's output. Those of masked language models have
/// one for each vocabulary entry, 250,000 in the largest.
pub const OUTPUT_WIDTH_MAX: u32 = 1 << 20;

/// One sequence. Attention takes time in the square of it.
pub const TOKENS_MAX: u32 = 1 << 16;

/// wasm32 addresses this many bytes; a payload must leave room for the program.
pub const WASM32_PAYLOAD_LEN_MAX: u64 = (4 << 30) - (64 << 20);
