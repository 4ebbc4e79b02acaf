//! JSON schemas of the files that people write, made of the types that they are read into.

use crate::config_file::Document;
use crate::models_file::ModelsFile;
use encoderfile::manifest::{Compute, Task, TruncationSide, TruncationStrategy};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use std::borrow::Cow;

/// Of `models.yaml`.
pub fn of_models() -> Schema {
    of::<ModelsFile>()
}

/// Of `encoderfile.yml`.
pub fn of_encoderfile() -> Schema {
    of::<Document>()
}

/// Draft 7 is what editors' YAML servers know best.
fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// What the type of a model's entry does not say: `target` is `targets` too, and the model is in
/// one place.
pub(crate) fn of_entry(schema: &mut Schema) {
    if let Some(properties) = schema.get_mut("properties")
        && let Some(targets) = properties.get("targets").cloned()
    {
        properties["target"] = targets;
    }
    schema.insert(
        "oneOf".into(),
        json!([{ "required": ["hf_name"] }, { "required": ["path"] }]),
    );
}

/// Types that stand for the names of a choice in a schema.
macro_rules! names {
    ($($name:ident of $choice:ty,)+) => {$(
        #[doc = concat!("The names of [`", stringify!($choice), "`].")]
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let names: Vec<&str> = <$choice>::ALL.iter().map(|it| it.name()).collect();
                json_schema!({ "type": "string", "enum": names })
            }
        }
    )+};
}

names! {
    TaskName of Task,
    ComputeName of Compute,
    TruncationSideName of TruncationSide,
    TruncationStrategyName of TruncationStrategy,
}

/// What names an encoding of weights.
pub(crate) enum WeightsName {}

impl JsonSchema for WeightsName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WeightsName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(f32|f16|bf16|(int8|int4)(:(32|64|128))?)$" })
    }
}
