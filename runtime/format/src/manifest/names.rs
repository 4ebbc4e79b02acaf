//! The choices that a manifest makes, each with the name people write it by.

use super::ManifestError;

/// An enum whose variants have a name and a number on the wire.
macro_rules! choices {
    ($(
        $(#[$about:meta])*
        $name:ident as $field:literal {
            $($(#[$variant_about:meta])* $variant:ident = $number:literal $text:literal,)+
        }
    )+) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_about])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that people write it by.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            pub(super) const fn number(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)+
                }
            }

            pub(super) fn of_number(number: i32) -> Result<Self, ManifestError> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(ManifestError::Unknown { field: $field, number }),
                }
            }
        }
    )+};
}

choices! {
    /// What a model computes; upstream's `model_type`.
    Task as "task" {
        /// The vector of each token.
        Embedding = 1 "embedding",
        /// One of the model's labels for a text or pair, or a score.
        SequenceClassification = 2 "sequence_classification",
        /// A label for each token, or spans of them.
        TokenClassification = 3 "token_classification",
        /// One vector for a text.
        SentenceEmbedding = 4 "sentence_embedding",
        /// A weight for each vocabulary entry that matters to a text.
        SparseEmbedding = 5 "sparse_embedding",
        /// The likeliest tokens at a mask.
        FillMask = 6 "fill_mask",
        /// The vector of each token, and how well a text answers a query by them.
        LateInteraction = 7 "late_interaction",
    }

    /// How the vectors of tokens become one.
    Pooling as "pooling" {
        /// The first token's.
        Cls = 1 "cls",
        /// The maximum of each value.
        Max = 2 "max",
        /// The mean.
        Mean = 3 "mean",
        /// The sum over the square root of the number of tokens.
        MeanSqrtLen = 4 "mean_sqrt_len",
        /// The mean with weights 1, 2, 3, … by position.
        WeightedMean = 5 "weighted_mean",
        /// The last token's.
        LastToken = 6 "last_token",
    }

    /// How logits become scores.
    Activation as "activation" {
        /// Over all labels.
        Softmax = 0 "softmax",
        /// Of each logit alone.
        Sigmoid = 1 "sigmoid",
        /// The logits as they are.
        Identity = 2 "identity",
    }

    /// The function after a Dense module.
    DenseFunction as "modules.dense.function" {
        /// None.
        Identity = 0 "identity",
        /// The hyperbolic tangent.
        Tanh = 1 "tanh",
        /// Zero for what is below.
        Relu = 2 "relu",
        /// With the error function.
        Gelu = 3 "gelu",
        /// The logistic function.
        Sigmoid = 4 "sigmoid",
        /// `x · sigmoid(x)`.
        Silu = 5 "silu",
    }

    /// How embeddings are meant to be compared, as sentence-transformers spells
    /// it. Distances are negated, so that more is always more alike.
    Similarity as "similarity" {
        /// The cosine of the angle.
        Cosine = 0 "cosine",
        /// The dot product.
        Dot = 1 "dot",
        /// The L2 distance.
        Euclidean = 2 "euclidean",
        /// The L1 distance.
        Manhattan = 3 "manhattan",
    }

    /// The truncation side: which end of a text of too many tokens is truncated.
    TruncationSide as "truncation_side" {
        /// The end.
        Right = 0 "right",
        /// The beginning.
        Left = 1 "left",
    }

    /// The truncation strategy: which text of a pair of too many tokens is truncated.
    TruncationStrategy as "truncation_strategy" {
        /// Token by token the one that is longer.
        LongestFirst = 0 "longest_first",
        /// The first.
        OnlyFirst = 1 "only_first",
        /// The second.
        OnlySecond = 2 "only_second",
    }

    /// What products with large matrices are computed in.
    Compute as "compute" {
        /// float32.
        F32 = 0 "f32",
        /// int8 with int32 accumulators: a scale for each column of the weights, and
        /// one for each row of activations, found when it is computed.
        Int8 = 1 "int8",
    }

    /// What an input of the graph is given.
    InputRole as "inputs.role" {
        /// The ids of the tokens.
        InputIds = 1 "input_ids",
        /// 1 for each token: nothing is ever padded.
        AttentionMask = 2 "attention_mask",
        /// Which text of a pair a token is in.
        TokenTypeIds = 3 "token_type_ids",
        /// Where a token stands.
        PositionIds = 4 "position_ids",
    }

    /// The type of an input's numbers.
    IntegerType as "inputs.integer_type" {
        /// 64 bits.
        Int64 = 0 "int64",
        /// 32 bits.
        Int32 = 1 "int32",
    }
}

/// What a folder means that says nothing, which is also what a message means
/// that has no such field.
macro_rules! defaults {
    ($($name:ident: $variant:ident),+ $(,)?) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self::$variant
            }
        }
    )+};
}

defaults! {
    Activation: Softmax,
    Compute: F32,
    DenseFunction: Identity,
    IntegerType: Int64,
    Similarity: Cosine,
    TruncationSide: Right,
    TruncationStrategy: LongestFirst,
}
