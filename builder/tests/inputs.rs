//! What a build reads, and what its fingerprint is made of.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use encoderfile::manifest::{BuildOption, Compute, Task, TruncationSide, TruncationStrategy};
use encoderfile::weights::WeightsEncoding;
use encoderfile_builder::build::Settings;
use encoderfile_builder::fingerprint::{Material, fingerprint};
use encoderfile_builder::folder::{self, Overrides, Paths};
use encoderfile_builder::graph::Graph;
use encoderfile_builder::inputs;
use encoderfile_builder::models_file::ModelTask;
use encoderfile_builder::precision::{Precision, TargetSize};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How many folders there are at least, so that an empty one is no success.
const MODELS_MIN: usize = 190;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models")
}

/// The inputs of a folder alone, in another.
fn copy_inputs(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for input in inputs::of(&Paths::in_folder(folder).unwrap()).unwrap() {
        let path = copy.path().join(&input.name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(input.length, Some(fs::copy(&input.path, path).unwrap()));
    }
    copy
}

/// All that a build makes of a folder, and SHA-256 of its weights.
fn meaning(folder: &Path) -> (String, [u8; 32]) {
    let paths = Paths::in_folder(folder).unwrap();
    let model = folder::read(&paths, &Overrides::default()).unwrap();
    let graph = Graph::read(&paths.weights, &model).unwrap();
    let mut said = format!("{model:?}");
    said = said.replace(folder.to_str().unwrap(), "FOLDER");
    (said, graph.source_sha256)
}

#[test]
fn the_inputs_are_all_that_a_build_reads() {
    let mut count = 0;
    for entry in fs::read_dir(models()).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("config.json").is_file() && !folder.join("modules.json").is_file() {
            continue;
        }
        let copy = copy_inputs(&folder);
        assert!(
            meaning(&folder) == meaning(copy.path()),
            "{}: another model",
            folder.display()
        );
        count += 1;
    }
    assert!(count >= MODELS_MIN, "{count} models");
}

fn of_folder(folder: &Path) -> [u8; 32] {
    let paths = Paths::in_folder(folder).unwrap();
    fingerprint("name", "1", &[], Material::Files(&paths)).unwrap()
}

#[test]
fn a_fingerprint_is_of_every_input_and_of_nothing_else() {
    for name in [
        "st-dense-layernorm",
        "late-stanford",
        "checkpoint-bert-sharded",
        "files-external-data",
    ] {
        let folder = copy_inputs(&models().join(name));
        let original = of_folder(folder.path());
        let moved = copy_inputs(folder.path());
        assert_eq!(
            of_folder(moved.path()),
            original,
            "{name}: of another place"
        );
        fs::write(folder.path().join("golden.json"), "{}").unwrap();
        assert_eq!(of_folder(folder.path()), original, "{name}: of no input");
        for input in inputs::of(&Paths::in_folder(folder.path()).unwrap()).unwrap() {
            let content = fs::read(&input.path).unwrap();
            let mut other = content.clone();
            // Most files still mean the same.
            other.push(b'\n');
            fs::write(&input.path, other).unwrap();
            let paths = Paths::in_folder(folder.path()).unwrap();
            let changed = fingerprint("name", "1", &[], Material::Files(&paths));
            assert_ne!(changed.ok(), Some(original), "{name}: {}", input.name);
            fs::write(&input.path, content).unwrap();
        }
        // What is not there may be there later.
        fs::write(folder.path().join("added_tokens.json"), "{}").unwrap();
        assert_ne!(of_folder(folder.path()), original, "{name}: one file more");
    }
}

