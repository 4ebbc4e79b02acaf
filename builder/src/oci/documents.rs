//! The JSON documents of an image: what the OCI image specification wants, and the list by which
//! older engines than containerd (`docker load`) find the same blobs.

use super::layer::Descriptor;
use super::{PAYLOAD, PROGRAM, Platform};
use encoderfile::manifest::{Manifest, Model};
use serde_json::{Map, Value, json};
use std::fmt;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// `nonroot` of other images, as a number: a name does not satisfy Kubernetes' `runAsNonRoot`, and
/// the image has no file of names.
const USER: &str = "65532:65532";

/// When it was made: never, so that the same model gives the same bytes.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A nanosecond is the unit of durations in a health check.
const SECOND: u64 = 1_000_000_000;

/// What an image is called: `minilm:0.1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    repository: String,
    tag: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// The image's name of a model: the last part of its own, in lower case, and its version as the tag.
/// Characters that no name can have become hyphens.
pub fn name(manifest: &Manifest) -> Name {
    /// The longest tag.
    const TAG_LEN_MAX: usize = 128;

    let last = manifest.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let words = last.split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_of_tag = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let tag = manifest.version.chars();
    let tag = tag.map(|it| if is_of_tag(it) { it } else { '-' });
    let tag: String = tag.take(TAG_LEN_MAX).collect();
    let tag = tag.trim_start_matches(['.', '-']);
    Name {
        repository: match words.is_empty() {
            true => PROGRAM.into(),
            false => words.join("-").to_ascii_lowercase(),
        },
        tag: match tag.is_empty() {
            true => "latest".into(),
            false => tag.into(),
        },
    }
}

/// All documents of an image, as they are written.
pub(super) struct Documents {
    layout: Vec<u8>,
    index: Vec<u8>,
    /// What `docker load` reads.
    docker: Vec<u8>,
    manifest: Vec<u8>,
    config: Vec<u8>,
}

impl Documents {
    /// Of a model on a platform, in these layers.
    pub(super) fn new(platform: Platform, model: &Manifest, layers: &[Descriptor]) -> Self {
        let labels = labels(model);
        let config = written(&config(platform, &labels, layers));
        let of_config = Descriptor::of(&config);
        let manifest = written(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, &of_config),
            "layers": layers.iter().map(|it| described(LAYER, it)).collect::<Vec<_>>(),
            "annotations": labels,
        }));
        let name = name(model);
        Self {
            layout: written(&json!({"imageLayoutVersion": "1.0.0"})),
            index: written(&index(platform, &name, &Descriptor::of(&manifest))),
            docker: written(&json!([{
                "Config": of_config.path(),
                "RepoTags": [name.to_string()],
                "Layers": layers.iter().map(Descriptor::path).collect::<Vec<_>>(),
            }])),
            manifest,
            config,
        }
    }

    /// Those with names of their own.
    pub(super) fn named(&self) -> [(&'static str, &[u8]); 3] {
        [
            ("oci-layout", &self.layout),
            ("index.json", &self.index),
            ("manifest.json", &self.docker),
        ]
    }

    /// Those that are called by their hash.
    pub(super) fn blobs(&self) -> [&[u8]; 2] {
        [&self.manifest, &self.config]
    }
}

fn written(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

fn described(media_type: &str, blob: &Descriptor) -> Value {
    json!({"mediaType": media_type, "digest": blob.digest(), "size": blob.length})
}

fn index(platform: Platform, name: &Name, manifest: &Descriptor) -> Value {
    let mut manifest = described(MANIFEST, manifest);
    manifest["platform"] = json!({"architecture": platform.architecture(), "os": "linux"});
    manifest["annotations"] = json!({
        // containerd and Podman take the first, which is the whole of a short name.
        "io.containerd.image.name": format!("docker.io/library/{name}"),
        "org.opencontainers.image.ref.name": name.tag,
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]})
}

fn config(platform: Platform, labels: &Map<String, Value>, layers: &[Descriptor]) -> Value {
    let program = format!("/{PROGRAM}");
    let history = [PROGRAM, PAYLOAD];
    let history = history.map(|file| json!({"created": CREATED, "created_by": format!("/{file}")}));
    json!({
        "created": CREATED,
        "architecture": platform.architecture(),
        "os": "linux",
        "config": {
            "User": USER,
            "ExposedPorts": {"50051/tcp": {}, "8080/tcp": {}},
            // Inside a container the loopback address reaches nobody. Variables and not arguments,
            // so that a flag can still say otherwise, and `health` reads them too.
            "Env": ["HTTP_HOSTNAME=0.0.0.0", "GRPC_HOSTNAME=0.0.0.0"],
            "Entrypoint": [program, "--payload", format!("/{PAYLOAD}")],
            "Cmd": ["serve"],
            "WorkingDir": "/",
            "Labels": labels,
            "StopSignal": "SIGTERM",
            // Docker's, which the specification leaves to others. A model is loaded before
            // anything is answered; a large one takes seconds.
            "Healthcheck": {
                "Test": ["CMD", program, "health"],
                "Interval": 30 * SECOND,
                "Timeout": 10 * SECOND,
                "StartPeriod": 120 * SECOND,
                "StartInterval": SECOND,
                "Retries": 3,
            },
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(Descriptor::digest).collect::<Vec<_>>(),
        },
        "history": history,
    })
}

/// What the model's file knows of itself, by the specification's keys; a key without a value is
/// left out.
pub(super) fn labels(manifest: &Manifest) -> Map<String, Value> {
    let model = manifest.model.as_ref();
    let provenance = model.map(|it| &it.provenance);
    let commit = provenance.and_then(|it| it.source.as_ref());
    let labels = [
        ("title", Some(manifest.name.clone())),
        ("version", Some(manifest.version.clone())),
        ("description", model.map(description)),
        ("licenses", provenance.map(|it| it.license.clone())),
        (
            "source",
            commit.map(|it| format!("https://huggingface.co/{}", it.repository)),
        ),
        ("revision", commit.map(|it| it.commit.clone())),
    ];
    let labels = labels.into_iter();
    let labels = labels.filter_map(|(key, value)| Some((key, value.filter(|it| !it.is_empty())?)));
    labels
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.into()))
        .collect()
}

/// `sentence_embedding, up to 256 tokens, weights int8; built by encoderfile 0.1.0`
fn description(model: &Model) -> String {
    format!(
        "{}, up to {} tokens, weights {}; built by {}",
        model.task.name(),
        model.pipeline.max_tokens,
        model.weights.encoding,
        model.provenance.builder
    )
}
