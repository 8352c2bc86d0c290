//! Whoever asks, asks at a port where somebody listens, and for a page that there is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::files::{Files, Findings, text, values_of};
use super::settings::{environments, load};

/// The ports of the API, and of health and figures.
struct Ports {
    api: u16,
    operations: u16,
}

pub(super) fn check(files: &Files, findings: &mut Findings) {
    let Some(ports) = agreed(files, findings) else { return };
    check_image(files, &ports, findings);
    check_proxy(files, &ports, findings);
    check_pods(files, &ports, findings);
    check_pages(files, findings);
}

/// The ports that every way of running it listens at.
fn agreed(files: &Files, findings: &mut Findings) -> Option<Ports> {
    let mut found = BTreeSet::new();
    for (place, variables) in environments(files) {
        // What can't be loaded was found before.
        let Ok(config) = load(&variables) else { continue };
        let Some(operations) = config.operations_listen else {
            findings.add(format_args!("{place}: health and figures have no port of their own"));
            continue;
        };
        found.insert((config.listen.port(), operations.port()));
        let is_contained = !place.starts_with("systemd");
        findings.unless(
            config.listen.ip().is_unspecified() == is_contained
                && operations.ip().is_unspecified() == is_contained,
            format_args!("{place}: listens where nobody comes from, or everybody does"),
        );
    }
    findings.unless(found.len() == 1, format_args!("the ports differ: {found:?}"));
    found.first().map(|&(api, operations)| Ports { api, operations })
}

fn check_image(files: &Files, ports: &Ports, findings: &mut Findings) {
    let Some(image) = files.stages("docker/Dockerfile").pop() else { return };
    let exposed = format!("{} {}", ports.api, ports.operations);
    findings.unless(image.all("EXPOSE").any(|it| it == exposed), "docker/Dockerfile: exposes other ports");
    let question = format!("\"health\", \"--url\", \"http://127.0.0.1:{}\"", ports.operations);
    let asks = image.all("HEALTHCHECK").any(|it| it.contains(&question));
    findings.unless(asks, "docker/Dockerfile: asks another port whether it is well");
}

fn check_proxy(files: &Files, ports: &Ports, findings: &mut Findings) {
    let compose = files.yaml("compose/compose.yaml");
    let question = format!("http://127.0.0.1:{}", ports.operations);
    let proxy = files.text("compose/haproxy.cfg");
    let nodes = compose["services"].as_object().into_iter().flatten();
    for (name, node) in nodes.filter(|(name, _)| name.starts_with("node-")) {
        let asked = node["healthcheck"]["test"].as_array().and_then(|test| test.last()).map(text);
        findings.unless(
            asked == Some(question.as_str()),
            format_args!("compose.yaml: {name} is asked at another port whether it is well"),
        );
        let server = format!("    server {name} {name}:{}", ports.api);
        findings.unless(
            proxy.lines().any(|line| line == server),
            format_args!("haproxy.cfg: nothing goes to {name} at its port"),
        );
    }
    let checks = format!("check port {} ", ports.operations);
    findings.unless(proxy.contains(&checks), "haproxy.cfg: asks another port whether a node is ready");
    let published = text(&compose["services"]["proxy"]["ports"][0]).rsplit(':').next().map(str::to_owned);
    let bound = published.is_some_and(|port| proxy.contains(&format!("bind :{port}\n")));
    findings.unless(bound, "compose.yaml: HAProxy does not listen at the port that is published");
}

fn check_pods(files: &Files, ports: &Ports, findings: &mut Findings) {
    let deployment = files.yaml("kubernetes/base/gateway/deployment.yaml");
    let template = &deployment["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    let port_of = |name: &str| {
        let listed = container["ports"].as_array().into_iter().flatten();
        listed.filter(|port| port["name"] == name).find_map(|port| port["containerPort"].as_u64())
    };
    let (api, operations) = (Some(u64::from(ports.api)), Some(u64::from(ports.operations)));
    let right = port_of("http") == api && port_of("operations") == operations;
    findings.unless(right, "deployment.yaml: names other ports");
    for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = text(&container[kind]["httpGet"]["port"]);
        findings.unless(port_of(asked) == operations, format_args!("deployment.yaml: {kind}: wrong port"));
    }
    let scraped = text(&template["metadata"]["annotations"]["prometheus.io/port"]);
    findings.unless(
        scraped == ports.operations.to_string(),
        "deployment.yaml: Prometheus is sent to another port",
    );
    let policy = files.yaml("kubernetes/base/around/networkpolicy.yaml");
    let let_in = values_of(&policy["spec"]["ingress"], "port").into_iter().filter_map(Value::as_u64);
    let let_in: BTreeSet<u64> = let_in.collect();
    let all: BTreeSet<u64> = api.into_iter().chain(operations).collect();
    findings.unless(let_in == all, "networkpolicy.yaml: other ports than those that are listened at");
    for (path, document) in files.all_yaml("kubernetes/") {
        for target in values_of(&document, "targetPort") {
            findings
                .unless(port_of(text(target)) == api, format_args!("{path}: {target} is no port of a pod"));
        }
    }
}

/// Every page that somebody asks for is one that the router has.
fn check_pages(files: &Files, findings: &mut Findings) {
    let pages: BTreeSet<String> = server::http::openapi().paths.paths.keys().cloned().collect();
    let mut asked: Vec<(&str, String)> = Vec::new();
    for (path, document) in files.all_yaml("kubernetes/") {
        let probes = values_of(&document, "httpGet");
        asked.extend(probes.iter().map(|probe| (path, text(&probe["path"]).to_owned())));
        let scraped = values_of(&document, "prometheus.io/path");
        asked.extend(scraped.iter().map(|page| (path, text(page).to_owned())));
        for rules in values_of(&document, "paths") {
            for prefix in rules.as_array().into_iter().flatten().map(|rule| text(&rule["path"])) {
                let below = format!("{prefix}/");
                let leads = pages.iter().any(|page| page.starts_with(&below));
                findings.unless(leads, format_args!("{path}: {prefix} leads nowhere"));
            }
        }
    }
    for line in files.text("compose/haproxy.cfg").lines() {
        if let Some(page) = line.trim().strip_prefix("option httpchk GET ") {
            asked.push(("compose/haproxy.cfg", page.to_owned()));
        }
    }
    findings.unless(asked.len() >= 5, "somebody is not asked any more");
    for (path, page) in asked {
        findings.unless(pages.contains(&page), format_args!("{path}: there is no page {page}"));
    }
}