#[test]
fn names_versions_and_options_are_told_apart() {
    let paths = Paths::in_folder(&models().join("bert-embedding")).unwrap();
    let option = |name: &str, value: &str| BuildOption {
        name: name.into(),
        value: value.into(),
    };
    let of = |name: &str, version: &str, options: &[BuildOption]| {
        fingerprint(name, version, options, Material::Files(&paths)).unwrap()
    };
    let all = [
        of("a", "1", &[]),
        of("a1", "", &[]),
        of("", "a1", &[]),
        of("a", "2", &[]),
        of("a", "1", &[option("weights", "int8")]),
        of("a", "1", &[option("weight", "sint8")]),
        of("a", "1", &[option("weights", "f16")]),
        of("a", "1", &[option("weights", "int8"), option("task", "x")]),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
}

/// Each of another precision.
fn precisions(texts: &Path) -> Vec<Settings> {
    let precise = |precision: Precision| Settings {
        precision,
        ..Settings::default()
    };
    vec![
        precise(Precision {
            weights: Some(WeightsEncoding::F16),
            ..Precision::default()
        }),
        precise(Precision {
            rules: vec!["embeddings=int8".parse().unwrap()],
            ..Precision::default()
        }),
        precise(Precision {
            target_size: Some(TargetSize::of_file(1 << 20)),
            ..Precision::default()
        }),
        precise(Precision {
            weights: Some(WeightsEncoding::F32),
            target_size: Some(TargetSize::of_file(1 << 20)),
            ..Precision::default()
        }),
        precise(Precision {
            min_cosine: Some(0.5),
            ..Precision::default()
        }),
        precise(Precision {
            calibration: Some(texts.to_owned()),
            ..Precision::default()
        }),
        precise(Precision {
            compute: Some(Compute::Int8),
            ..Precision::default()
        }),
    ]
}

#[test]
fn every_setting_of_a_build_is_in_its_fingerprint() {
    let paths = Paths::in_folder(&models().join("bert-embedding")).unwrap();
    let with = |overrides: Overrides| Settings {
        overrides,
        ..Settings::default()
    };
    let all = [
        Settings::default(),
        Settings {
            name: Some("x".into()),
            ..Settings::default()
        },
        Settings {
            version: Some("x".into()),
            ..Settings::default()
        },
        with(Overrides {
            task: Some(Task::Embedding),
            ..Overrides::default()
        }),
        with(Overrides {
            task: Some(Task::Embedding),
            tasks_as_stated: &[Task::SentenceEmbedding],
            ..Overrides::default()
        }),
        with(Overrides {
            max_length: Some(9),
            ..Overrides::default()
        }),
        with(Overrides {
            truncation_side: Some(TruncationSide::Left),
            ..Overrides::default()
        }),
        with(Overrides {
            truncation_strategy: Some(TruncationStrategy::OnlyFirst),
            ..Overrides::default()
        }),
        with(Overrides {
            license: Some("MIT".into()),
            ..Overrides::default()
        }),
    ];
    let all = all.into_iter().chain(precisions(&paths.config));
    let all = all.map(|it| it.fingerprint(Material::Files(&paths)).unwrap());
    let all: Vec<_> = all.collect();
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
    // What is the default anyway is the same build.
    let said = Settings {
        version: Some("0.1.0".into()),
        precision: Precision {
            weights: Some(WeightsEncoding::F32),
            compute: Some(Compute::F32),
            ..Precision::default()
        },
        ..Settings::default()
    };
    assert_eq!(said.fingerprint(Material::Files(&paths)).unwrap(), all[0]);
}

#[test]
fn a_tag_of_the_hub_is_for_what_the_files_say() {
    let read = |name: &str, task: ModelTask| {
        let overrides = Overrides {
            task: Some(task.task()),
            tasks_as_stated: task.as_stated(),
            ..Overrides::default()
        };
        let paths = Paths::in_folder(&models().join(name)).unwrap();
        folder::read(&paths, &overrides).unwrap().task
    };
    for (name, task, expected) in [
        (
            "bert-embedding",
            ModelTask::HubFeatureExtraction,
            Task::Embedding,
        ),
        (
            "bert-fill_mask",
            ModelTask::HubFeatureExtraction,
            Task::Embedding,
        ),
        (
            "st-mean-normalize",
            ModelTask::HubFeatureExtraction,
            Task::SentenceEmbedding,
        ),
        (
            "splade-max",
            ModelTask::HubFeatureExtraction,
            Task::SparseEmbedding,
        ),
        (
            "late-bert",
            ModelTask::HubSentenceSimilarity,
            Task::LateInteraction,
        ),
        (
            "bert-embedding",
            ModelTask::HubSentenceSimilarity,
            Task::SentenceEmbedding,
        ),
        (
            "st-mean-normalize",
            ModelTask::HubSentenceSimilarity,
            Task::SentenceEmbedding,
        ),
        ("st-mean-normalize", ModelTask::Embedding, Task::Embedding),
        ("bert-fill_mask", ModelTask::HubFillMask, Task::FillMask),
        (
            "cls-pair-rerank",
            ModelTask::HubTextRanking,
            Task::SequenceClassification,
        ),
        (
            "cls-pair-nli",
            ModelTask::HubZeroShotClassification,
            Task::SequenceClassification,
        ),
        (
            "bert-token_classification",
            ModelTask::HubTokenClassification,
            Task::TokenClassification,
        ),
    ] {
        assert_eq!(read(name, task), expected, "{name} as {task:?}");
    }
}
