//! PyTorch's archives and safetensors files, as a model folder has them.

use bytes::Bytes;
use encoderfile_builder::checkpoint::Checkpoint;
use std::path::Path;

pub(crate) fn run(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    for name in ["pytorch_model.bin", "model.safetensors"] {
        if let Ok(checkpoint) = Checkpoint::of_bytes(Path::new(name), data.clone()) {
            assert!(checkpoint.names().all(|name| name.len() <= data.len()));
        }
    }
}

/// An archive or file of the builder's own tests.
macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../builder/src/checkpoint/data/",
            $name
        ))
        .to_vec()
    };
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(vec![
        data!("dtypes.bin"),
        data!("views.bin"),
        data!("nested.bin"),
        data!("protocol4.bin"),
        data!("zip64.bin"),
        data!("os_system.bin"),
        data!("old.bin"),
        data!("old_views.bin"),
        data!("dtypes.safetensors"),
    ])
}
