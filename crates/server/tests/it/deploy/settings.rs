//! What is set is a setting, and the program takes it.

use std::collections::BTreeMap;

use providers::REGISTRY;
use serde_json::Value;
use server::config::Config;
use testkit::sim::{AFRICASTALKING_API_KEY, AFRICASTALKING_USERNAME};

use super::files::{Files, Findings, text};

/// Variables that belong to the command line, and one that a comment warns of.
const NO_SETTINGS: &[&str] = &["TUMA_CONFIG", "TUMA_URL", "TUMA_API_KEY", "TUMA_CALLBACKS_PORT"];

/// Parts that a node can be told to do.
const ROLES: &[&str] = &["api", "dispatch", "callbacks", "chores"];

pub(super) type Variables = Vec<(String, String)>;

pub(super) fn check(files: &Files, findings: &mut Findings) {
    for (place, variables) in environments(files) {
        if let Err(problem) = load(&variables) {
            findings.add(format_args!("{place}: {problem}"));
        }
    }
    // Many stand in many places: each is tried once.
    let mut words: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, file) in files.iter() {
        let in_file = file.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        words.extend(in_file.map(|word| (word, path)));
    }
    for (word, path) in words {
        findings.unless(is_known(word), format_args!("{path}: {word} is no setting"));
    }
    check_roles(files, findings);
    check_simulator(files, findings);
}

/// What the program is given in each way of running it.
pub(super) fn environments(files: &Files) -> Vec<(&'static str, Variables)> {
    let image = files.stages("docker/Dockerfile").pop().map(|stage| stage.environment()).unwrap_or_default();
    vec![
        ("docker/Dockerfile", image),
        ("compose/.env.example", composed(files, "compose/.env.example")),
        ("compose/.env.simulator", composed(files, "compose/.env.simulator")),
        ("systemd/tuma.env.example", files.variables("systemd/tuma.env.example")),
        ("kubernetes/overlays/example", overlaid(files, "kubernetes/overlays/example")),
        ("kubernetes/overlays/by-role", overlaid(files, "kubernetes/overlays/by-role")),
    ]
}

/// The program's own reading.
pub(super) fn load(variables: &[(String, String)]) -> Result<Config, String> {
    Config::load(None, variables.iter().cloned()).map_err(|problem| problem.to_string())
}

/// What Compose gives to a node: the file of variables, and over it what compose.yaml sets.
fn composed(files: &Files, path: &str) -> Variables {
    let mut variables = files.variables(path);
    let compose = files.yaml("compose/compose.yaml");
    let set = compose["services"]["node-1"]["environment"].as_object().cloned().unwrap_or_default();
    variables.extend(set.into_iter().map(|(name, value)| (name, without_places(text(&value)))));
    variables
}

/// A text with a word for each `${…}`.
fn without_places(text: &str) -> String {
    let mut parts = text.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |made, part| made + "word" + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// What a pod is given: the settings of the base, of the overlay, and the example of the Secret.
fn overlaid(files: &Files, overlay: &str) -> Variables {
    let kustomizations =
        ["kubernetes/base/around/kustomization.yaml", &format!("{overlay}/kustomization.yaml")]
            .map(|path| files.yaml(path));
    let literals = kustomizations.iter().flat_map(|it| it["configMapGenerator"].as_array().into_iter());
    let literals = literals.flatten().flat_map(|it| it["literals"].as_array().into_iter().flatten());
    let pairs = literals.filter_map(|literal| text(literal).split_once('='));
    let mut variables: Variables = pairs.map(|(name, value)| (name.into(), value.into())).collect();
    variables.extend(files.variables("kubernetes/overlays/example/secret.env.example"));
    variables
}

/// Whether a word is none of ours, or names something that there is.
fn is_known(word: &str) -> bool {
    let of_provider =
        |word| REGISTRY.iter().any(|provider| provider.environment.iter().any(|(name, _)| *name == word));
    if word.starts_with("SMS_") || word.starts_with("TWILIO_") {
        return word == "SMS_PROVIDER" || of_provider(word);
    }
    let ours = word.strip_prefix("TUMA_").is_some_and(|rest| !rest.is_empty());
    !ours || NO_SETTINGS.contains(&word) || is_setting(word)
}

/// Whether the program takes a variable by this name, whatever it thinks of the value.
pub(super) fn is_setting(variable: &str) -> bool {
    let loaded = Config::load(None, [(variable.to_owned(), "1".to_owned())]);
    !loaded.is_err_and(|problem| problem.to_string().ends_with("is no setting"))
}

/// Each role is one that there is, and the overlay of roles leaves none out.
fn check_roles(files: &Files, findings: &mut Findings) {
    let overlays = files.iter().filter(|(path, _)| path.starts_with("kubernetes/overlays/by-role/"));
    let mut named: Vec<&str> =
        overlays.flat_map(|(_, text)| roles_after(text, "TUMA_ROLES, value: ")).collect();
    for role in ROLES {
        let given = named.contains(role);
        findings.unless(given, format_args!("kubernetes/overlays/by-role: nobody has the role {role}"));
    }
    named.extend(roles_after(files.text("systemd/tuma.env.example"), "TUMA_ROLES="));
    for role in named {
        findings.unless(ROLES.contains(&role), format_args!("{role} is no role"));
    }
}

/// The words after each mark, with commas between them.
fn roles_after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let lists = text.split(mark).skip(1);
    let lists =
        lists.filter_map(|after| after.split(|it: char| !it.is_ascii_lowercase() && it != ',').next());
    lists.flat_map(|list| list.split(','))
}

/// The simulated networks take the credentials that are there to try it.
fn check_simulator(files: &Files, findings: &mut Findings) {
    let variables = files.variables("compose/.env.simulator");
    let value = |name: &str| variables.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let right = value("SMS_AT_USERNAME") == Some(AFRICASTALKING_USERNAME)
        && value("SMS_AT_API_KEY") == Some(AFRICASTALKING_API_KEY);
    findings.unless(right, "compose/.env.simulator: the simulated networks refuse these credentials");
    let services = files.yaml("compose/compose.yaml")["services"].take();
    let port = text(&services["simulator"]["command"][0]).rsplit(':').next().map(str::to_owned);
    let base = value("SMS_AT_API_BASE_URL").unwrap_or_default();
    let listens = port.is_some_and(|port| base == format!("http://simulator:{port}"));
    findings.unless(listens, "compose/.env.simulator: the simulated networks listen elsewhere");
    let profile = services["simulator"]["profiles"][0].clone();
    findings.unless(
        profile != Value::Null && value("COMPOSE_PROFILES") == profile.as_str(),
        "compose/.env.simulator: the simulated networks are not started",
    );
}
