//! Pipelines that no builder writes: numbers that a reader would allocate by,
//! index with or compute a shape of.

use crate::forge::{open, refused_bytes, resealed_as_is};
use anyhow::{Context, ensure};
use encoderfile::container::ContainerError;
use encoderfile::limits::{BASES_MAX, GRAPHS_MAX};
use encoderfile::proto::module::Step;
use encoderfile::proto::{
    Axis, Base, Dense, Hybrid, L2Norm, LateInteraction, LayerNorm, Manifest, Module, NamedGraph,
    Pipeline, Tensor,
};
use std::sync::Arc;

/// What a message has to say, and what is wrong with the pipeline.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Pipeline));

fn dense(in_features: u32, out_features: u32, length: u64) -> Module {
    let dense = Dense {
        in_features,
        out_features,
        weight: Some(Tensor { offset: 0, length }),
        ..Dense::default()
    };
    Module {
        step: Some(Step::Dense(dense)),
    }
}

fn changed(module: Module, change: impl Fn(&mut Dense)) -> Module {
    let mut module = module;
    if let Some(Step::Dense(dense)) = &mut module.step {
        change(dense);
    }
    module
}

fn norm(length: u64, epsilon: f32) -> Module {
    let tensor = Some(Tensor { offset: 0, length });
    let norm = LayerNorm {
        weight: tensor,
        bias: tensor,
        epsilon,
    };
    Module {
        step: Some(Step::LayerNorm(norm)),
    }
}

