//! What one file of Kubernetes names stands in another.

use serde_json::Value;

use super::files::{Files, Findings, text, values_of};

pub(super) fn check(files: &Files, findings: &mut Findings) {
    for (path, document) in files.all_yaml("kubernetes/").iter().filter(|(path, _)| is_kustomization(path)) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for resource in document["resources"].as_array().into_iter().flatten().map(text) {
            let named = resolved(folder, resource);
            let there = files.exists(&named) || files.exists(&format!("{named}/kustomization.yaml"));
            findings.unless(there, format_args!("{path}: there is no {resource}"));
        }
    }
    check_listed(files, findings);
    check_labels(files, findings);
    check_names(files, findings);
}

fn is_kustomization(path: &str) -> bool {
    path.ends_with("/kustomization.yaml")
}

/// A relative path from a folder, without `..`.
fn resolved(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// A file that nobody lists is applied by nobody.
fn check_listed(files: &Files, findings: &mut Findings) {
    for (path, _) in files.all_yaml("kubernetes/").iter().filter(|(path, _)| !is_kustomization(path)) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let listing = files.yaml(&format!("{folder}/kustomization.yaml"));
        let listed = listing["resources"].as_array().into_iter().flatten().any(|it| text(it) == name);
        findings.unless(listed, format_args!("{path}: its kustomization.yaml does not list it"));
    }
}

/// What chooses pods chooses ours: by their label, and by that of a role where it names one.
fn check_labels(files: &Files, findings: &mut Findings) {
    let deployment = files.yaml("kubernetes/base/gateway/deployment.yaml");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let mut components: Vec<&str> = Vec::new();
    let overlays = files.all_yaml("kubernetes/overlays/");
    for (_, document) in &overlays {
        let pairs = values_of(document, "pairs").into_iter();
        components.extend(pairs.map(|pairs| text(&pairs["app.kubernetes.io/component"])));
    }
    for (path, document) in files.all_yaml("kubernetes/") {
        let service = document["kind"] == "Service";
        let selector = Some(&document["spec"]["selector"]).filter(|_| service);
        for choice in selector.into_iter().chain(values_of(&document, "matchLabels")) {
            // Labels of namespaces are not ours to know.
            for (label, value) in choice.as_object().into_iter().flatten() {
                let of_a_pod = match label.as_str() {
                    "app.kubernetes.io/name" => labels[label] == *value,
                    "app.kubernetes.io/component" => components.contains(&text(value)),
                    _ => document["kind"] == "NetworkPolicy",
                };
                findings.unless(of_a_pod, format_args!("{path}: no pod has {label}={value}"));
            }
        }
    }
}

/// The account, the settings and what is scaled.
fn check_names(files: &Files, findings: &mut Findings) {
    let deployment = files.yaml("kubernetes/base/gateway/deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let account = files.yaml("kubernetes/base/around/serviceaccount.yaml");
    let named = pod["serviceAccountName"] == account["metadata"]["name"];
    findings.unless(named, "deployment.yaml: there is no such account");
    let around = files.yaml("kubernetes/base/around/kustomization.yaml");
    let settings = &around["configMapGenerator"][0]["name"];
    let secret = files.text("kubernetes/overlays/example/secret.env.example");
    for (kind, right) in [
        ("configMapRef", Box::new(|name: &Value| name == settings) as Box<dyn Fn(&Value) -> bool>),
        ("secretRef", Box::new(|name| secret.contains(&format!("create secret generic {} ", text(name))))),
    ] {
        for reference in values_of(pod, kind) {
            findings.unless(right(&reference["name"]), format_args!("deployment.yaml: wrong {kind}"));
        }
    }
    let scaled = files.yaml("kubernetes/overlays/by-role/autoscaler.yaml");
    let api = files.yaml("kubernetes/overlays/by-role/api/kustomization.yaml");
    let name = format!("{}{}", text(&deployment["metadata"]["name"]), text(&api["nameSuffix"]));
    let right = text(&scaled["spec"]["scaleTargetRef"]["name"]) == name;
    findings.unless(right, "autoscaler.yaml: there is nothing of that name to scale");
}
