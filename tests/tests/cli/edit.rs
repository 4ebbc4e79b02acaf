//! What a case does to files before a command reads them: one line, one change.

use crate::pointer;
use anyhow::{Context, bail, ensure};
use encoderfile::Payload;
use encoderfile_tests::fixture;
use encoderfile_tests::model_folder;
use encoderfile_tests::programs;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// For messages.
pub(crate) const NAMES: &str = "model, build, folder, write, bytes, mkdir, cp, mv, rm, cut, flip, set, unset, rename and value";

/// A change.
pub(crate) enum Edit<'a> {
    /// A fresh copy of a fixture, called `folder`.
    Folder(&'a str),
    Write(&'a str, Vec<u8>),
    Mkdir(&'a str),
    Cp(&'a str, &'a str),
    Mv(&'a str, &'a str),
    Rm(&'a str),
    /// The bytes that stay: `0..100`, `1..`, `..-32`, `..half`.
    Cut(&'a str, &'a str),
    /// The lowest bit in the middle of an artifact of an encoderfile.
    Flip(&'a str, &'a str),
    /// In a JSON or ONNX file.
    Set(&'a str, &'a str, Value),
    Unset(&'a str, &'a str),
    /// Every string that is the first becomes the second.
    Rename(&'a str, &'a str, &'a str),
    /// The last number of a tensor's bytes.
    Value(&'a str, &'a str, f32),
}

impl<'a> Edit<'a> {
    /// `None` for a line that is something else.
    pub(crate) fn parse(line: &'a str) -> anyhow::Result<Option<Self>> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let (second, third) = more.split_once(' ').unwrap_or((more, ""));
        Ok(Some(match name {
            "folder" => Self::Folder(first),
            "write" => Self::Write(first, serde_json::from_str::<String>(more)?.into_bytes()),
            "bytes" => Self::Write(first, hex(more)?),
            "mkdir" => Self::Mkdir(first),
            "cp" => Self::Cp(first, second),
            "mv" => Self::Mv(first, second),
            "rm" => Self::Rm(first),
            "cut" => Self::Cut(first, second),
            "flip" => Self::Flip(first, second),
            "set" => Self::Set(first, second, serde_json::from_str(third)?),
            "unset" => Self::Unset(first, second),
            "rename" => Self::Rename(first, second, third),
            "value" => Self::Value(first, second, third.parse()?),
            _ => return Ok(None),
        }))
    }

    pub(crate) fn apply(self, place: &Path) -> anyhow::Result<()> {
        match self {
            Self::Folder(name) => {
                let folder = place.join("folder");
                if folder.exists() {
                    fs::remove_dir_all(&folder)?;
                }
                model_folder::copy(&fixture::folder(name), &folder)?;
            }
            Self::Write(name, content) => fs::write(place.join(name), content)?,
            Self::Mkdir(name) => fs::create_dir(place.join(name))?,
            Self::Cp(from, to) => {
                fs::copy(place.join(from), place.join(to))?;
            }
            Self::Mv(from, to) => fs::rename(place.join(from), place.join(to))?,
            Self::Rm(name) => fs::remove_file(place.join(name))?,
            Self::Cut(name, range) => {
                let content = fs::read(place.join(name))?;
                fs::write(place.join(name), cut(&content, range).context("a range")?)?;
            }
            Self::Flip(name, artifact) => flip(&place.join(name), artifact)?,
            Self::Set(name, path, value) => edit(&place.join(name), |document| {
                pointer::set(document, path, value)
            })?,
            Self::Unset(name, path) => {
                edit(&place.join(name), |document| pointer::unset(document, path))?;
            }
            Self::Rename(name, from, to) => edit(&place.join(name), |document| {
                ensure!(pointer::rename(document, from, to) > 0, "no {from}");
                Ok(())
            })?,
            Self::Value(name, path, number) => edit(&place.join(name), |document| {
                pointer::set_last_f32(document, path, number)
            })?,
        }
        Ok(())
    }
}

fn hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = text.split(' ').map(|byte| u8::from_str_radix(byte, 16));
    bytes.collect::<Result<_, _>>().context("no bytes")
}

fn cut<'a>(content: &'a [u8], range: &str) -> Option<&'a [u8]> {
    let (start, end) = range.split_once("..")?;
    let length = content.len();
    let start = if start.is_empty() {
        0
    } else {
        start.parse().ok()?
    };
    let end = match end {
        "" => length,
        "half" => length / 2,
        end => match end.strip_prefix('-') {
            Some(end) => length.checked_sub(end.parse().ok()?)?,
            None => end.parse().ok()?,
        },
    };
    content.get(start..end)
}

fn flip(file: &Path, artifact: &str) -> anyhow::Result<()> {
    let mut bytes = fs::read(file)?;
    let payload = Payload::open(Arc::new(bytes.clone()))?;
    let mut artifacts = payload.artifacts();
    let found = artifacts.find(|(kind, ..)| kind.to_string() == artifact);
    let (_, offset, length) = found.with_context(|| format!("no {artifact}"))?;
    bytes[usize::try_from(offset + length / 2)?] ^= 1;
    Ok(fs::write(file, bytes)?)
}

/// Changes a JSON or ONNX file, or a JSON file that was not there.
fn edit(file: &Path, change: impl FnOnce(&mut Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let is_onnx = file.extension().is_some_and(|it| it == "onnx");
    let content = match file.exists() {
        true => fs::read(file)?,
        false if is_onnx => bail!("no {}", file.display()),
        false => b"{}".into(),
    };
    let mut document = match is_onnx {
        true => from_onnx(&content)?,
        false => serde_json::from_slice(&content)?,
    };
    change(&mut document)?;
    let content = match is_onnx {
        true => DynamicMessage::deserialize(onnx()?, document)?.encode_to_vec(),
        false => serde_json::to_vec(&document)?,
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(file, content)?)
}

/// An ONNX file as JSON, by the names of onnx.proto.
fn from_onnx(content: &[u8]) -> anyhow::Result<Value> {
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true);
    let message = DynamicMessage::decode(onnx()?, content)?;
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

fn onnx() -> anyhow::Result<MessageDescriptor> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let schemas = protox::compile(["onnx.proto"], [programs::root().join("proto")]);
        let schemas = schemas.map_err(|error| error.to_string())?;
        DescriptorPool::from_file_descriptor_set(schemas).map_err(|error| error.to_string())
    });
    let pool = pool
        .as_ref()
        .map_err(|error| anyhow::Error::msg(error.as_str()))?;
    pool.get_message_by_name("onnx.ModelProto")
        .context("no ModelProto")
}
