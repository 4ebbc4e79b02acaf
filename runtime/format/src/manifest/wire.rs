//! Between the messages of manifest.proto and the types of this crate.

use super::names::{
    Activation, Compute, DenseFunction, InputRole, IntegerType, Pooling, Similarity, Task,
    TruncationSide, TruncationStrategy,
};
use super::{
    BuildOption, Dense, Finding, HubCommit, Hybrid, Input, LateInteraction, LayerNorm, Manifest,
    ManifestError, Model, Module, Output, Pipeline, Prompt, Provenance, QueryExpansion, Release,
    ReleasedProgram, Residual, RoleSequence, Splade, StoredTensor,
};
use encoderfile_proto as proto;
use prost::Message;
use proto::module::Step;

impl TryFrom<&proto::Manifest> for Manifest {
    type Error = ManifestError;

    fn try_from(wire: &proto::Manifest) -> Result<Self, ManifestError> {
        let manifest = Self {
            name: wire.name.clone(),
            version: wire.version.clone(),
            model: model(wire)?,
            bases: wire.bases.iter().map(|it| it.target.clone()).collect(),
            graphs: wire.graphs.iter().map(|it| it.name.clone()).collect(),
            release: wire.release.as_ref().map(Release::try_from).transpose()?,
        };
        manifest.check()?;
        Ok(manifest)
    }
}

/// A file of the tool has neither task nor pipeline.
fn model(wire: &proto::Manifest) -> Result<Option<Model>, ManifestError> {
    if wire.task == 0 && wire.pipeline.is_none() {
        return Ok(None);
    }
    let pipeline = wire.pipeline.as_ref();
    let pipeline = pipeline.ok_or(ManifestError::Absent { field: "pipeline" })?;
    Ok(Some(Model {
        task: Task::of_number(wire.task)?,
        pipeline: pipeline.try_into()?,
        provenance: wire.provenance.clone().unwrap_or_default().into(),
        weights: (&wire.stored_weights.unwrap_or_default()).try_into()?,
    }))
}

impl From<&Manifest> for proto::Manifest {
    fn from(manifest: &Manifest) -> Self {
        let model = manifest.model.as_ref();
        let bases = manifest.bases.iter().map(|target| proto::Base {
            target: target.clone(),
            program: None,
        });
        let graphs = manifest.graphs.iter().map(|name| proto::NamedGraph {
            name: name.clone(),
            ..proto::NamedGraph::default()
        });
        Self {
            task: model.map_or(0, |model| model.task.number()),
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            pipeline: model.map(|model| (&model.pipeline).into()),
            provenance: model.map(|model| model.provenance.clone().into()),
            stored_weights: model.map(|model| (&model.weights).into()),
            bases: bases.collect(),
            graphs: graphs.collect(),
            release: manifest.release.as_ref().map(proto::Release::from),
            ..Self::default()
        }
    }
}

impl TryFrom<&proto::Release> for Release {
    type Error = ManifestError;

    fn try_from(wire: &proto::Release) -> Result<Self, ManifestError> {
        let programs = wire.programs.iter().map(|program| {
            let sha256 = <[u8; 32]>::try_from(&*program.sha256);
            Ok(ReleasedProgram {
                target: program.target.clone(),
                length: program.length,
                sha256: sha256.map_err(|_| ManifestError::HashLength {
                    field: "release.programs.sha256",
                    got: program.sha256.len(),
                })?,
            })
        });
        Ok(Self {
            address: wire.address.clone(),
            public_key: wire.public_key.clone(),
            programs: all(programs)?,
        })
    }
}

impl From<&Release> for proto::Release {
    fn from(release: &Release) -> Self {
        let programs = release
            .programs
            .iter()
            .map(|program| proto::ReleasedProgram {
                target: program.target.clone(),
                length: program.length,
                sha256: program.sha256.to_vec(),
            });
        Self {
            address: release.address.clone(),
            public_key: release.public_key.clone(),
            programs: programs.collect(),
        }
    }
}

impl TryFrom<&proto::Pipeline> for Pipeline {
    type Error = ManifestError;

