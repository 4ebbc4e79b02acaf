//! The tokenizer classes of transformers 5: their default special tokens, which keys of
//! tokenizer_config.json they read, and which of tokenizer.json's parts they keep.
//!
//! Most classes take no more of tokenizer.json than its vocabulary and build the rest
//! themselves (`components.rs`); [`Class::Generic`], and classes that inherit how they are
//! built, take the file as it is.

mod choice;
mod names;

use super::settings::NAMED;
pub(super) use choice::{Choice, Said};

/// A tokenizer class of transformers 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Albert,
    Bert,
    BigBird,
    Camembert,
    ConvBert,
    Deberta,
    DebertaV2,
    DistilBert,
    /// The classes of DPR's two encoders.
    Dpr,
    /// The same with `Fast` in their names, which are other classes.
    DprFast,
    /// Written in Python: vocab.txt is all there is of it.
    Esm,
    FNet,
    Gemma,
    /// `TokenizersBackend`, which older versions call `PreTrainedTokenizerFast`.
    Generic,
    Gpt2,
    Llama,
    Mpnet,
    RemBert,
    Roberta,
    T5,
    XlmRoberta,
}

impl Class {
    /// As transformers 5 spells it.
    pub(super) fn name(self) -> &'static str {
        names::of_class(self)
    }

    /// Whether all of tokenizer.json but its post-processor is kept: the generic class does,
    /// and what a class without an `__init__` of its own builds is replaced by the file.
    pub(super) fn keeps_file(self) -> bool {
        matches!(
            self,
            Self::ConvBert | Self::DprFast | Self::FNet | Self::Generic
        )
    }

    /// Whether it reads the vocabulary's own file, and never tokenizer.json.
    pub(super) fn passes_over_file(self) -> bool {
        self == Self::Esm
    }

    /// The class that builds the tokenizer where there is no tokenizer.json to be kept: the
    /// one whose `__init__` it inherits.
    pub(super) fn of_vocabulary(self) -> Self {
        match self {
            Self::ConvBert | Self::DprFast => Self::Bert,
            class => class,
        }
    }

    /// What transformers 4 makes otherwise of the class's own files, where there is no
    /// tokenizer.json.
    pub(super) fn unlike_4_without_file(self) -> Option<&'static str> {
        match self {
            Self::FNet | Self::RemBert => {
                Some("a text gets no [CLS] and no [SEP]; transformers 4 adds both")
            }
            Self::Gemma | Self::Llama => Some(
                "a text gets its first token only by add_bos_token; transformers 4 adds it always",
            ),
            Self::BigBird | Self::DebertaV2 => Some(
                "the character map of the SentencePiece model is not applied; transformers 4 does",
            ),
            Self::Albert | Self::Camembert | Self::T5 | Self::XlmRoberta => Some(
                "spaces beside special tokens and U+2581 are no tokens; in transformers 4 they are",
            ),
            _ => None,
        }
    }

    /// Whether it has a padding token of its own, be it none. The others have that of
    /// tokenizer.json's padding.
    pub(super) fn has_pad_token(self) -> bool {
        !matches!(self, Self::Generic | Self::Llama)
    }

    /// Special tokens that it has where no file names them, by their keys.
    pub(super) fn default_tokens(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        // bos, eos, unk, sep, pad, cls and mask; empty for none.
        let tokens = match self {
            Self::Albert | Self::FNet | Self::RemBert => [
                "[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]",
            ],
            Self::Bert | Self::ConvBert | Self::DistilBert | Self::Dpr | Self::DprFast => {
                ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
            }
            Self::BigBird => ["<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"],
            Self::Camembert | Self::Roberta | Self::XlmRoberta => {
                ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"]
            }
            Self::Deberta | Self::DebertaV2 => [
                "[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]",
            ],
            Self::Esm => ["", "<eos>", "<unk>", "", "<pad>", "<cls>", "<mask>"],
            Self::Gemma => ["<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>"],
            Self::Generic => [""; 7],
            Self::Gpt2 => [
                "<|endoftext|>",
                "<|endoftext|>",
                "<|endoftext|>",
                "",
                "",
                "",
                "",
            ],
            Self::Llama => ["<s>", "</s>", "<unk>", "", "", "", ""],
            Self::Mpnet => ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"],
            Self::T5 => ["", "</s>", "<unk>", "", "<pad>", "", ""],
        };
        NAMED
            .into_iter()
            .zip(tokens)
            .filter(|(_, token)| !token.is_empty())
    }

    /// Whether the class makes segment ids where no file lists `model_input_names`.
    pub(super) fn makes_type_ids(self) -> bool {
        matches!(
            self,
            Self::Bert
                | Self::ConvBert
                | Self::Deberta
                | Self::DebertaV2
                | Self::Dpr
                | Self::DprFast
                | Self::FNet
        )
    }

    /// The same of transformers 4, where 5 no longer does.
    pub(super) fn made_type_ids_before_5(self) -> bool {
        matches!(self, Self::Albert | Self::Generic | Self::RemBert)
    }

    /// Whether transformers 4 reads a key and 5 does not: what is put around a text
    /// is tokenizer.json's to say.
    pub(super) fn drops_since_5(self, key: &str) -> bool {
        matches!(self, Self::Gemma | Self::Llama)
            && ["add_bos_token", "add_eos_token"].contains(&key)
    }

    /// Keys of tokenizer_config.json that change how this class tokenises.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Albert => &["do_lower_case", "keep_accents", "add_prefix_space"],
            Self::RemBert => &["do_lower_case", "keep_accents", "add_prefix_space"],
            Self::Bert | Self::DistilBert | Self::Mpnet => {
                &["do_lower_case", "strip_accents", "tokenize_chinese_chars"]
            }
            Self::BigBird | Self::Camembert | Self::XlmRoberta => &["add_prefix_space"],
            Self::Deberta | Self::Gpt2 => &["add_prefix_space"],
            Self::DebertaV2 => &[
                "do_lower_case",
                "split_by_punct",
                "add_prefix_space",
                "unk_id",
            ],
            Self::ConvBert
            | Self::DprFast
            | Self::Esm
            | Self::FNet
            | Self::Gemma
            | Self::Generic => &[],
            // They take `do_lower_case` and do nothing with it.
            Self::Dpr => &["strip_accents", "tokenize_chinese_chars"],
            Self::Llama => &["add_prefix_space", "legacy"],
            Self::Roberta => &["add_prefix_space", "trim_offsets"],
            Self::T5 => &["extra_ids"],
        }
    }
}
