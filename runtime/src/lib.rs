//! One encoder model in one file: open it, and get embeddings, labels and scores.

pub use encoderfile_encoder::{
    Aggregation, Bug, Encoder, Error, FileError, Half, Info, Input, LimitedBy, Long, Options,
    OptionsError, PoolingChoice, PoolingProblem, Prediction, RequestError, Role, Session, Side,
    TaskProblem, TokenUsage, Tokenizer, Tokens, Truncation, Values, Work, detail, golden, json,
    one_line, output, pooling, tokenizer,
};
pub use encoderfile_format::{Payload, Source, container, limits, manifest, source, weights};
pub use encoderfile_graph as graph;
pub use encoderfile_graph::GraphError;
pub use encoderfile_proto as proto;
pub use encoderfile_proto::onnx;
