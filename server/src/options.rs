//! Whether gRPC and MCP offer what the runtime's table of options says.

use crate::mcp;
use encoderfile::{OPTIONS, Surface};
use std::collections::BTreeSet;

/// What a surface has of the table, beside what the table says it has.
fn compare(surface: Surface, names: &BTreeSet<String>) {
    for row in OPTIONS {
        let is_there = names.contains(row.name);
        match row.absence(surface) {
            None => assert!(is_there, "{surface:?} lacks `{}`", row.name),
            Some(why) => assert!(!is_there, "{surface:?} has `{}`: {why}", row.name),
        }
    }
}

#[test]
fn grpc_has_every_option_or_a_reason() {
    let schema = include_str!("../../proto/services/options.proto");
    let (_, message) = schema.split_once("message Options {").unwrap();
    let (fields, _) = message.split_once("\n}").unwrap();
    let fields = fields.lines().filter(|line| !line.trim().starts_with("//"));
    let names = fields.filter_map(|line| line.split_once(" = ")?.0.split(' ').next_back());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    compare(Surface::Grpc, &names);
    // And nothing that the table does not know.
    for name in &names {
        assert!(OPTIONS.iter().any(|row| row.name == name), "{name}");
    }
}

#[test]
fn mcp_has_every_option_or_a_reason() {
    compare(Surface::Mcp, &mcp::argument_names());
}
