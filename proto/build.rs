//! Compiles the schemas with protox, so that no `protoc` need be installed.

const SCHEMAS: [&str; 2] = ["manifest.proto", "onnx.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    let descriptors = protox::compile(SCHEMAS, ["."])?;
    prost_build::Config::new()
        // Weights are shared with the file they were read from, not copied.
        .bytes([".onnx.TensorProto.raw_data"])
        .compile_fds(descriptors)?;
    Ok(())
}