    /// Only of numbers that this version knows; [`Manifest::check`] looks at the rest.
    fn try_from(wire: &proto::Pipeline) -> Result<Self, ManifestError> {
        let output = wire.output.as_ref();
        let output = output.ok_or(ManifestError::Absent { field: "output" })?;
        let pooling = wire.pooling.iter().map(|mode| Pooling::of_number(*mode));
        Ok(Self {
            max_tokens: wire.max_tokens,
            max_tokens_source: wire.max_tokens_source.clone(),
            truncation_side: TruncationSide::of_number(wire.truncation_side)?,
            truncation_strategy: TruncationStrategy::of_number(wire.truncation_strategy)?,
            lower_case: wire.lower_case,
            split_special_tokens: wire.split_special_tokens,
            vocabulary_size: wire.vocabulary_size,
            inputs: all(wire.inputs.iter().map(Input::try_from))?,
            output: Output {
                name: output.name.clone(),
                width: output.width,
                per_token: output.per_token,
            },
            compute: Compute::of_number(wire.compute)?,
            pooling: all(pooling)?,
            exclude_prompt: wire.exclude_prompt,
            modules: all(wire.modules.iter().map(Module::try_from))?,
            normalize: wire.normalize,
            dimensions: wire.dimensions,
            similarity: Similarity::of_number(wire.similarity)?,
            splade: wire.splade.map(|splade| Splade {
                sum: splade.sum,
                twice: splade.twice,
            }),
            late_interaction: wire.late_interaction.as_ref().map(LateInteraction::from),
            hybrid: wire.hybrid.as_ref().map(Hybrid::try_from).transpose()?,
            prompts: wire.prompts.iter().map(Prompt::from).collect(),
            default_prompt: wire.default_prompt.clone(),
            labels: wire.labels.clone(),
            activation: Activation::of_number(wire.activation)?,
            rerank_activation: Activation::of_number(wire.rerank_activation)?,
            entailment: wire.entailment,
            mask_token_id: wire.mask_token_id,
            unknown_token_id: wire.unknown_token_id,
            padding_token_id: wire.padding_token_id,
            clean_up_decoded: wire.clean_up_decoded,
        })
    }
}