fn refused(cases: &[Case<'_>]) -> anyhow::Result<()> {
    for (expected, change) in cases {
        let bytes = resealed_as_is(|manifest| change(manifest.pipeline.get_or_insert_default()));
        let error = refused_bytes(&bytes).with_context(|| (*expected).to_owned())?;
        let said = error.to_string();
        let is_expected = matches!(error, ContainerError::Manifest { .. });
        ensure!(is_expected && said.contains(expected), "{expected}: {said}");
    }
    Ok(())
}

#[test]
fn what_a_graph_is_fed_is_bounded() -> anyhow::Result<()> {
    let output = |it: &mut Pipeline, width| it.output.get_or_insert_default().width = width;
    refused(&[
        ("`max_tokens`", &|it| it.max_tokens = 0),
        ("`max_tokens`", &|it| it.max_tokens = u32::MAX),
        ("`vocabulary_size`", &|it| it.vocabulary_size = 0),
        ("`vocabulary_size`", &|it| it.vocabulary_size = 1 << 31),
        ("no `output`", &|it| it.output = None),
        ("`output.width`", &|it| output(it, 0)),
        ("`output.width`", &|it| output(it, u32::MAX)),
        ("`inputs`", &|it| it.inputs.clear()),
        ("`inputs`", &|it| {
            it.inputs = vec![it.inputs[0].clone(); 100];
        }),
        ("`inputs.name`", &|it| it.inputs.push(it.inputs[0].clone())),
        ("`inputs.role`", &|it| it.inputs[0].role = 0),
        ("`inputs.integer_type`", &|it| it.inputs[0].integer_type = 9),
        ("`inputs.first_position`", &|it| {
            it.inputs[0].first_position = i32::MAX.unsigned_abs();
        }),
        ("has axes of its own", &|it| {
            it.inputs[0].axes = vec![Axis::default()];
        }),
    ])
}

#[test]
fn what_follows_the_graph_is_bounded() -> anyhow::Result<()> {
    refused(&[
        ("`pooling`", &|it| it.pooling = vec![1; 7]),
        ("`pooling`", &|it| it.pooling = vec![1 << 20]),
        ("`modules`", &|it| {
            it.modules = vec![
                Module {
                    step: Some(Step::L2Norm(L2Norm {}))
                };
                65
            ];
        }),
        ("`modules.step`", &|it| it.modules = vec![Module::default()]),
        ("`modules.dense.out_features`", &|it| {
            it.modules = vec![dense(4, 0, 0)];
        }),
        ("`modules.dense.out_features`", &|it| {
            it.modules = vec![dense(4, u32::MAX, 16)];
        }),
        ("module 0 takes 5 values", &|it| {
            it.modules = vec![dense(5, 2, 40)];
        }),
        ("module 1: a tensor of 31 bytes, expected 32", &|it| {
            it.modules = vec![dense(4, 4, 64), dense(4, 2, 31)];
        }),
        ("module 0: a tensor of 4 bytes", &|it| {
            it.modules = vec![norm(4, 0.0)];
        }),
        ("module 0: a tensor of 9 bytes, expected 8", &|it| {
            it.modules = vec![changed(dense(4, 2, 32), |dense| {
                dense.bias = Some(Tensor {
                    offset: 0,
                    length: 9,
                });
            })];
        }),
        ("module 0: a tensor of 31 bytes, expected 32", &|it| {
            it.modules = vec![changed(dense(4, 2, 32), |dense| {
                dense.residual_weight = Some(Tensor {
                    offset: 0,
                    length: 31,
                });
            })];
        }),
        ("module 0 takes 4 values", &|it| {
            it.modules = vec![changed(dense(4, 2, 32), |dense| dense.residual = true)];
        }),
        ("no `modules.dense.weight`", &|it| {
            it.modules = vec![changed(dense(4, 2, 32), |dense| dense.weight = None)];
        }),
        ("module 0: `epsilon`", &|it| {
            it.modules = vec![norm(16, f32::NAN)];
        }),
        ("module 0: `epsilon`", &|it| {
            it.modules = vec![norm(16, f32::INFINITY)];
        }),
        ("module 0: `epsilon`", &|it| {
            it.modules = vec![norm(16, -1e-12)];
        }),
        ("`dimensions`", &|it| it.dimensions = 5),
        ("`entailment`", &|it| it.entailment = Some(2)),
        ("`default_prompt`", &|it| it.default_prompt = "query".into()),
    ])
}

#[test]
fn what_makes_queries_and_documents_is_bounded() -> anyhow::Result<()> {
    let changed = |it: &mut Pipeline, change: fn(&mut LateInteraction)| {
        change(it.late_interaction.get_or_insert_default());
    };
    refused(&[
        ("`late_interaction.max_tokens`", &|it| {
            changed(it, |it| {
                it.query.get_or_insert_default().max_tokens = u32::MAX;
            });
        }),
        ("`late_interaction.prefix_id`", &|it| {
            changed(it, |it| {
                it.document.get_or_insert_default().prefix_id = Some(u32::MAX);
            });
        }),
        ("`late_interaction.expansion.token_id`", &|it| {
            changed(it, |it| {
                let expansion = it.expansion.get_or_insert_default();
                (expansion.token_id, expansion.length) = (u32::MAX, 8);
            });
        }),
        ("`late_interaction.expansion.length` is 0", &|it| {
            changed(it, |it| {
                it.expansion.get_or_insert_default();
            });
        }),
        ("`late_interaction.expansion.length`", &|it| {
            changed(it, |it| {
                it.expansion.get_or_insert_default().length = u32::MAX;
            });
        }),
        ("`late_interaction.skiplist` is 3, expected 4", &|it| {
            changed(it, |it| it.skiplist = vec![3, 3]);
        }),
        ("`late_interaction.skiplist`", &|it| {
            changed(it, |it| it.skiplist = vec![u32::MAX]);
        }),
    ])
}

#[test]
fn what_is_beside_the_pooling_is_bounded() -> anyhow::Result<()> {
    let layer = |in_features: u32, out_features: u32| {
        let length = u64::from(4 * in_features * out_features);
        Some(Dense {
            in_features,
            out_features,
            weight: Some(Tensor { offset: 0, length }),
            ..Dense::default()
        })
    };
    let changed = |it: &mut Pipeline, change: &dyn Fn(&mut Hybrid)| {
        it.pooling = vec![1];
        change(it.hybrid.insert(Hybrid {
            sparse: layer(4, 1),
            colbert: layer(4, 2),
            unweighted: Vec::new(),
        }));
    };
    refused(&[
        ("no `hybrid.sparse`", &|it| {
            changed(it, &|it| it.sparse = None);
        }),
        ("no `hybrid.colbert`", &|it| {
            changed(it, &|it| it.colbert = None);
        }),
        ("`hybrid.sparse.out_features` is 2", &|it| {
            changed(it, &|it| it.sparse = layer(4, 2));
        }),
        ("takes 5 values", &|it| {
            changed(it, &|it| it.colbert = layer(5, 2));
        }),
        ("`hybrid.unweighted` is 3, expected 4", &|it| {
            changed(it, &|it| it.unweighted = vec![3, 3]);
        }),
        ("`pooling` is 0", &|it| {
            changed(it, &|_| {});
            it.pooling.clear();
        }),
    ])
}

#[test]
fn late_interaction_has_roles_and_pools_nothing() -> anyhow::Result<()> {
    type Change<'a> = &'a dyn Fn(&mut Pipeline);
    let cases: [(&str, Change<'_>); 2] = [
        ("no `pipeline.late_interaction`", &|it| {
            it.pooling.clear();
        }),
        ("`pooling` is 1, expected 0 to 0", &|it| {
            it.pooling = vec![1];
            it.late_interaction.get_or_insert_default();
        }),
    ];
    for (expected, change) in cases {
        let bytes = resealed_as_is(|manifest| {
            manifest.task = 7;
            change(manifest.pipeline.get_or_insert_default());
        });
        let error = refused_bytes(&bytes).with_context(|| expected.to_owned())?;
        ensure!(error.to_string().contains(expected), "{expected}: {error}");
    }
    Ok(())
}

#[test]
fn a_manifest_of_another_version_is_refused_by_the_field() -> anyhow::Result<()> {
    type Change<'a> = &'a dyn Fn(&mut Manifest);
    let cases: [(&str, Change<'_>); 5] = [
        ("`task` is 21", &|it| it.task = 21),
        ("`task` is 0", &|it| it.task = 0),
        ("no `pipeline`", &|it| it.pipeline = None),
        ("`weights.encoding` is 7", &|it| {
            it.stored_weights.get_or_insert_default().encoding = 7;
        }),
        ("`weights.group_len` is 48", &|it| {
            let weights = it.stored_weights.get_or_insert_default();
            (weights.encoding, weights.group_len) = (4, 48);
        }),
    ];
    for (expected, change) in cases {
        let error = refused_bytes(&resealed_as_is(change)).with_context(|| expected.to_owned())?;
        ensure!(error.to_string().contains(expected), "{expected}: {error}");
    }
    Ok(())
}

/// As many as there may be are no fault of their number; one more is.
#[test]
fn lists_have_an_end() -> anyhow::Result<()> {
    type Change<'a> = &'a dyn Fn(&mut Manifest, usize);
    let cases: [(&str, usize, Change<'_>); 2] = [
        ("`bases`", BASES_MAX, &|it, count| {
            it.bases = vec![Base::default(); count];
        }),
        ("`graphs`", GRAPHS_MAX, &|it, count| {
            it.graphs = vec![NamedGraph::default(); count];
        }),
    ];
    for (field, limit, change) in cases {
        for (count, is_too_many) in [(limit, false), (limit + 1, true)] {
            let opened = open(Arc::new(resealed_as_is(|it| change(it, count))))?;
            let error = opened.err().map(|it| it.to_string()).unwrap_or_default();
            let is_of_number = error.contains(field) && error.contains(&limit.to_string());
            ensure!(is_of_number == is_too_many, "{count} {field}: {error}");
        }
    }
    Ok(())
}
