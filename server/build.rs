//! Generates the gRPC services from `proto/services`.

use prost::Message;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

const FILES: [&str; 7] = [
    "embedding.proto",
    "fill_mask.proto",
    "sentence_embedding.proto",
    "sequence_classification.proto",
    "sparse_embedding.proto",
    "tei.proto",
    "token_classification.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("../proto/services");
    println!("cargo:rerun-if-changed={}", folder.display());
    let files = protox::compile(FILES, [folder])?;
    // For clients that ask the server what it has.
    let descriptors = Path::new(&env::var("OUT_DIR")?).join("services.binpb");
    fs::write(descriptors, files.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        // The same answer is the same bytes.
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