impl From<&Pipeline> for proto::Pipeline {
    fn from(pipeline: &Pipeline) -> Self {
        Self {
            max_tokens: pipeline.max_tokens,
            max_tokens_source: pipeline.max_tokens_source.clone(),
            truncation_side: pipeline.truncation_side.number(),
            lower_case: pipeline.lower_case,
            inputs: pipeline.inputs.iter().map(proto::Input::from).collect(),
            output: Some(proto::Output {
                name: pipeline.output.name.clone(),
                width: pipeline.output.width,
                per_token: pipeline.output.per_token,
            }),
            pooling: pipeline.pooling.iter().map(|it| it.number()).collect(),
            normalize: pipeline.normalize,
            labels: pipeline.labels.clone(),
            activation: pipeline.activation.number(),
            vocabulary_size: pipeline.vocabulary_size,
            modules: pipeline.modules.iter().map(proto::Module::from).collect(),
            prompts: pipeline.prompts.iter().map(proto::Prompt::from).collect(),
            default_prompt: pipeline.default_prompt.clone(),
            exclude_prompt: pipeline.exclude_prompt,
            dimensions: pipeline.dimensions,
            similarity: pipeline.similarity.number(),
            splade: pipeline.splade.map(|splade| proto::Splade {
                sum: splade.sum,
                twice: splade.twice,
            }),
            rerank_activation: pipeline.rerank_activation.number(),
            entailment: pipeline.entailment,
            mask_token_id: pipeline.mask_token_id,
            unknown_token_id: pipeline.unknown_token_id,
            padding_token_id: pipeline.padding_token_id,
            clean_up_decoded: pipeline.clean_up_decoded,
            truncation_strategy: pipeline.truncation_strategy.number(),
            compute: pipeline.compute.number(),
            split_special_tokens: pipeline.split_special_tokens,
            late_interaction: pipeline.late_interaction.as_ref().map(Into::into),
            hybrid: pipeline.hybrid.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<&proto::Hybrid> for Hybrid {
    type Error = ManifestError;

    fn try_from(wire: &proto::Hybrid) -> Result<Self, ManifestError> {
        let there = |dense: &Option<proto::Dense>, field| {
            let dense = dense.as_ref().ok_or(ManifestError::Absent { field })?;
            Dense::try_from(dense)
        };
        Ok(Self {
            sparse: there(&wire.sparse, "hybrid.sparse")?,
            colbert: there(&wire.colbert, "hybrid.colbert")?,
            unweighted: wire.unweighted.clone(),
        })
    }
}

impl From<&Hybrid> for proto::Hybrid {
    fn from(hybrid: &Hybrid) -> Self {
        Self {
            sparse: Some((&hybrid.sparse).into()),
            colbert: Some((&hybrid.colbert).into()),
            unweighted: hybrid.unweighted.clone(),
        }
    }
}

impl From<&proto::LateInteraction> for LateInteraction {
    fn from(wire: &proto::LateInteraction) -> Self {
        let role = |role: Option<proto::RoleSequence>| {
            let role = role.unwrap_or_default();
            RoleSequence {
                max_tokens: role.max_tokens,
                prefix_id: role.prefix_id,
                skips: role.skips,
            }
        };
        Self {
            query: role(wire.query),
            document: role(wire.document),
            expansion: wire.expansion.map(|expansion| QueryExpansion {
                token_id: expansion.token_id,
                length: expansion.length,
                attended: expansion.attended,
            }),
            skiplist: wire.skiplist.clone(),
            strip: wire.strip,
            lower_case: wire.lower_case,
            role_prompts: wire.role_prompts,
            mean_score: wire.mean_score,
        }
    }
}

impl From<&LateInteraction> for proto::LateInteraction {
    fn from(settings: &LateInteraction) -> Self {
        let role = |role: RoleSequence| {
            Some(proto::RoleSequence {
                max_tokens: role.max_tokens,
                prefix_id: role.prefix_id,
                skips: role.skips,
            })
        };
        Self {
            query: role(settings.query),
            document: role(settings.document),
            expansion: settings.expansion.map(|expansion| proto::QueryExpansion {
                token_id: expansion.token_id,
                length: expansion.length,
                attended: expansion.attended,
            }),
            skiplist: settings.skiplist.clone(),
            strip: settings.strip,
            lower_case: settings.lower_case,
            role_prompts: settings.role_prompts,
            mean_score: settings.mean_score,
        }
    }
}

impl Pipeline {
    /// The bytes it has in a manifest. Two pipelines mean the same exactly when
    /// these are equal.
    pub fn to_bytes(&self) -> Vec<u8> {
        proto::Pipeline::from(self).encode_to_vec()
    }
}

impl Module {
    /// The bytes it has in a manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        proto::Module::from(self).encode_to_vec()
    }
}

impl Hybrid {
    /// The bytes it has in a manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        proto::Hybrid::from(self).encode_to_vec()
    }
}

impl TryFrom<&proto::Input> for Input {
    type Error = ManifestError;

    fn try_from(wire: &proto::Input) -> Result<Self, ManifestError> {
        // Written by a later version, for models that this one cannot feed.
        if !wire.axes.is_empty() {
            let name = wire.name.clone();
            return Err(ManifestError::Axes { input: name });
        }
        Ok(Self {
            name: wire.name.clone(),
            role: InputRole::of_number(wire.role)?,
            integer_type: IntegerType::of_number(wire.integer_type)?,
            first_position: wire.first_position,
            zeros: wire.zeros,
        })
    }
}

impl From<&Input> for proto::Input {
    fn from(input: &Input) -> Self {
        Self {
            name: input.name.clone(),
            role: input.role.number(),
            integer_type: input.integer_type.number(),
            first_position: input.first_position,
            zeros: input.zeros,
            axes: Vec::new(),
        }
    }
}

impl TryFrom<&proto::Module> for Module {
    type Error = ManifestError;

    fn try_from(wire: &proto::Module) -> Result<Self, ManifestError> {
        Ok(match &wire.step {
            Some(Step::Dense(dense)) => Self::Dense(dense.try_into()?),
            Some(Step::LayerNorm(norm)) => Self::LayerNorm(LayerNorm {
                weight: there(norm.weight, "modules.layer_norm.weight")?,
                bias: there(norm.bias, "modules.layer_norm.bias")?,
                epsilon: norm.epsilon,
            }),
            Some(Step::L2Norm(_)) => Self::L2Norm,
            None => {
                return Err(ManifestError::Absent {
                    field: "modules.step",
                });
            }
        })
    }
}

impl From<&Module> for proto::Module {
    fn from(module: &Module) -> Self {
        let step = match module {
            Module::Dense(dense) => Step::Dense(dense.into()),
            Module::LayerNorm(norm) => Step::LayerNorm(proto::LayerNorm {
                weight: Some(norm.weight.into()),
                bias: Some(norm.bias.into()),
                epsilon: norm.epsilon,
            }),
            Module::L2Norm => Step::L2Norm(proto::L2Norm {}),
        };
        Self { step: Some(step) }
    }
}

impl TryFrom<&proto::Dense> for Dense {
    type Error = ManifestError;

