//! What stands under `deploy/`, read as what it is: YAML, a Dockerfile, lines of names and values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The files under `deploy/`, by their paths below it.
#[derive(Clone)]
pub(super) struct Files(BTreeMap<String, String>);

/// What is wrong.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<String>);

/// A step of a Dockerfile: `RUN`, and what follows it.
pub(super) struct Step {
    pub(super) keyword: String,
    pub(super) rest: String,
}

/// What a Dockerfile makes, from its `FROM` to the next.
pub(super) struct Stage {
    pub(super) image: String,
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

impl Findings {
    pub(super) fn add(&mut self, what: impl Display) {
        self.0.push(what.to_string());
    }

    pub(super) fn unless(&mut self, holds: bool, what: impl Display) {
        if !holds {
            self.add(what);
        }
    }
}

impl Files {
    pub(super) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        let mut folders = vec![root.clone()];
        let mut files = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != ".env" && name != "secret.env") {
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, std::fs::read_to_string(path).unwrap());
                }
            }
        }
        Self(files)
    }

    /// The same with a slip in one of them.
    pub(super) fn with(&self, path: &str, from: &str, to: &str) -> Self {
        let mut files = self.clone();
        let text = files.0.get_mut(path).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        *text = text.replace(from, to);
        files
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.0.get(path).unwrap_or_else(|| panic!("there is no deploy/{path}"))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Says which files are not YAML; the others can be asked for by [`documents`](Self::documents).
    pub(super) fn check_yaml(&self, findings: &mut Findings) {
        for (path, text) in self.iter().filter(|(path, _)| is_yaml(path)) {
            if let Err(problem) = serde_saphyr::from_multiple::<Value>(text) {
                findings.add(format_args!("{path} is not YAML: {problem}"));
            }
        }
    }

    /// Every document of a file.
    pub(super) fn documents(&self, path: &str) -> Vec<Value> {
        serde_saphyr::from_multiple(self.text(path)).unwrap()
    }

    /// The first document of a file.
    pub(super) fn yaml(&self, path: &str) -> Value {
        self.documents(path).swap_remove(0)
    }

    /// Every document below a folder, with the file that it stands in.
    pub(super) fn all_yaml(&self, folder: &str) -> Vec<(&str, Value)> {
        let files = self.iter().filter(|(path, _)| path.starts_with(folder) && is_yaml(path));
        files
            .flat_map(|(path, _)| self.documents(path).into_iter().map(move |document| (path, document)))
            .collect()
    }

    /// `NAME=value`, line by line.
    pub(super) fn variables(&self, path: &str) -> Vec<(String, String)> {
        let lines = self.text(path).lines().map(str::trim).filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// The stages of a Dockerfile.
    pub(super) fn stages(&self, path: &str) -> Vec<Stage> {
        let lines = self.text(path).lines().filter(|line| !line.starts_with('#'));
        let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
        let mut stages: Vec<Stage> = Vec::new();
        for line in joined.lines() {
            let Some((keyword, rest)) = line.trim().split_once(' ') else { continue };
            if keyword == "FROM" {
                let (image, name) = rest.split_once(" AS ").unwrap_or((rest, ""));
                stages.push(Stage { image: image.into(), name: name.into(), steps: Vec::new() });
            } else if let Some(stage) = stages.last_mut() {
                stage.steps.push(Step { keyword: keyword.into(), rest: rest.trim().into() });
            }
        }
        stages
    }
}

impl Stage {
    /// What follows each step of a kind.
    pub(super) fn all<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a str> {
        self.steps.iter().filter(move |step| step.keyword == keyword).map(|step| step.rest.as_str())
    }

    /// What `ENV` sets.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let pairs = self.all("ENV").flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.into(), value.into())).collect()
    }
}

fn is_yaml(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Every value of a key, however deep it stands.
pub(super) fn values_of<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    let below: Vec<&Value> = match value {
        Value::Object(object) => object.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    };
    let deeper = below.into_iter().flat_map(|value| values_of(value, key));
    value.get(key).into_iter().chain(deeper).collect()
}

/// A text, or nothing where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
