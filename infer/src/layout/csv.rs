//! Comma-separated values with a header.

use super::{Kind, Layout, Output, Schema};
use csv::{Terminator, WriterBuilder};

/// Records; a part has no header.
pub(crate) struct Records {
    schema: Schema,
}

impl Records {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            schema: schema.clone(),
        }
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        names.extend(self.schema.ids.map(|_| "id"));
        match self.schema.values {
            Kind::Embedding { .. } => names.push("embedding"),
            Kind::Label => names.extend(["label", "score"]),
            Kind::Score => names.push("score"),
            Kind::Other => names.push("result"),
        }
        names.extend(self.schema.precision.has_scale().then_some("scale"));
        names.extend(["tokens_total", "tokens_used"]);
        names
    }

    fn fields(&self, output: &Output<'_>) -> anyhow::Result<Vec<String>> {
        let mut fields = Vec::new();
        fields.extend(output.id.map(ToString::to_string));
        match (self.schema.values, &output.vector) {
            (Kind::Embedding { .. }, Some(vector)) => fields.push(serde_json::to_string(vector)?),
            (Kind::Label, _) => {
                let (label, score) = output.label().unwrap_or_default();
                fields.extend([label.to_owned(), score.to_string()]);
            }
            (Kind::Score, _) => fields.push(output.score().unwrap_or_default().to_string()),
            _ => fields.push(output.json()?),
        }
        let scale = output.vector.as_ref().and_then(|it| it.scale());
        fields.extend(scale.map(|it| it.to_string()));
        let usage = output.prediction.usage;
        let counts = usage.map(|it| [it.tokens_total, it.tokens_used].map(|it| it.to_string()));
        fields.extend(counts.unwrap_or_default());
        Ok(fields)
    }
}

fn add(fields: &[impl AsRef<[u8]>], part: &mut Vec<u8>) -> csv::Result<()> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .from_writer(part);
    writer.write_record(fields)?;
    Ok(writer.flush()?)
}

impl Layout for Records {
    fn write(&mut self, output: &Output<'_>, _: u64, part: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(add(&self.fields(output)?, part)?)
    }

    fn head(&self, _rows: u64) -> Vec<u8> {
        let mut head = Vec::new();
        // Into memory, names without anything to be escaped.
        let _ = add(&self.names(), &mut head);
        head
    }
}