    fn try_from(wire: &proto::Dense) -> Result<Self, ManifestError> {
        Ok(Self {
            in_features: wire.in_features,
            out_features: wire.out_features,
            weight: there(wire.weight, "modules.dense.weight")?,
            bias: wire.bias.map(StoredTensor::from),
            function: DenseFunction::of_number(wire.function)?,
            residual: match (wire.residual, wire.residual_weight) {
                (_, Some(weight)) => Some(Residual::Projected(weight.into())),
                (true, None) => Some(Residual::Identity),
                (false, None) => None,
            },
        })
    }
}

impl From<&Dense> for proto::Dense {
    fn from(dense: &Dense) -> Self {
        Self {
            in_features: dense.in_features,
            out_features: dense.out_features,
            weight: Some(dense.weight.into()),
            bias: dense.bias.map(Into::into),
            function: dense.function.number(),
            residual: dense.residual == Some(Residual::Identity),
            residual_weight: match dense.residual {
                Some(Residual::Projected(weight)) => Some(weight.into()),
                _ => None,
            },
        }
    }
}

fn there(
    tensor: Option<proto::Tensor>,
    field: &'static str,
) -> Result<StoredTensor, ManifestError> {
    let tensor = tensor.ok_or(ManifestError::Absent { field })?;
    Ok(StoredTensor::from(tensor))
}

impl From<proto::Tensor> for StoredTensor {
    fn from(wire: proto::Tensor) -> Self {
        Self {
            offset: wire.offset,
            length: wire.length,
        }
    }
}

impl From<StoredTensor> for proto::Tensor {
    fn from(tensor: StoredTensor) -> Self {
        Self {
            offset: tensor.offset,
            length: tensor.length,
        }
    }
}

impl From<&proto::Prompt> for Prompt {
    fn from(wire: &proto::Prompt) -> Self {
        Self {
            name: wire.name.clone(),
            text: wire.text.clone(),
        }
    }
}

impl From<&Prompt> for proto::Prompt {
    fn from(prompt: &Prompt) -> Self {
        Self {
            name: prompt.name.clone(),
            text: prompt.text.clone(),
        }
    }
}

impl From<proto::Provenance> for Provenance {
    fn from(wire: proto::Provenance) -> Self {
        let findings = wire.findings.into_iter().map(|finding| Finding {
            subject: finding.subject,
            meaning: finding.meaning,
            source: finding.source,
        });
        let options = wire.options.into_iter().map(|it| BuildOption {
            name: it.name,
            value: it.value,
        });
        Self {
            builder: wire.builder,
            license: wire.license,
            architecture: wire.architecture,
            source_sha256: wire.source_sha256,
            embedding_space_id: wire.embedding_space_id,
            findings: findings.collect(),
            source: wire.source.map(|it| HubCommit {
                repository: it.repository,
                commit: it.commit,
            }),
            source_file: wire.source_file,
            source_format: wire.source_format,
            options: options.collect(),
            fingerprint: wire.fingerprint,
        }
    }
}

impl From<Provenance> for proto::Provenance {
    fn from(provenance: Provenance) -> Self {
        let findings = provenance.findings.into_iter().map(|it| proto::Finding {
            subject: it.subject,
            meaning: it.meaning,
            source: it.source,
        });
        let options = provenance.options.into_iter().map(|it| proto::BuildOption {
            name: it.name,
            value: it.value,
        });
        Self {
            builder: provenance.builder,
            license: provenance.license,
            architecture: provenance.architecture,
            source_sha256: provenance.source_sha256,
            embedding_space_id: provenance.embedding_space_id,
            findings: findings.collect(),
            source: provenance.source.map(|it| proto::HubCommit {
                repository: it.repository,
                commit: it.commit,
            }),
            source_file: provenance.source_file,
            source_format: provenance.source_format,
            options: options.collect(),
            fingerprint: provenance.fingerprint,
        }
    }
}

fn all<T>(parts: impl Iterator<Item = Result<T, ManifestError>>) -> Result<Vec<T>, ManifestError> {
    parts.collect()
}
