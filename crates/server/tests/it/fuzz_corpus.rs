//! The inputs that the fuzzer has found worth keeping, tried as a plain test: no fuzzer is needed for that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fuzzed::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(name)
}

/// The names in a folder, without their endings.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|problem| panic!("{}: {problem}", folder.display()));
    let stem = |entry: std::fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap())).collect()
}

#[test]
fn every_input_that_was_kept_has_its_property() {
    for (name, check) in TARGETS {
        let corpus = folder("corpus").join(name);
        for file in names(&corpus) {
            // Shown if it fails.
            println!("fuzz/corpus/{name}/{file}");
            check(&std::fs::read(corpus.join(&file)).unwrap());
        }
    }
}

#[test]
fn every_property_has_a_program_that_looks_for_exceptions_and_inputs_to_begin_with() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder("fuzz_targets")), targets);
    assert_eq!(names(&folder("corpus")), targets);
    let manifest = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target} is no program of fuzz/Cargo.toml"
        );
        assert!(!names(&folder("corpus").join(target)).is_empty(), "{target} has no inputs");
    }
}
