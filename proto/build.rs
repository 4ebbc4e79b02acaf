//! Compiles the schemas with protox, so that no `protoc` need be installed.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const SCHEMAS: [&str; 3] = ["manifest.proto", "onnx.proto", "sentencepiece.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    let descriptors = protox::compile(SCHEMAS, ["."])?;
    let tables = Path::new(&env::var("OUT_DIR")?).join("entries.rs");
    fs::write(tables, entry_tables(&descriptors))?;
    prost_build::Config::new()
        // Weights are shared with the file they were read from, not copied.
        .bytes([".onnx.TensorProto.raw_data"])
        .compile_fds(descriptors)?;
    Ok(())
}

/// For each message which of its fields hold entries of their own: see
/// `src/entries.rs`.
fn entry_tables(descriptors: &FileDescriptorSet) -> String {
    let mut tables = String::new();
    for file in &descriptors.file {
        for message in &file.message_type {
            let name = format!(".{}.{}", file.package(), message.name());
            entry_table(&name, message, &mut tables);
        }
    }
    tables
}

fn entry_table(name: &str, message: &DescriptorProto, tables: &mut String) {
    let table = table_name(name);
    let fields = message.field.iter().filter_map(|field| {
        let content = content(field)?;
        Some(format!("({}, Content::{content}), ", field.number()))
    });
    let fields: String = fields.collect();
    // A string takes any write.
    let _ = writeln!(tables, "static {table}: Schema = Schema(&[{fields}]);");
    for nested in &message.nested_type {
        entry_table(&format!("{name}.{}", nested.name()), nested, tables);
    }
}

/// What a field holds whose entries are to be counted too.
fn content(field: &FieldDescriptorProto) -> Option<String> {
    let packed = field.label() == Label::Repeated;
    match field.r#type() {
        Type::Message => Some(format!("Message(&{})", table_name(field.type_name()))),
        Type::String | Type::Bytes | Type::Group => None,
        // In memory they are as large as in the message.
        Type::Float | Type::Fixed32 | Type::Sfixed32 => None,
        Type::Double | Type::Fixed64 | Type::Sfixed64 => None,
        _ => packed.then(|| "Varints".into()),
    }
}

fn table_name(message: &str) -> String {
    message
        .trim_start_matches('.')
        .replace('.', "_")
        .to_uppercase()
}
